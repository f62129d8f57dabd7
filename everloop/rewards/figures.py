"""What the rewards of a dataset version look like: figures for pages, plots and the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from scipy.special import stdtrit

from everloop.contracts.datasets import DatasetManifest, DatasetVersion
from everloop.contracts.episodes import Arm, Outcome
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Estimate
from everloop.contracts.figures import DailyFigure, RewardFigures, SignalFigures
from everloop.contracts.loop_spec import LoopSpec, SignalSpec, Silence
from everloop.contracts.oversight import ReviewKind
from everloop.rewards.anomaly import find_anomalies
from everloop.rewards.engine import register_parquet
from everloop.rewards.holding import Holding

CONFIDENCE = 0.95
HISTOGRAM_EDGES = tuple(round(-1.0 + index / 10, 1) for index in range(21))
"""Public: the same for every loop and every day."""

# Both files are in dataset order, so rows are paired by position and the pairing is checked.
_PAIRED = """
CREATE OR REPLACE VIEW paired AS
SELECT r.*, e.person, CAST(e.timestamp AS DATE) AS day, e.arm = '{comparison}' AS comparison,
  r.episode_id IS DISTINCT FROM e.episode_id AS misplaced
FROM rewards AS r POSITIONAL JOIN episodes AS e
"""
# Mean of rewards by key, and the sum over people of (their sum - mean * their count)^2.
_CLUSTERED = """
WITH people AS (
  SELECT {key} AS key, person, sum(reward) AS total, count(*) AS n
  FROM paired WHERE reward IS NOT NULL AND {where} GROUP BY ALL
),
means AS (SELECT key, sum(total) / sum(n) AS mean FROM people GROUP BY key)
SELECT key, mean, sum(n), count(*), sum((total - mean * n) ** 2)
FROM people JOIN means USING (key) GROUP BY key, mean ORDER BY key
"""

_OBSERVED = """
SELECT count(*) FROM (
  SELECT DISTINCT episode_id
  FROM signals SEMI JOIN (SELECT episode_id FROM rewards WHERE NOT held) USING (episode_id)
  WHERE signal_type = ?
)
"""


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean of n rewards of ``clusters`` people.

    ``squares`` = sum over people i of (S_i - mean * n_i)^2, S_i the sum of i's n_i rewards. The
    variance of the mean is G / (G - 1) * squares / n^2 for G people (Liang & Zeger 1986 with the
    usual small-sample factor), its interval the t quantile with G - 1 degrees of freedom.
    """

    mean: float
    n: int
    clusters: int
    squares: float

    def interval(self) -> tuple[float, float]:
        """The 95 % interval within [-1, 1]; (NaN, NaN) for fewer than two people."""
        if self.clusters < 2:
            return math.nan, math.nan
        error = math.sqrt(self.clusters / (self.clusters - 1) * self.squares) / self.n
        reach = float(stdtrit(self.clusters - 1, (1 + CONFIDENCE) / 2)) * error
        return max(self.mean - reach, -1.0), min(self.mean + reach, 1.0)

    def estimate(self, name: str) -> Estimate:
        """As a named estimate."""
        low, high = self.interval()
        return Estimate(
            name,
            self.mean,
            low,
            high,
            CONFIDENCE,
            self.n,
            self.clusters,
            "mean, clustered by person",
        )


NOTHING = ClusteredMean(math.nan, 0, 0, 0.0)
NOBODY_HELD = Holding()


