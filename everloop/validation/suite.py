"""The validation stage: is a dataset version fit to learn from?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime

import duckdb
import pandas as pd

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.evaluation import ValidationCheck, ValidationReport
from everloop.contracts.loop_spec import LoopSpec
from everloop.validation.expectations import (
    Outcome,
    ask_all,
    expectation,
    measure_expectations,
    schema_expectations,
)
from everloop.validation.facts import (
    EPISODE_COLUMNS,
    SIGNAL_COLUMNS,
    create_facts,
    number,
    register,
    texts,
)
from everloop.validation.measures import Measure, Window, measures
from everloop.validation.rules import (
    Ask,
    Between,
    OneOf,
    Present,
    RowRule,
    Unique,
    episode_rules,
    signal_rules,
)

ROWS_IN_MEMORY = 2_000_000
"""Up to here rows are asked one by one; beyond, how many break each rule is counted in DuckDB."""


def validate(
    spec: LoopSpec,
    dataset: DatasetVersion,
    now: datetime | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> ValidationReport:
    """Ask a dataset version everything that the stages after this one rely on.

    The suite is run by Great Expectations: over the rows themselves, or over counts taken in DuckDB
    where a file has more than ``rows_in_memory`` rows. When a file's columns are not as declared,
    nothing else can be asked and the report says only that.

    Args:
        now: the wall clock, for a logical date that is not over; a date of the past ignores it.

    Raises:
        ShouldRestoreArtefact: a file is missing or is no Parquet.
        ShouldFreeDisk: the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="validate-") as spill:
        connection = duckdb.connect(
            config={"memory_limit": "1024MB", "threads": 1, "temp_directory": spill}
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            checks = _checks(connection, spec, dataset, now, rows_in_memory)
        except duckdb.Error as problem:
            if "No space left" in str(problem) or "max_temp_directory_size" in str(problem):
                raise ShouldFreeDisk(
                    f"Validation could not spill: {problem}.", "Free disk space and rerun."
                ) from problem
            raise ShouldRestoreArtefact(
                f"{dataset.root} cannot be read: {problem}.", "Extract the dataset again."
            ) from problem
        finally:
            connection.close()
    return ValidationReport(dataset.manifest.dataset_id, checks)


def _checks(
    connection: duckdb.DuckDBPyConnection,
    spec: LoopSpec,
    dataset: DatasetVersion,
    now: datetime | None,
    rows_in_memory: int,
) -> tuple[ValidationCheck, ...]:
    found = {
        "episodes_schema": (
            register(connection, "episodes", dataset.episodes_path),
            EPISODE_COLUMNS,
        ),
        "signals_schema": (register(connection, "signals", dataset.signals_path), SIGNAL_COLUMNS),
    }
    schema = tuple(_schema_check(name, *columns) for name, columns in found.items())
    if not all(check.passed for check in schema):
        return schema
    create_facts(connection, spec)
    window = Window.of(dataset.manifest, now)
    whole = measures(connection, dataset.manifest, spec.thresholds, window)
    return (
        *schema,
        *_measure_checks(whole),
        *_row_checks(
            connection,
            "episode",
            episode_rules(spec, window.start, window.end),
            rows_in_memory,
        ),
        *_row_checks(connection, "signal", signal_rules(spec), rows_in_memory),
    )


def _schema_check(
    name: str, found: dict[str, str], wanted: dict[str, tuple[str, ...]]
) -> ValidationCheck:
    described = pd.DataFrame([found])
    outcome = ask_all(name, described, schema_expectations(name, wanted))[name]
    wrong = [
        f"{column} is {found.get(column, 'missing')}"
        for column, types in wanted.items()
        if found.get(column) not in types
    ]
    return ValidationCheck(
        name=name,
        passed=outcome.success,
        observed=", ".join(wrong) or f"{len(found)} columns",
        expected=", ".join(f"{column} {types[0]}" for column, types in wanted.items()),
    )


def _measure_checks(whole: Sequence[Measure]) -> tuple[ValidationCheck, ...]:
    frame = pd.DataFrame(
        {m.name: pd.Series([m.value], dtype="float64") for m in whole}  # None becomes missing
    )
    asked = [e for measure in whole for e in measure_expectations(measure)]
    outcomes = ask_all("measures", frame, asked)
    return tuple(
        ValidationCheck(
            name=measure.name,
            passed=outcomes[measure.name].success,
            observed=outcomes[measure.name].problem or measure.observed,
            expected=measure.expected,
            severity=measure.severity,
        )
        for measure in whole
    )


def _row_checks(
    connection: duckdb.DuckDBPyConnection, kind: str, rules: Sequence[RowRule], rows_in_memory: int
) -> tuple[ValidationCheck, ...]:
    facts = f"{kind}_facts"
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {kind}s").fetchall()  # noqa: S608
    if rows <= rows_in_memory:
        columns = ", ".join(f'"{name}"' for name in dict.fromkeys(r.ask.column for r in rules))
        frame = connection.execute(f"SELECT {columns} FROM {facts}").df()  # noqa: S608
        asked = [expectation(rule.name, rule.ask) for rule in rules]
    else:
        frame = _counts(connection, facts, rules)
        asked = [expectation(rule.name, Between(rule.name, high=0.0)) for rule in rules]
    outcomes = ask_all(kind, frame, asked)
    checks = []
    for rule in rules:
        outcome = outcomes[rule.name]
        broken = outcome.unexpected or 0
        if rows > rows_in_memory:
            broken = int(frame[rule.name].iloc[0])
        observed = _observed(connection, facts, kind, rule, outcome, broken, rows)
        checks.append(
            ValidationCheck(rule.name, outcome.success, observed, rule.expected, rule.severity)
        )
    return tuple(checks)


def _observed(
    connection: duckdb.DuckDBPyConnection,
    facts: str,
    kind: str,
    rule: RowRule,
    outcome: Outcome,
    broken: int,
    rows: int,
) -> str:
    """How many rows break a rule, and one of them by name."""
    if outcome.problem is not None:
        return f"could not be asked: {outcome.problem}"
    if outcome.success:
        return f"all {rows:,} {kind}s" if rows else f"no {kind}s"
    example = connection.execute(
        f"SELECT {kind}_id, CAST({rule.shows} AS VARCHAR) FROM {facts} "  # noqa: S608
        f"WHERE {breaks(rule.ask, facts)} ORDER BY 1 LIMIT 1"
    ).fetchall()
    shown = "".join(f", for example {name}: {value}" for name, value in example)
    return f"{broken:,} of {rows:,} {kind}s ({broken / rows:.2%}){shown}"


def _counts(
    connection: duckdb.DuckDBPyConnection, facts: str, rules: Sequence[RowRule]
) -> pd.DataFrame:
    """One row: how many rows break each rule."""
    each = [
        f'sum(CASE WHEN {breaks(rule.ask, facts)} THEN 1 ELSE 0 END)::DOUBLE AS "{rule.name}"'
        for rule in rules
    ]
    return connection.execute(f"SELECT {', '.join(each)} FROM {facts}").df()  # noqa: S608


def breaks(ask: Ask, facts: str) -> str:
    """SQL that is true for a row that breaks what is asked."""
    column = f'"{ask.column}"'
    match ask:
        case Between():
            low = (
                None if ask.low is None else f"{'<=' if ask.strict_low else '<'} {number(ask.low)}"
            )
            high = (
                None
                if ask.high is None
                else f"{'>=' if ask.strict_high else '>'} {number(ask.high)}"
            )
            return " OR ".join(f"{column} {bound}" for bound in (low, high) if bound is not None)
        case OneOf():
            return f"NOT list_contains({texts(ask.values)}, {column})"
        case Unique():
            repeated = f"SELECT {column} FROM {facts} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608
            return f"{column} IN ({repeated})"
        case Present():
            return f"{column} IS NULL"
