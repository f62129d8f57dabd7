"""What a dataset version holds, as one row of figures that DuckDB computes from its files."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import duckdb

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec

OWN_ARMS = "arm <> 'comparison'"
MEMORY = "1GB"
"""What DuckDB may hold; beyond it, it spills into a temporary folder."""
_NORMAL_999 = 3.2905
"""Two-sided 99.9 % quantile of the standard normal."""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Figures of a dataset version; counts unless said otherwise.

    Attributes:
        episodes, signals: rows.
        duplicate_episodes, duplicate_signals: rows whose id occurred before.
        unknown_actions: episodes without an action of the catalogue, or with an unknown valid one.
        unknown_arms: episodes without a known arm.
        unlisted_actions: episodes whose action is not among their valid actions.
        bad_propensities: logged propensities outside (0, 1], NaN included.
        unlogged_share, unlogged_comparison_share: share of episodes without a propensity, in [0, 1]
            (the loop's own arms; the comparison arm), NaN where there is no such episode.
        mean_inverse, mean_inverse_margin: mean of 1 / (|valid| p) on the loop's own arms and the half
            width of its 99.9 % normal interval; ``comparison_*`` the same for the comparison arm. Its
            expectation is 1 for every true propensity.
        outside_window: episodes of another day than the window's.
        age_hours: from the newest episode to the cut-off, NaN without an episode.
        last_day: episodes of the newest day that had ended at the cut-off; ``mean_before``: mean of the
            days of the window before it that have any; ``days_before``: how many have.
        undeclared_signals, out_of_range, negative_latencies, bad_confidences, orphan_signals: signals.
        positive_evidence: signals with weight whose value speaks for a reward above 0.
    """

    episodes: int
    signals: int
    duplicate_episodes: int
    duplicate_signals: int
    unknown_actions: int
    unknown_arms: int
    unlisted_actions: int
    bad_propensities: int
    unlogged_share: float
    unlogged_comparison_share: float
    mean_inverse: float
    mean_inverse_margin: float
    comparison_inverse: float
    comparison_inverse_margin: float
    outside_window: int
    age_hours: float
    last_day: int
    mean_before: float
    days_before: int
    undeclared_signals: int
    out_of_range: int
    negative_latencies: int
    bad_confidences: int
    orphan_signals: int
    positive_evidence: int


def measure(spec: LoopSpec, dataset: DatasetVersion) -> DatasetFacts:
    """Compute the facts, in few passes over each file and in bounded memory.

    Raises:
        ShouldRestoreArtefact: a file is missing or damaged.
    """
    with (
        tempfile.TemporaryDirectory(prefix="everloop-facts-") as spill,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": spill}) as connection,
    ):
        connection.execute("SET TimeZone='UTC'; SET threads=1")
        try:
            connection.read_parquet(str(dataset.episodes_path)).create_view("episodes")
            connection.read_parquet(str(dataset.signals_path)).create_view("signals")
            return _facts(connection, spec, dataset)
        except duckdb.Error as problem:
            raise ShouldRestoreArtefact(
                f"Dataset {dataset.manifest.dataset_id[:12]} cannot be read ({problem}).",
                "Extract it again with --refresh.",
            ) from problem


