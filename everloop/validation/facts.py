"""A dataset version laid out in DuckDB so that every rule asks one column.

A truth is 1.0, 0.0 or null where it cannot be asked. NaN becomes infinity: pandas takes NaN for
missing, and DuckDB decides comparisons by Parquet's statistics, which leave NaN out.
"""

from __future__ import annotations

import glob
from pathlib import Path

import duckdb

from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from everloop.validation.rules import context_column

EPISODE_COLUMNS = {
    "episode_id": ("VARCHAR",),
    "person": ("VARCHAR",),
    "timestamp": ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
    "action": ("VARCHAR",),
    "propensity": ("DOUBLE",),
    "valid_actions": ("VARCHAR[]",),
    "context": ("VARCHAR", "JSON"),
    "model_version": ("VARCHAR",),
    "arm": ("VARCHAR",),
    "closed": ("BOOLEAN",),
}
SIGNAL_COLUMNS = {
    "signal_id": ("VARCHAR",),
    "episode_id": ("VARCHAR",),
    "signal_type": ("VARCHAR",),
    "value": ("DOUBLE",),
    "latency": ("BIGINT", "INTEGER"),
    "confidence": ("DOUBLE",),
}
"""Column -> the types of DuckDB that are accepted for it; further columns are allowed."""

_MAY_BE_NULL = {"propensity"}


def text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


def number(value: float) -> str:
    """An SQL double, exact."""
    return f"{text(repr(float(value)))}::DOUBLE"


def texts(values: tuple[str, ...]) -> str:
    """An SQL list of strings."""
    return f"[{', '.join(text(value) for value in values)}]"


def register(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> dict[str, str]:
    """Make a file readable as a view; its columns and their types."""
    source = f"read_parquet({text(glob.escape(str(path)))})"
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")  # noqa: S608
    described = connection.execute(f"DESCRIBE {name}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def create_facts(connection: duckdb.DuckDBPyConnection, spec: LoopSpec) -> None:
    """Create ``episode_facts`` and ``signal_facts`` over the views ``episodes`` and ``signals``."""
    connection.execute(_episode_facts(spec))
    connection.execute(_signal_facts(spec))


def _truth(condition: str) -> str:
    return f"({condition})::BOOLEAN::DOUBLE"


def _missing(columns: dict[str, tuple[str, ...]]) -> str:
    """The names of a row's null columns, as one string; empty when it is complete."""
    names = [name for name in columns if name not in _MAY_BE_NULL]
    return (
        f"concat_ws(', ', {', '.join(f'CASE WHEN {n} IS NULL THEN {text(n)} END' for n in names)})"
    )


def _finite(column: str) -> str:
    return f"CASE WHEN isnan({column}) THEN 'infinity'::DOUBLE ELSE {column} END"


def _episode_facts(spec: LoopSpec) -> str:
    paths = ", ".join(text(f'$."{field.name}"') for field in spec.context)
    catalogue = texts(spec.action_ids)
    fields = ",\n".join(
        f'  {_context_truth(field, f"found[{index}]")} AS "{context_column(field.name)}"'
        for index, field in enumerate(spec.context, start=1)
    )
    return f"""
CREATE VIEW episode_facts AS
WITH parsed AS (
  SELECT *, coalesce(json_valid(context), false) AS is_json,
    CASE WHEN json_valid(context) THEN json_extract(context, [{paths}]) END AS found
  FROM episodes
)
SELECT
  episode_id, person, arm, action, valid_actions, timestamp, context,
  {_missing(EPISODE_COLUMNS)} AS missing_columns,
  {_truth("missing_columns = ''")} AS complete,
  {_truth("regexp_full_match(person, '[0-9a-f]{64}')")} AS pseudonym,
  {_truth(f"list_has_all({catalogue}, valid_actions)")} AS valid_known,
  {_truth("list_contains(valid_actions, action)")} AS action_valid,
  {_finite("propensity")} AS propensity,
  len(valid_actions) AS choices,
  epoch_us(timestamp) / 1e6 AS seconds,
  {_truth("CASE WHEN is_json THEN json_type(context) = 'OBJECT' ELSE context IS NULL END")}
    AS context_is_object,
{fields}
FROM parsed
"""  # noqa: S608


def _context_truth(field: ContextField, found: str) -> str:
    """1 where the found JSON fits the field's declaration, 0 where not, null where it is missing."""
    numeric = "IN ('UBIGINT', 'BIGINT', 'HUGEINT', 'DOUBLE')"
    low, high = number(field.low), number(field.high)
    value = f"TRY_CAST({found} AS DOUBLE)"
    vector = f"TRY_CAST({found} AS DOUBLE[])"
    fits = {
        FieldKind.NUMBER: f"json_type({found}) {numeric} AND {value} BETWEEN {low} AND {high}",
        FieldKind.CYCLE: (
            f"json_type({found}) {numeric} AND {value} BETWEEN 0 AND {number(field.period)}"
        ),
        FieldKind.CATEGORY: (
            f"json_type({found}) = 'VARCHAR' AND "
            f"list_contains({texts(field.choices)}, {found} ->> '$')"
        ),
        FieldKind.VECTOR: (
            f"json_type({found}) = 'ARRAY' AND len({vector}) = {field.width} "
            f"AND list_aggregate({vector}, 'count') = {field.width} "
            f"AND list_min({vector}) >= {low} AND list_max({vector}) <= {high}"
        ),
        FieldKind.HISTORY: (
            f"json_type({found}) = 'ARRAY' AND json_array_length({found}) <= {field.width} "
            f"AND len(list_filter(TRY_CAST({found} AS JSON[]), lambda item: NOT coalesce("
            "json_type(item, '$.action') = 'VARCHAR' AND (json_type(item, '$.reward') = 'NULL' "
            f"OR json_type(item, '$.reward') {numeric} "
            "AND TRY_CAST(item ->> '$.reward' AS DOUBLE) BETWEEN -1 AND 1), false))) = 0"
        ),
    }[field.kind]
    absent = f"{found} IS NULL OR json_type({found}) = 'NULL'"
    return f"CASE WHEN {absent} THEN NULL WHEN {fits} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END"


def _signal_facts(spec: LoopSpec) -> str:
    def cases(condition: str) -> str:
        return " ".join(
            f"WHEN {text(s.name)} THEN "
            + condition.format(
                low=number(s.low), high=number(s.high), zero=number(0.5 if s.two_sided else 0.0)
            )
            for s in spec.signals
        )

    in_range = cases("value BETWEEN {low} AND {high}")
    positive = cases("value > {zero}")
    return f"""
CREATE VIEW signal_facts AS
WITH seen AS (SELECT * REPLACE ({_finite("value")} AS value, {_finite("confidence")} AS confidence)
  FROM signals)
SELECT
  signal_id, episode_id, signal_type, value, latency::DOUBLE AS latency, confidence,
  {_missing(SIGNAL_COLUMNS)} AS missing_columns,
  {_truth("missing_columns = ''")} AS complete,
  {_truth("episode_id IN (SELECT episode_id FROM episodes)")} AS has_episode,
  {_truth(f"CASE signal_type {in_range} END")} AS value_in_range,
  {_truth(f"CASE signal_type {positive} END AND confidence > 0")} AS positive
FROM seen
"""  # noqa: S608
