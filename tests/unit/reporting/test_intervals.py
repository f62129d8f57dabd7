"""Intervals against formulas worked by hand and against simulation of a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from everloop.contracts.intervals import critical, wilson
from everloop.reporting.intervals import (
    clustered_variance,
    mean_estimate,
    ratio_estimate,
    rmse_estimate,
    share_estimate,
)


def test_variance_sums_within_clusters_before_squaring() -> None:
    influence = np.array([1.0, 2.0, -3.0])
    # Clusters {0: 1 + 2, 1: -3}: (9 + 9) * 2 / (2 - 1).
    assert clustered_variance(influence, np.array([0, 0, 7])) == pytest.approx(36.0)
    assert math.isnan(clustered_variance(influence, np.array([1, 1, 1])))


def test_one_row_a_person_is_plain_wilson() -> None:
    hits = np.array([1.0] * 3 + [0.0] * 17)
    share = share_estimate("x", hits, np.arange(20), 0.95)
    theirs = stats.binomtest(3, 20).proportion_ci(0.95, method="wilson")
    assert (share.low, share.high) == pytest.approx((theirs.low, theirs.high))
    assert (share.n, share.clusters, share.method) == (20, 20, "Wilson")


def test_rows_that_repeat_a_person_add_nothing() -> None:
    once = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    ten_times = share_estimate("x", np.repeat(once, 10), np.repeat(np.arange(5), 10), 0.95)
    # Variance of 5 people's shares with 5/4: p(1 - p)/4, so four effective trials.
    assert (ten_times.low, ten_times.high) == pytest.approx(wilson(0.4, 4, critical(0.95)))
    assert (ten_times.n, ten_times.clusters) == (50, 5)


@pytest.mark.parametrize("everyone", [0.0, 1.0])
def test_a_unanimous_share_still_has_an_interval(everyone: float) -> None:
    share = share_estimate("x", np.full(30, everyone), np.repeat(np.arange(10), 3), 0.95)
    assert (share.low, share.high) == pytest.approx(wilson(everyone, 10, critical(0.95)))
    alone = share_estimate("x", np.full(30, everyone), np.zeros(30, np.int64), 0.95)
    assert alone.high - alone.low > 0.7


def test_mean_by_hand() -> None:
    mean = mean_estimate("x", np.array([0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1]), 0.95, 0, 1)
    # Influences (v - .75)/4 sum to -.125 and +.125 in the two people: variance 2 * (2 * .125^2).
    assert mean.value == 0.75
    assert mean.low == pytest.approx(0.75 - critical(0.95) * 0.25)
    assert mean.high == 1.0
    alone = mean_estimate("x", np.array([0.2, 0.4]), np.array([3, 3]), 0.95, 0, 1)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_rmse_by_hand() -> None:
    errors = np.array([0.1, -0.1, 0.3, 0.5])
    rmse = rmse_estimate("x", errors, np.arange(4), 0.95)
    assert rmse.value == pytest.approx(0.3)
    squares = errors**2
    half = critical(0.95) * float(np.std(squares, ddof=1)) / 2
    assert rmse.high == pytest.approx(math.sqrt(0.09 + half))
    assert rmse.low == 0.0


def test_ratio_by_hand() -> None:
    values = np.array([0.2, 0.4, 0.5, 0.7])
    inside = np.array([True, True, False, False])
    ratio = ratio_estimate("x", values, inside, np.arange(4), 0.95, 1)
    assert ratio.value == pytest.approx(0.5)
    # Influences on the log: -.1/.6, .1/.6, .1/1.2, -.1/1.2; times 4/3.
    spread = math.sqrt(4 / 3 * (2 * (1 / 6) ** 2 + 2 * (1 / 12) ** 2))
    assert ratio.low == pytest.approx(0.5 * math.exp(-critical(0.95) * spread))
    assert ratio.high == pytest.approx(0.5 * math.exp(critical(0.95) * spread))
    wider = ratio_estimate("x", values, inside, np.arange(4), 0.95, 4)
    assert wider.high > ratio.high


@pytest.mark.parametrize("kind", ["share", "mean", "ratio"])
def test_intervals_cover_the_truth_when_people_repeat(kind: str) -> None:
    rng = np.random.default_rng([5, len(kind)])
    covered = ignoring = 0
    for _ in range(300):
        person = np.repeat(np.arange(120), rng.integers(1, 12, 120))
        taste = rng.beta(2, 3, 120)[person]
        hits = (rng.random(len(person)) < taste).astype(np.float64)
        if kind == "share":
            result, truth = share_estimate("x", hits, person, 0.9), 0.4
            naive = wilson(float(hits.mean()), len(hits), critical(0.9))
            ignoring += naive[0] <= truth <= naive[1]
        elif kind == "mean":
            result, truth = mean_estimate("x", taste, person, 0.9, 0, 1), 0.4
        else:
            result, truth = ratio_estimate("x", taste, person < 60, person, 0.9, 1), 1.0
        covered += result.low <= truth <= result.high
    assert covered / 300 > 0.85
    if kind == "share":
        assert ignoring < covered - 20
