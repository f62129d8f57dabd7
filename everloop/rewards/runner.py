"""Run the reward definition on a dataset version."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import duckdb

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.figures import RewardFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.rewards.definition import SignalRule, signal_rules, statement
from everloop.rewards.engine import bounded_engine, register_parquet
from everloop.rewards.figures import measure_rewards

_SIGNAL_SPECS = """
CREATE TABLE signal_specs (position BIGINT, signal_type VARCHAR, low DOUBLE, high DOUBLE,
  two_sided BOOLEAN, silence_is_zero BOOLEAN, weight DOUBLE, half_life_seconds DOUBLE)
"""
_REWARD_RULE = "CREATE TABLE reward_rule (success_at DOUBLE, failure_at DOUBLE)"


def aggregate(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
) -> RewardFigures:
    """Write one reward per episode and measure what came out.

    ``out`` becomes a zstd Parquet file with a row per episode, in dataset order: episode_id
    (string), reward (double in [-1, 1], null without evidence), outcome (string, null with the
    reward), signals (int64, those with weight), closed (bool), variance (double: sample variance of
    the episode's mapped signal values, null below two signals) and mean_<type> (double in [-1, 1]
    or null) for each declared type. It appears whole or not at all. With one thread equal inputs
    give equal bytes; more threads may differ in the last bit of a sum.

    Args:
        memory_limit_mb: what DuckDB may hold; beyond it, it spills beside ``out``.
        threads: how many threads DuckDB may use.

    Raises:
        ShouldFixSignal: a signal's type is undeclared, or its value, confidence or latency is out of
            range; the message names them.
        ShouldFixArgument: a limit is not positive or too small for the work.
        ShouldFreeDisk: the disk is full; ``out`` is untouched.
        ShouldRestoreArtefact: the dataset's files are missing, damaged or out of order.
    """
    path = write_rewards(spec, dataset, out, memory_limit_mb, threads)
    with bounded_engine(path.parent, memory_limit_mb, threads) as connection:
        return measure_rewards(connection, spec, dataset, path)


def write_rewards(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
) -> Path:
    """The table of ``aggregate`` without the figures; returns its path."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with bounded_engine(out.parent, memory_limit_mb, threads) as connection:
            register_parquet(connection, "episodes", dataset.episodes_path)
            register_parquet(connection, "signals", dataset.signals_path)
            declare_rule(connection, spec)
            rewards = connection.sql(statement(spec.signal_names, "duckdb"))
            rewards.write_parquet(str(temporary), compression="zstd")
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def declare_rule(connection: duckdb.DuckDBPyConnection, spec: LoopSpec) -> None:
    """Create ``signal_specs`` and ``reward_rule``, which hold every number of the definition."""
    columns = len(dataclasses.fields(SignalRule))
    connection.execute(_SIGNAL_SPECS)
    connection.executemany(
        f"INSERT INTO signal_specs VALUES ({', '.join('?' * columns)})",  # noqa: S608
        [dataclasses.astuple(rule) for rule in signal_rules(spec)],
    )
    connection.execute(_REWARD_RULE)
    connection.execute(
        "INSERT INTO reward_rule VALUES (?, ?)", [spec.reward.success_at, spec.reward.failure_at]
    )
