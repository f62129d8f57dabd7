"""Episodes whose evidence contradicts itself: extreme variance among the signals of one decision.

An episode's variance is that of its mapped signal values (``variance`` in the reward table). On
x = log variance, z = (x - median) / (1.4826 * MAD), where MAD is the median absolute deviation and
1.4826 makes it estimate a normal standard deviation; z > 5 is flagged (Iglewicz & Hoaglin 1993, with
a threshold that a normal tail passes three times in ten million). Only large variances are flagged:
agreement is no anomaly. Episodes with fewer than two signals or no spread at all are not assessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import duckdb

from everloop.contracts.oversight import ReviewKind
from everloop.rewards.suspicion import NORMAL_MAD, Z_LIMIT, Suspicion

MIN_ASSESSED = 30
"""Below this, a median absolute deviation says too little to hold an episode from training."""
MAX_IDS = 100


@dataclass(frozen=True, slots=True)
class VarianceAnomalies:
    """What was flagged.

    ``limit``: variance above which an episode is flagged; infinity where none can be. ``median`` and
    ``mad``: of the log variances.
    ``episode_ids``: at most ``MAX_IDS`` flagged episodes, largest variance first, then by id.
    """

    assessed: int
    limit: float
    flagged: int
    episode_ids: tuple[str, ...]
    median: float = 0.0
    mad: float = 0.0


def variance_limit(median: float, mad: float, assessed: int) -> float:
    """exp(median + 5 * 1.4826 * MAD) of the log variances; infinity without a spread to judge by."""
    if assessed < MIN_ASSESSED or not mad > 0.0:
        return math.inf
    return math.exp(median + Z_LIMIT * NORMAL_MAD * mad)


def find_anomalies(connection: duckdb.DuckDBPyConnection) -> VarianceAnomalies:
    """Flag episodes in the view ``rewards`` (a reward table)."""
    row = connection.execute(
        """
        SELECT count(*), coalesce(median(x), 0), coalesce(mad(x), 0)
        FROM (SELECT ln(variance) AS x FROM rewards WHERE variance > 0)
        """
    ).fetchone()
    assessed, median, mad = row or (0, 0.0, 0.0)
    limit = variance_limit(median, mad, assessed)
    flagged = connection.execute(
        "SELECT episode_id, count(*) OVER () FROM rewards WHERE variance > ? "
        "ORDER BY variance DESC, episode_id LIMIT ?",
        [limit, MAX_IDS],
    ).fetchall()
    return VarianceAnomalies(
        assessed,
        limit,
        flagged[0][1] if flagged else 0,
        tuple(row[0] for row in flagged),
        median,
        mad,
    )


def contradictions(connection: duckdb.DuckDBPyConnection) -> tuple[Suspicion, ...]:
    """Every flagged episode of the view ``rewards``, by id."""
    found = find_anomalies(connection)
    rows = connection.execute(
        "SELECT episode_id, signals, variance FROM rewards WHERE variance > ? ORDER BY episode_id",
        [found.limit],
    ).fetchall()
    return tuple(
        Suspicion(
            episode_id,
            ReviewKind.ANOMALY,
            f"Its {signals} signals contradict each other: variance {variance:.3g}, where the median of "
            f"{found.assessed:,} episodes is {math.exp(found.median):.3g} (robust z {z:.1f} of its "
            f"logarithm, limit {Z_LIMIT:g}).",
            z,
        )
        for episode_id, signals, variance in rows
        for z in [(math.log(variance) - found.median) / (NORMAL_MAD * found.mad)]
    )
