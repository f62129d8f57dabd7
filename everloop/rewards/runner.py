"""Run the reward definition on a dataset version."""

from __future__ import annotations

from pathlib import Path

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.figures import RewardFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.rewards.engine import bounded_engine
from everloop.rewards.figures import measure_rewards
from everloop.rewards.table import write_rewards


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
    reward), signals (int64, how many went in, weightless ones too), closed (bool), variance
    (double: sample variance of the episode's mapped signal values, null below two signals) and
    mean_<type> (double in [-1, 1] or null) for each declared type. It appears whole or not at all.
    With one thread equal inputs give equal bytes; more threads may differ in a sum's last bit.

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