def _facts(
    connection: duckdb.DuckDBPyConnection, spec: LoopSpec, dataset: DatasetVersion
) -> DatasetFacts:
    manifest = dataset.manifest
    midnight = datetime.combine(manifest.logical_date, time(), UTC) + timedelta(days=1)
    start = midnight - timedelta(days=manifest.window_days)
    end = manifest.known_until
    own = _inverse(connection, OWN_ARMS)
    comparison = _inverse(connection, "arm = 'comparison'")
    newest = _one(connection, "SELECT epoch(max(timestamp)) FROM episodes")[0]
    ended = slice(None) if manifest.cutoff is None else slice(-1)
    days = list(manifest.episodes_per_day.values())[ended]
    before = [count for count in days[:-1] if count]
    rows = _one(
        connection,
        """
        SELECT count(*),
               count(*) FILTER (NOT coalesce(list_contains($actions, action)
                                    AND list_has_all($actions, valid_actions), false)),
               count(*) FILTER (NOT coalesce(list_contains(valid_actions, action), false)),
               count(*) FILTER (propensity IS NOT NULL
                                AND NOT (isfinite(propensity) AND propensity > 0 AND propensity <= 1)),
               count(*) FILTER (epoch(timestamp) < $start OR epoch(timestamp) >= $end),
               count(*) FILTER (NOT coalesce(list_contains($arms, arm), false))
        FROM episodes
        """,
        {
            "actions": list(spec.action_ids),
            "arms": [arm.value for arm in Arm],
            "start": start.timestamp(),
            "end": end.timestamp(),
        },
    )
    signals = _one(
        connection,
        """
        SELECT count(*),
               count(*) FILTER (declared.name IS NULL),
               count(*) FILTER (declared.name IS NOT NULL
                                AND NOT coalesce(isfinite(value) AND value >= declared.low
                                                 AND value <= declared.high, false)),
               count(*) FILTER (NOT coalesce(latency >= 0, false)),
               count(*) FILTER (NOT coalesce(isfinite(confidence) AND confidence >= 0
                                             AND confidence <= 1, false)),
               count(*) FILTER (known.episode_id IS NULL),
               count(*) FILTER (isfinite(value) AND value > declared.zero AND confidence > 0)
        FROM signals
        LEFT JOIN (SELECT unnest($names) AS name, unnest($lows) AS low, unnest($highs) AS high,
                          unnest($zeros) AS zero)
             AS declared ON declared.name = signal_type
        LEFT JOIN (SELECT DISTINCT episode_id FROM episodes) AS known USING (episode_id)
        """,
        {
            "names": list(spec.signal_names),
            "lows": [signal.low for signal in spec.signals],
            "highs": [signal.high for signal in spec.signals],
            "zeros": [0.5 if signal.two_sided else 0.0 for signal in spec.signals],
        },
    )
    return DatasetFacts(
        episodes=rows[0],
        signals=signals[0],
        duplicate_episodes=_repeated(connection, "episodes", "episode_id"),
        duplicate_signals=_repeated(connection, "signals", "signal_id"),
        unknown_actions=rows[1],
        unknown_arms=rows[5],
        unlisted_actions=rows[2],
        bad_propensities=rows[3],
        unlogged_share=own[2],
        unlogged_comparison_share=comparison[2],
        mean_inverse=own[0],
        mean_inverse_margin=own[1],
        comparison_inverse=comparison[0],
        comparison_inverse_margin=comparison[1],
        outside_window=rows[4],
        age_hours=math.nan if newest is None else (end.timestamp() - newest) / 3600,
        last_day=days[-1] if days else 0,
        mean_before=sum(before) / len(before) if before else math.nan,
        days_before=len(before),
        undeclared_signals=signals[1],
        out_of_range=signals[2],
        negative_latencies=signals[3],
        bad_confidences=signals[4],
        orphan_signals=signals[5],
        positive_evidence=signals[6],
    )


def _repeated(connection: duckdb.DuckDBPyConnection, table: str, key: str) -> int:
    """Rows of a table whose id occurred before.

    Fingerprints of 64 bits are counted first: where they are all distinct, so are the ids, which take
    several times the memory. Where they are not, the ids themselves are counted.
    """
    for told in (f"if({key} IS NULL, NULL, hash({key}))", key):
        rows, distinct = _one(connection, f"SELECT count(*), count(DISTINCT {told}) FROM {table}")  # noqa: S608
        if rows == distinct:
            break
    return int(rows - distinct)


def _inverse(connection: duckdb.DuckDBPyConnection, arm: str) -> tuple[float, float, float]:
    """(mean of 1 / (|valid| p), half width of its interval, share without a propensity) of an arm."""
    mean, deviation, logged, rows = _one(
        connection,
        f"""
        SELECT avg(inverse), stddev_samp(inverse), count(inverse), count(*)
        FROM (SELECT 1 / (len(valid_actions)
                          * CASE WHEN isfinite(propensity) AND propensity > 0 THEN propensity END)
                     AS inverse
              FROM episodes WHERE {arm})
        """,  # noqa: S608  (arm is one of two texts of this module)
    )
    if not rows:
        return math.nan, math.nan, math.nan
    unlogged = 1 - logged / rows
    if logged < 2:
        return math.nan, math.nan, unlogged
    return float(mean), _NORMAL_999 * float(deviation) / math.sqrt(logged), unlogged


def _one(
    connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any] | None = None
) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, values or {}).fetchone()
    return row or ()
