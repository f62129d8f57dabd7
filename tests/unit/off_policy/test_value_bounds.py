"""Bounds of a policy's own value: formulas by hand, coverage, and that each side can fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from rl.off_policy import value_bounds
from rl.off_policy.betting import Guess, betting_lower_bound
from rl.off_policy.difference import Known
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.value_bounds import bounds_of_value

LOW, HIGH = -1.0, 1.0
PROBABILITY = np.array([0.7, 0.3])
TARGET = np.array([0.2, 0.8])
MEAN = np.array([-0.2, 0.5])
TRUTH = float(TARGET @ MEAN)
MODEL = np.array([-0.1, 0.3])
KNOWN = Known(LOW, HIGH, -0.1, 0.3, 0.8 / 0.3, 1)


def _drawn(rng: np.random.Generator, n: int) -> tuple[WeightedDecisions, np.ndarray]:
    action = (rng.random(n) < PROBABILITY[1]).astype(int)
    reward = np.where(rng.random(n) < (1 + MEAN[action]) / 2, 1.0, -1.0)
    weight = TARGET[action] / PROBABILITY[action]
    target = np.full(n, float(TARGET @ MODEL))
    return WeightedDecisions(reward, weight, MODEL[action], target), np.arange(n)


def test_without_control_variates_it_is_the_bound_of_weighted_gains() -> None:
    """K unknown: only lambda = 0 is left, and both sides are bets on w (r - lo) and w (hi - r)."""
    rng = np.random.default_rng(21)
    pilot, judged = _drawn(rng, 200), _drawn(rng, 400)
    blind = Known(LOW, HIGH, -0.1, 0.3, math.inf, 1)
    low, high = bounds_of_value(blind, pilot, judged, 0.05)
    ones = np.ones(400, dtype=int)
    for bound, gain, before in (
        (low - LOW, judged[0].reward - LOW, pilot[0].reward - LOW),
        (HIGH - high, HIGH - judged[0].reward, HIGH - pilot[0].reward),
    ):
        weighted = pilot[0].weight * before
        guess = Guess(float(weighted.mean()), float(weighted.var()))
        want = betting_lower_bound(judged[0].weight * gain, ones, 1, 0.0, 0.05, guess)
        assert bound == pytest.approx(want, abs=1e-9)


def test_control_variates_narrow_it_and_stay_within_the_range() -> None:
    rng = np.random.default_rng(22)
    pilot, judged = _drawn(rng, 2000), _drawn(rng, 4000)
    low, high = bounds_of_value(KNOWN, pilot, judged, 0.05)
    plain = bounds_of_value(Known(LOW, HIGH, -0.1, 0.3, math.inf, 1), pilot, judged, 0.05)
    assert LOW <= low < TRUTH < high <= HIGH
    assert high - low < plain[1] - plain[0]


def test_each_side_covers_and_is_not_vacuous() -> None:
    rng = np.random.default_rng(23)
    trials, above, below, widths = 400, 0, 0, []
    for _ in range(trials):
        low, high = bounds_of_value(KNOWN, _drawn(rng, 200), _drawn(rng, 300), 0.1)
        above += low > TRUTH
        below += high < TRUTH
        widths.append(high - low)
    allowed = trials * 0.1 + 3 * math.sqrt(trials * 0.1 * 0.9)
    assert above <= allowed
    assert below <= allowed
    assert np.mean(widths) < 0.75


def test_a_declared_range_that_is_too_narrow_is_noticed_by_its_effect() -> None:
    """The least value of a term is what the bet stands on: with K too small the bound must refuse."""
    rng = np.random.default_rng(24)
    pilot, judged = _drawn(rng, 2000), _drawn(rng, 4000)
    wrong = Known(LOW, HIGH, -0.1, 0.3, 0.001, 1)
    with pytest.raises(ShouldFixArgument, match="below the least possible"):
        bounds_of_value(wrong, pilot, judged, 0.05)


def test_without_a_pilot_there_is_a_wide_bound() -> None:
    rng = np.random.default_rng(25)
    nobody = WeightedDecisions(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    low, high = bounds_of_value(KNOWN, (nobody, np.zeros(0, dtype=int)), _drawn(rng, 2000), 0.05)
    assert LOW <= low < TRUTH < high <= HIGH


def test_the_terms_and_the_least_value_of_each_side_by_hand() -> None:
    """w = 2, r = .5, q(a) = .3, q(pi) = .1, q within [-.1, .3]: u = 1.5 and .5, max g = 1.3 and 1.1."""
    one = WeightedDecisions(*(np.array([x]) for x in (0.5, 2.0, 0.3, 0.1)))
    lower, upper = (value_bounds._side(one, KNOWN, side) for side in (False, True))
    assert lower.base[0] == pytest.approx(2 * 1.5)
    assert lower.control[0] == pytest.approx(1.1 - 2 * 1.3)
    assert lower.largest == pytest.approx(1.3)
    assert upper.base[0] == pytest.approx(2 * 0.5)
    assert upper.control[0] == pytest.approx(0.9 - 2 * 0.7)
    assert upper.largest == pytest.approx(1.1)
    assert value_bounds._least(0.5, 1.3, KNOWN) == pytest.approx(-0.5 * KNOWN.overshoot * 1.3)
    blind = Known(LOW, HIGH, -0.1, 0.3, math.inf, 1)
    assert value_bounds._least(0.0, 1.3, blind) == 0.0
