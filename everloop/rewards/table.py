"""The reward table: the definition run on a dataset version by DuckDB."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldFixSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.rewards.definition import RewardRule, SignalRule, reward_rule, signal_rules, statement
from everloop.rewards.engine import bounded_engine, quoted, register_parquet

# Rewards hardly ever repeat, so a dictionary is given up early; outcomes and counts still get theirs.
FORMAT = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000"


def write_rewards(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
) -> Path:
    """Write the table that ``everloop.rewards.runner.aggregate`` describes; returns its path."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with bounded_engine(out.parent, memory_limit_mb, threads) as connection:
            register_dataset(connection, dataset)
            declare_rule(connection, spec)
            rewards = statement(spec.signal_names, "duckdb")
            try:
                connection.execute(
                    f"COPY (SELECT *, FALSE AS held FROM ({rewards})) "  # noqa: S608
                    f"TO {quoted(str(temporary))} ({FORMAT})"
                )
            except duckdb.Error:
                refuse_nan(connection)
                raise
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def refuse_nan(connection: duckdb.DuckDBPyConnection) -> None:
    """Name the first signal that is not a number: sums and variances only fail on it, namelessly.

    Raises:
        ShouldFixSignal: there is one in the view ``signals``.
    """
    found = connection.execute(
        "SELECT signal_id, signal_type, value, confidence FROM signals "
        "WHERE isnan(value) OR isnan(confidence) ORDER BY signal_id LIMIT 1"
    ).fetchall()
    for signal, kind, value, confidence in found:
        raise ShouldFixSignal(
            f"Signal {signal} of type {kind} has value {value} and confidence {confidence}.",
            "Leave the signal out instead.",
        )


def register_dataset(connection: duckdb.DuckDBPyConnection, dataset: DatasetVersion) -> None:
    """Make the views ``episodes`` and ``signals`` that the definition reads.

    Evidence is grouped by 64-bit fingerprints of the ids, which DuckDB keeps beside the sums instead of
    behind a pointer. Where two episodes of the dataset share one, the ids themselves are the keys.
    """
    for key in ("hash(episode_id)", "episode_id"):
        with_key = f"*, {key} AS episode_key"
        register_parquet(
            connection, "episodes", dataset.episodes_path, f"{with_key}, file_row_number AS place"
        )
        register_parquet(connection, "signals", dataset.signals_path, with_key)
        distinct = connection.execute(
            "SELECT count(*) = count(DISTINCT episode_key) FROM episodes"
        ).fetchall()
        if distinct[0][0]:
            break


def declare_rule(connection: duckdb.DuckDBPyConnection, spec: LoopSpec) -> None:
    """Create ``signal_specs`` and ``reward_rule``, which hold every number of the definition."""
    _create(connection, "signal_specs", signal_rules(spec), SignalRule)
    _create(connection, "reward_rule", (reward_rule(spec),), RewardRule)


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rows: Sequence[SignalRule | RewardRule],
    kind: type[SignalRule | RewardRule],
) -> None:
    # Rows travel as JSON: DuckDB imports pandas, a third of a second, to look at a bound parameter.
    types = {"int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN", "str": "VARCHAR"}
    columns = {field.name: types[str(field.type)] for field in dataclasses.fields(kind)}
    content = json.dumps([dataclasses.asdict(row) for row in rows])
    connection.execute(
        f"CREATE TABLE {name} AS SELECT unnest("
        f"from_json({quoted(content)}, {quoted(json.dumps([columns]))}), recursive := true)"
    )