def measure_rewards(
    connection: duckdb.DuckDBPyConnection,
    spec: LoopSpec,
    dataset: DatasetVersion,
    rewards: Path,
    waiting: Holding = NOBODY_HELD,
) -> RewardFigures:
    """Measure a reward table beside the dataset version that it was made from.

    Args:
        waiting: whose rewards the table withholds. Flagged episodes stay a share of all that were
            rewarded, held ones included.

    Raises:
        ShouldRestoreArtefact: the two do not hold the same episodes in the same order.
    """
    register_parquet(connection, "rewards", rewards)
    register_parquet(connection, "episodes", dataset.episodes_path)
    register_parquet(connection, "signals", dataset.signals_path)
    connection.execute(_PAIRED.format(comparison=Arm.COMPARISON.value))
    episodes, misplaced, rewarded, positive = _row(
        connection,
        "SELECT count(*), count_if(misplaced), count(reward), count_if(reward > 0) FROM paired",
    )
    if misplaced:
        raise ShouldRestoreArtefact(
            f"{misplaced} of {episodes} rows of {rewards} belong to other episodes than those of "
            f"{dataset.episodes_path}.",
            "Rerun aggregate_rewards.",
        )
    held, assessable = _row(
        connection,
        "SELECT coalesce(count_if(held), 0), count(*) FILTER (WHERE reward IS NOT NULL OR held) "
        "FROM rewards",
    )
    arms = _clustered(connection, "comparison", "TRUE")
    anomalies = find_anomalies(connection)
    outcomes = dict(
        connection.execute(
            "SELECT outcome, count(*) FROM rewards WHERE outcome IS NOT NULL GROUP BY outcome"
        ).fetchall()
    )
    return RewardFigures(
        episodes=episodes,
        rewarded=rewarded,
        mean=arms.get(False, NOTHING).estimate("mean_reward"),
        positive_share=positive / rewarded if rewarded else math.nan,
        outcomes={outcome.value: outcomes.get(outcome.value, 0) for outcome in Outcome},
        by_signal=tuple(_signal(connection, signal, episodes - held) for signal in spec.signals),
        daily=_daily(connection, dataset.manifest),
        histogram_edges=HISTOGRAM_EDGES,
        histogram_counts=_histogram(rewards),
        comparison=arms[True].estimate("comparison_reward") if True in arms else None,
        anomalies=anomalies.flagged,
        anomaly_share=min(1.0, anomalies.flagged / assessable) if assessable else 0.0,
        variance_limit=anomalies.limit,
        anomaly_ids=anomalies.episode_ids,
        outliers=sum(one.kind is ReviewKind.OUTLIER_ACTION for one in waiting.found),
        held=held,
        rejected=len(waiting.rejected),
        released=len(waiting.released),
    )


def _row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[str] | None = None
) -> tuple[Any, ...]:
    return connection.execute(query, parameters).fetchall()[0]


def _clustered(
    connection: duckdb.DuckDBPyConnection, key: str, where: str
) -> dict[Any, ClusteredMean]:
    query = _CLUSTERED.format(key=key, where=where)
    return {
        key: ClusteredMean(mean, int(n), clusters, squares)
        for key, mean, n, clusters, squares in connection.execute(query).fetchall()
    }


def _signal(
    connection: duckdb.DuckDBPyConnection, signal: SignalSpec, episodes: int
) -> SignalFigures:
    column = f'"mean_{signal.name}"'
    count, mean = _row(connection, f"SELECT count({column}), avg({column}) FROM rewards")  # noqa: S608
    observed = count
    if signal.silence is Silence.ZERO:  # its zeros do not say whether anything arrived
        (observed,) = _row(connection, _OBSERVED, [signal.name])
    return SignalFigures(
        name=signal.name,
        count=count,
        mean=math.nan if mean is None else mean,
        share=count / episodes if episodes else 0.0,
        observed=observed,
    )


def _daily(
    connection: duckdb.DuckDBPyConnection, manifest: DatasetManifest
) -> tuple[DailyFigure, ...]:
    means = _clustered(connection, "day", "NOT comparison")
    first = manifest.logical_date - timedelta(days=manifest.window_days - 1)
    days = {first + timedelta(days=offset) for offset in range(manifest.window_days)}
    return tuple(_day(day, means.get(day, NOTHING)) for day in sorted(days | set(means)))


def _day(day: date, mean: ClusteredMean) -> DailyFigure:
    low, high = mean.interval()
    return DailyFigure(date=day, episodes=mean.n, mean=mean.mean, low=low, high=high)


def _histogram(rewards: Path) -> tuple[int, ...]:
    counts = np.zeros(len(HISTOGRAM_EDGES) - 1, dtype=np.int64)
    with pq.ParquetFile(rewards) as table:
        for batch in table.iter_batches(columns=["reward"]):
            values = batch.column(0).drop_null().to_numpy()
            counts += np.histogram(values, bins=HISTOGRAM_EDGES)[0]
    return tuple(int(count) for count in counts)
