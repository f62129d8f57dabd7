"""The one-run bound against values that follow from its formula by hand, and on randomised response."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from synthetic.audit.bound import epsilon_lower_bound, p_value


def test_without_delta_it_is_the_exact_binomial_tail() -> None:
    # e^epsilon = 3, so each guess is right with chance 3/4: P[B(4) >= 3] = 4 (27/64)(1/4) + 81/256.
    assert p_value(10, 4, 3, math.log(3), 0.0) == pytest.approx(189 / 256)
    # A fair coin: P[B(5) >= 4] = (5 + 1) / 32.
    assert p_value(5, 5, 4, 0.0, 0.0) == pytest.approx(6 / 32)


def test_delta_adds_the_steepest_mean_of_the_chances_just_below() -> None:
    # e^epsilon = 3, r = 2, v = 2: P[B = 1] = 6/16 for i = 1, (6/16 + 1/16) / 2 for i = 2.
    assert p_value(100, 2, 2, math.log(3), 1e-3) == pytest.approx(9 / 16 + 2 * 100 * 1e-3 * 6 / 16)
    # e^epsilon = 1, r = 4, v = 1: only P[B = 0] = 1/16 lies below.
    assert p_value(50, 4, 1, 0.0, 1e-3) == pytest.approx(15 / 16 + 2 * 50 * 1e-3 / 16)


def test_whoever_is_never_wrong_proves_the_log_odds_of_the_confidence() -> None:
    # chance^r = .05, so epsilon = log(c / (1 - c)) with c = .05^(1 / r).
    for guesses in (1, 10, 500):
        chance = 0.05 ** (1 / guesses)
        expected = max(0.0, math.log(chance / (1 - chance)))
        assert epsilon_lower_bound(1_000, guesses, guesses, 0.0) == pytest.approx(expected)


def test_published_figure_of_a_run_without_noise() -> None:
    assert epsilon_lower_bound(1_000, 500, 500, 1e-5) == pytest.approx(5.09, abs=0.005)


def test_a_coin_thrower_proves_nothing() -> None:
    assert epsilon_lower_bound(1_000, 500, 250, 1e-5) == 0.0
    assert epsilon_lower_bound(1_000, 500, 0, 1e-5) == 0.0


@given(st.integers(1, 200), st.integers(0, 200), st.floats(0.0, 3.0), st.floats(0.0, 0.01))
def test_more_right_guesses_refute_more(
    guesses: int, correct: int, epsilon: float, delta: float
) -> None:
    correct = min(correct, guesses - 1) if guesses > 1 else 0
    fewer = p_value(200, guesses, correct, epsilon, 0.0)
    assert p_value(200, guesses, correct + 1, epsilon, 0.0) <= fewer
    assert fewer <= p_value(200, guesses, correct, epsilon, delta)
    assert p_value(200, guesses, correct, epsilon, 0.0) <= p_value(
        200, guesses, correct, epsilon + 0.5, 0.0
    )


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_randomised_response_is_rarely_refuted_and_nearly_reached(epsilon: float) -> None:
    """It answers truly with chance e^epsilon / (1 + e^epsilon): exactly epsilon-private, the bound's own
    worst case. At 95 % confidence the bound may pass epsilon in one run of twenty."""
    rng = np.random.default_rng(5)
    truths = rng.binomial(1_000, 1 / (1 + math.exp(-epsilon)), size=300)
    bounds = np.array([epsilon_lower_bound(1_000, 1_000, int(v), 0.0) for v in truths])
    assert (bounds > epsilon).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert np.median(bounds) > epsilon - 0.2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((10, 11, 1, 0.0, 0.0), "guesses=11"),
        ((10, 5, 6, 0.0, 0.0), "correct=6"),
        ((10, 5, 5, -1.0, 0.0), "epsilon=-1"),
        ((10, 5, 5, 0.0, 1.0), "delta=1"),
    ],
)
def test_values_out_of_range_are_refused(
    arguments: tuple[int, int, int, float, float], named: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=named):
        p_value(*arguments)
    with pytest.raises(ShouldFixArgument, match=r"confidence=1\.0"):
        epsilon_lower_bound(10, 5, 5, 0.0, 1.0)
