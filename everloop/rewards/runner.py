"""Run the reward definition on a dataset version."""

from __future__ import annotations

import tempfile
from pathlib import Path

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.figures import RewardFigures
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.warehouse import RewardWriter
from everloop.rewards.anomaly import contradictions
from everloop.rewards.engine import bounded_engine, register_parquet
from everloop.rewards.figures import measure_rewards
from everloop.rewards.holding import holding, reviews_of, withhold
from everloop.rewards.outlier_actions import outlier_actions
from everloop.rewards.suspicion import Suspicion, strongest
from everloop.rewards.table import FORMAT, write_rewards


def aggregate(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
) -> RewardFigures:
    """Write one reward per episode and measure what came out; see ``aggregate_and_flag``."""
    return aggregate_and_flag(spec, dataset, out, memory_limit_mb, threads)[0]


def aggregate_and_flag(
    spec: LoopSpec,
    dataset: DatasetVersion,
    out: Path,
    memory_limit_mb: int = 1024,
    threads: int = 1,
    measuring: bool = False,
    writer: RewardWriter = write_rewards,
) -> tuple[RewardFigures, tuple[Suspicion, ...]]:
    """Write one reward per episode, measure what came out, and tell what a person should look at.

    ``out`` becomes a zstd Parquet file with a row per episode, in dataset order: episode_id
    (string), reward (double in [-1, 1], null without evidence), outcome (string, null with the
    reward), signals (int64, how many went in, weightless ones too), closed (bool), variance
    (double: sample variance of the episode's mapped signal values, null below two signals),
    mean_<type> (double in [-1, 1] or null) for each declared type and held (bool: the episode waits
    for a person, or was rejected by one, so its reward, outcome and means are null). It appears whole
    or not at all. With one thread equal inputs give equal bytes; more threads may differ in a sum's
    last bit.

    Args:
        memory_limit_mb: what DuckDB may hold; beyond it, it spills beside ``out``.
        threads: how many threads DuckDB may use.
        measuring: for a comparison of arms. Flags follow from what a policy does and from what was
            answered, so leaving flagged episodes out would select after treatment: what waits keeps
            its evidence, is marked as held all the same, and only what a person rejected is emptied.
        writer: runs the definition; on this machine by default.

    Returns:
        The figures, and the suspicions that no review of the version is about yet.

    Raises:
        ShouldFixSignal: a signal's type is undeclared, or its value, confidence or latency is out of
            range; the message names them.
        ShouldFixArgument: a limit is not positive or too small for the work.
        ShouldFreeDisk: the disk is full; ``out`` is untouched.
        ShouldRestoreArtefact: the dataset's files are missing, damaged or out of order.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".rewards-") as folder:
        # Held rewards must not be seen by whoever reads the table while it is made.
        path = writer(spec, dataset, Path(folder) / out.name, memory_limit_mb, threads)
        with bounded_engine(path.parent, memory_limit_mb, threads) as connection:
            register_parquet(connection, "rewards", path)
            register_parquet(connection, "episodes", dataset.episodes_path)
            found = strongest((*contradictions(connection), *outlier_actions(connection, spec)))
            waiting = holding(found, reviews_of(dataset))
            emptied = waiting.rejected if measuring else waiting.held
            withhold(connection, path, emptied, FORMAT)
            figures = measure_rewards(connection, spec, dataset, path, waiting)
            if measuring:
                withhold(connection, path, waiting.held, FORMAT, emptied=False)
        path.replace(out)
    return figures, waiting.unreviewed
