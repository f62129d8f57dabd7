"""Figures of a reward table, recomputed by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from everloop.contracts import documents
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.figures import RewardFigures
from everloop.loops import load
from everloop.rewards.anomaly import MAX_IDS, variance_limit
from everloop.rewards.engine import bounded_engine
from everloop.rewards.figures import ClusteredMean, measure_rewards
from everloop.rewards.runner import aggregate
from everloop.rewards.table import write_rewards
from tests.made_datasets import Evidence, Row, episode_id, write_dataset


def on(day: int) -> datetime:
    return datetime(2024, 5, day, 12, tzinfo=UTC)


def test_figures_by_hand(tmp_path: Path) -> None:
    """Two people with rewards (1, 0) and (0.5), one comparison episode, one without evidence."""
    spec = load("companion")
    dataset = write_dataset(
        tmp_path / "d",
        [
            Row(0, "ada", on(8), closed=False),
            Row(1, "ada", on(9)),
            Row(2, "bo", on(9), closed=False),
            Row(3, "cy", on(10), arm="comparison", closed=False),
            Row(4, "di", on(10), closed=False),
        ],
        [
            Evidence(0, "explicit_feedback", 1.0),
            Evidence(0, "explicit_feedback", 1.0),
            Evidence(2, "engagement", 0.5),
            Evidence(3, "resonance", 0.0),
            Evidence(9, "engagement", 1.0),  # of no episode here
        ],
        window_days=4,
    )
    figures = aggregate(spec, dataset, tmp_path / "out" / "r.parquet")
    assert (figures.episodes, figures.rewarded) == (5, 4)
    assert figures.mean.value == pytest.approx(0.5)
    assert (figures.mean.n, figures.mean.clusters) == (3, 2)
    # sums 1 and 0.5 of 2 and 1 rewards around the mean 0.5: residuals 0 and 0
    assert (figures.mean.low, figures.mean.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert figures.comparison is not None
    assert figures.comparison.value == -1.0
    assert math.isnan(figures.comparison.low)
    assert figures.positive_share == pytest.approx(0.5)
    assert figures.outcomes == {"success": 2, "neutral": 1, "failure": 1}
    engagement, resonance, feedback = figures.by_signal
    assert (engagement.count, engagement.observed, engagement.share) == (2, 1, 0.4)
    assert engagement.mean == pytest.approx(0.25)
    assert (resonance.count, resonance.observed, resonance.mean) == (1, 1, -1.0)
    assert (feedback.count, feedback.observed, feedback.mean) == (1, 1, 1.0)
    assert [(d.date, d.episodes) for d in figures.daily] == [
        (date(2024, 5, 7), 0),
        (date(2024, 5, 8), 1),
        (date(2024, 5, 9), 2),
        (date(2024, 5, 10), 0),
    ]
    assert figures.daily[2].mean == pytest.approx(0.25)
    assert math.isnan(figures.daily[0].mean)
    counts = dict(zip(figures.histogram_edges, figures.histogram_counts, strict=False))
    assert {edge: n for edge, n in counts.items() if n} == {-1.0: 1, 0.0: 1, 0.5: 1, 0.9: 1}
    assert figures.anomalies == 0
    saved = documents.write(figures, tmp_path / "figures.json")
    assert documents.read(RewardFigures, saved).by_signal == figures.by_signal


def test_clustered_interval_is_the_textbook_one_for_one_reward_each() -> None:
    rewards = np.array([0.1, 0.4, -0.2, 0.7, 0.3])
    mean = ClusteredMean(
        float(rewards.mean()), 5, 5, float(((rewards - rewards.mean()) ** 2).sum())
    )
    low, high = stats.t.interval(0.95, 4, rewards.mean(), stats.sem(rewards))
    assert mean.interval() == (pytest.approx(low), pytest.approx(high))


def test_interval_stays_in_range_and_needs_two_people() -> None:
    assert ClusteredMean(0.9, 2, 2, 1.0).interval()[1] == 1.0
    assert all(math.isnan(bound) for bound in ClusteredMean(0.9, 2, 1, 0.0).interval())


def test_repeats_of_one_person_do_not_narrow_the_interval(tmp_path: Path) -> None:
    spec = load("open_bandit")

    def width(copies: int) -> float:
        rows = [Row(i, f"p{i // copies}") for i in range(10 * copies)]
        clicks = [Evidence(i, "click", 1.0) for i in range(5 * copies)]
        dataset = write_dataset(tmp_path / f"d{copies}", rows, clicks)
        mean = aggregate(spec, dataset, tmp_path / f"r{copies}.parquet").mean
        assert mean.clusters == 10
        return mean.high - mean.low

    assert width(1) == pytest.approx(width(8))


def test_empty_dataset(tmp_path: Path) -> None:
    figures = aggregate(
        load("companion"), write_dataset(tmp_path / "d", []), tmp_path / "r.parquet"
    )
    assert (figures.episodes, figures.rewarded, figures.comparison) == (0, 0, None)
    assert math.isnan(figures.mean.value)
    assert math.isnan(figures.positive_share)
    assert sum(figures.histogram_counts) == 0
    assert len(figures.daily) == 28
    assert all(signal.count == 0 and math.isnan(signal.mean) for signal in figures.by_signal)


def test_extreme_variance_is_flagged(tmp_path: Path) -> None:
    """Forty episodes whose two signals differ by about 0.1, one whose signals contradict."""
    signals = []
    for i in range(40):
        signals += [Evidence(i, "engagement", 0.5), Evidence(i, "engagement", 0.6 + i / 1000)]
    signals += [Evidence(40, "resonance", 0.0), Evidence(40, "resonance", 1.0)]
    signals += [Evidence(41, "engagement", 0.5), Evidence(41, "engagement", 0.5)]
    dataset = write_dataset(tmp_path / "d", [Row(i, f"p{i}") for i in range(42)], signals)
    figures = aggregate(load("companion"), dataset, tmp_path / "r.parquet")
    variances = [*((0.1 + i / 1000) ** 2 / 2 for i in range(40)), 2.0]
    x = np.log(variances)
    spread = 1.4826 * np.median(np.abs(x - np.median(x)))
    assert figures.variance_limit == pytest.approx(np.exp(np.median(x) + 5 * spread))
    assert figures.anomaly_ids == (episode_id(40),)
    assert (figures.anomalies, figures.anomaly_share) == (1, pytest.approx(1 / 42))


def test_flagged_ids_are_capped_and_the_count_is_not(tmp_path: Path) -> None:
    signals = []
    for i in range(400):
        signals += [Evidence(i, "engagement", 0.5), Evidence(i, "engagement", 0.501 + i * 1e-6)]
    for i in range(400, 520):
        signals += [Evidence(i, "resonance", 0.0), Evidence(i, "resonance", 1.0)]
    dataset = write_dataset(tmp_path / "d", [Row(i, f"p{i}") for i in range(520)], signals)
    figures = aggregate(load("companion"), dataset, tmp_path / "r.parquet")
    assert figures.anomalies == 120
    assert len(figures.anomaly_ids) == MAX_IDS


def test_no_limit_without_evidence_of_spread() -> None:
    assert variance_limit(-2.0, 0.0, 1000) == math.inf
    assert variance_limit(-2.0, 0.5, 29) == math.inf
    assert variance_limit(0.0, 1.0, 30) == pytest.approx(math.exp(5 * 1.4826))


def test_another_dataset_s_table_is_refused(tmp_path: Path) -> None:
    spec = load("companion")
    dataset = write_dataset(tmp_path / "d", [Row(0), Row(1)])
    other = write_dataset(tmp_path / "e", [Row(0), Row(2)])
    shorter = write_dataset(tmp_path / "f", [Row(0)])
    for version, misplaced in ((other, 1), (shorter, 1), (dataset, 0)):
        table = write_rewards(spec, version, tmp_path / "r.parquet")
        with bounded_engine(tmp_path, 100, 1) as connection:
            if misplaced:
                with pytest.raises(ShouldRestoreArtefact, match="1 of 2 rows"):
                    measure_rewards(connection, spec, dataset, table)
            else:
                assert measure_rewards(connection, spec, dataset, table).episodes == 2


def test_order_is_the_file_s(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [Row(i, timestamp=on(8 + i % 3)) for i in range(9)])
    shuffled = pq.read_table(dataset.episodes_path).take([4, 2, 8, 0, 1, 7, 3, 6, 5])
    pq.write_table(shuffled, dataset.episodes_path)
    aggregate(load("companion"), dataset, tmp_path / "r.parquet")
    ids = pq.read_table(tmp_path / "r.parquet").column("episode_id")
    assert ids.equals(shuffled.column("episode_id"))
