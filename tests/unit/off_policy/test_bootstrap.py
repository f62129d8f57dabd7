"""The bootstrap over people: hand-made references, agreement with scipy, and what it refuses."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from everloop.contracts.errors import ShouldFixArgument
from rl.off_policy import bootstrap
from rl.off_policy.bootstrap import Figure, bootstrap_intervals, ratio


def _mean(values: np.ndarray) -> Figure:
    return ratio(values, np.ones(len(values)))


def test_levels_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three people, four given draws: bias, acceleration and quantiles computed here again."""
    values = np.array([0.0, 1.0, 5.0])
    counts = np.array([[3.0, 0, 0], [1, 1, 1], [0, 3, 0], [0, 1, 2]])
    monkeypatch.setattr(bootstrap, "_drawn", lambda *_: iter([counts]))
    (low, high) = bootstrap_intervals([_mean(values)], 0.8)[0]
    draws = np.array([0.0, 2.0, 1.0, 11 / 3])
    below = (2 + 0.5) / 4  # 0 and 1 lie below 2, one draw ties
    z0 = stats.norm.ppf(below)
    without = np.array([3.0, 2.5, 0.5])
    d = without.mean() - without
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    levels = [
        stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))
        for z in (stats.norm.ppf(0.1), stats.norm.ppf(0.9))
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, levels)), abs=1e-12)
    assert levels[0] + levels[1] > 1  # skewed to the right: both bounds move up


def test_agrees_with_scipys_bca_on_skewed_data() -> None:
    values = np.random.default_rng(11).exponential(1.0, 60)
    mine = bootstrap_intervals([_mean(values)], 0.95, resamples=20_000)[0]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=12).confidence_interval
    assert mine == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_people_are_drawn_not_decisions() -> None:
    """Repeating everybody's decisions leaves the interval where it is."""
    values = np.random.default_rng(13).normal(size=80)
    once = bootstrap_intervals([_mean(values)], 0.9)[0]
    thrice = bootstrap_intervals([ratio(3 * values, np.full(80, 3.0))], 0.9)[0]
    assert thrice == pytest.approx(once)


def test_the_same_counter_draws_the_same_people_and_another_one_others() -> None:
    values = np.random.default_rng(14).normal(size=50)
    first, again, other = (
        bootstrap_intervals([_mean(values)], 0.9, counter)[0] for counter in (3, 3, 4)
    )
    assert first == again != other


def test_figures_share_their_draws_and_blocks_cover_every_resample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(15)
    values = rng.normal(size=40)
    figures = [_mean(values), _mean(2 * values + 1)]
    one, two = bootstrap_intervals(figures, 0.9, resamples=333)
    assert two == pytest.approx((2 * one[0] + 1, 2 * one[1] + 1))
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 100)
    drawn = np.vstack(list(bootstrap._drawn(rng, 40, 333)))
    assert drawn.shape == (333, 40)
    assert (drawn.sum(axis=1) == 40).all()


def test_little_or_nothing_has_no_interval() -> None:
    nothing = [
        _mean(np.array([3.0])),
        _mean(np.zeros(9)),
        _mean(np.array([1.0, math.nan, 2.0])),
        ratio(np.arange(5.0), np.zeros(5)),
    ]
    for figure in nothing:
        assert all(math.isnan(bound) for bound in bootstrap_intervals([figure], 0.95)[0])
    assert bootstrap_intervals([], 0.95) == ()


def test_a_resample_without_a_value_takes_the_interval_away() -> None:
    """One person alone carries the denominator: a third of the draws miss them."""
    figure = ratio(np.array([1.0, 0, 0, 0]), np.array([1.0, 0, 0, 0]))
    assert math.isnan(bootstrap_intervals([figure], 0.9)[0][0])


def test_an_extreme_skew_keeps_the_order_of_the_bounds() -> None:
    values = np.r_[np.zeros(500), 1e6]
    low, high = bootstrap_intervals([_mean(values)], 0.999)[0]
    assert 0.0 <= low <= high


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"confidence": 1.0}, "confidence=1"),
        ({"confidence": 0.9, "resamples": 0}, "resamples=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, float], says: str) -> None:
    with pytest.raises(ShouldFixArgument, match=says):
        bootstrap_intervals([_mean(np.arange(3.0))], **arguments)  # type: ignore[arg-type]


def test_figures_of_other_people_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="3 and 4 people"):
        bootstrap_intervals([_mean(np.arange(3.0)), _mean(np.arange(4.0))], 0.9)


def test_memory_does_not_grow_with_the_resamples() -> None:
    values = np.random.default_rng(16).normal(size=20_000)
    tracemalloc.start()
    bootstrap_intervals([_mean(values)], 0.9, resamples=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all draws at once would take 48 MB for the counts alone, and as much again
