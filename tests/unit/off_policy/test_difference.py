from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.off_policy.betting import Guess
from rl.off_policy.difference import STRENGTHS, Known, Plan, lower_bound, overshoot, plan, terms
from rl.off_policy.estimators import WeightedDecisions, dr, weigh

LOW, HIGH, EPSILON, JUDGED = -0.5, 1.0, 0.2, 0.1


def _setting(seed: int, actions: int, logging_baseline: bool) -> tuple:
    """Every (action, extreme reward) of one context, with its probability under the logging policy."""
    rng = np.random.default_rng(seed)

    def explored(epsilon: float) -> np.ndarray:
        sharp = rng.dirichlet(np.full(actions, 0.1))
        return (1 - epsilon) * sharp + epsilon / actions

    logging, one, two = explored(EPSILON), explored(JUDGED), explored(JUDGED)
    q = rng.uniform(-0.3, 0.8, actions)
    chance_high = rng.uniform(0, 1, actions)
    cells = list(itertools.product(range(actions), (LOW, HIGH)))
    action = np.array([a for a, _ in cells])
    reward = np.array([r for _, r in cells])
    n = len(cells)
    tile = lambda row: np.tile(row, (n, 1))  # noqa: E731
    plus = weigh(reward, action, logging[action], tile(one), tile(q))
    minus = None
    if not logging_baseline:
        minus = weigh(reward, action, logging[action], tile(two), tile(q))
    chance = logging[action] * np.where(
        reward == HIGH, chance_high[action], 1 - chance_high[action]
    )
    truth = LOW + (HIGH - LOW) * chance_high
    baseline = logging if logging_baseline else two
    known = Known(
        LOW, HIGH, float(q.min()), float(q.max()), overshoot(actions, EPSILON, JUDGED), most=1
    )
    return plus, minus, reward, chance, float((one - baseline) @ truth), known


@given(
    seed=st.integers(0, 10_000),
    actions=st.integers(2, 6),
    logging_baseline=st.booleans(),
    strength=st.sampled_from(STRENGTHS),
    counter=st.sampled_from(STRENGTHS),
    reverse=st.booleans(),
)
def test_unbiased_and_never_below_the_least_value(
    seed: int, actions: int, logging_baseline: bool, strength: float, counter: float, reverse: bool
) -> None:
    """Exactly, over every action and extreme reward, for any strength of the control variates."""
    plus, minus, reward, chance, truth, known = _setting(seed, actions, logging_baseline)
    split = terms(minus, plus, reward, known) if reverse else terms(plus, minus, reward, known)
    values = split.base + strength * split.plus_control + counter * split.minus_control
    assert values @ chance == pytest.approx(-truth if reverse else truth, abs=1e-9)
    assert values.min() >= known.least(strength, counter, split.both_weighted) - 1e-9


def test_full_strength_is_doubly_robust() -> None:
    plus, minus, reward, *_, known = _setting(1, 4, logging_baseline=False)
    split = terms(plus, minus, reward, known)
    values = split.base + split.plus_control + split.minus_control
    np.testing.assert_allclose(values, dr(plus) - dr(minus), atol=1e-12)
    against_log = terms(plus, None, reward, known)
    np.testing.assert_allclose(
        against_log.base + against_log.plus_control, dr(plus) - reward, atol=1e-12
    )


def test_overshoot_by_hand() -> None:
    """Ten actions, floor .2: w is at most (.9 + .01) * 50; minus the part that q(x, pi) gives back."""
    assert overshoot(10, 0.2, 0.1) == pytest.approx(0.91 * 49)


def test_least_by_hand() -> None:
    known = Known(low=0.0, high=1.0, q_low=0.1, q_high=0.5, overshoot=10.0, most=1)
    assert known.least(0.0, 0.0, both_weighted=False) == -1.0
    assert known.least(0.0, 0.0, both_weighted=True) == -1.0
    # 10 * .5 on the better side; 10 * (1 - .1) on the worse
    assert known.least(1.0, 0.0, both_weighted=False) == -5.0
    assert known.least(0.1, 1.0, both_weighted=True) == -10.0
    unknown = Known(0.0, 1.0, 0.1, 0.5, math.inf, 1)
    assert unknown.least(0.0, 0.0, both_weighted=True) == -1.0
    assert unknown.least(0.5, 0.0, both_weighted=True) == -math.inf


def _pilot(rows: int, known: Known, noise: float = 0.05) -> tuple:
    """A log in which the model explains nearly all of the reward."""
    rng = np.random.default_rng(0)
    q = rng.uniform(0.2, 0.8, (rows, 2))
    action = rng.integers(0, 2, rows)
    reward = np.clip(q[np.arange(rows), action] + rng.normal(0, noise, rows), 0, 1)
    target = np.tile([0.9, 0.1], (rows, 1))
    plus = weigh(reward, action, np.full(rows, 0.5), target, q)
    return terms(plus, None, reward, known), np.arange(rows)


def test_many_people_earn_strong_control_variates_and_few_do_not() -> None:
    known = Known(0.0, 1.0, 0.2, 0.8, overshoot(2, 0.1, 0.1), most=1)
    pilot, person = _pilot(2000, known)
    few = plan(pilot, person, known, 20, 0.05)
    many = plan(pilot, person, known, 200_000, 0.05)
    assert few.strength < 0.2 < many.strength
    assert many.counter == 0.0
    assert many.guess.variance < few.guess.variance


def test_without_a_floor_there_are_no_control_variates() -> None:
    known = Known(0.0, 1.0, 0.2, 0.8, math.inf, most=1)
    pilot, person = _pilot(500, known)
    assert plan(pilot, person, known, 200_000, 0.05).strength == 0.0


def test_without_a_pilot_the_guess_is_wide() -> None:
    known = Known(0.0, 1.0, 0.2, 0.8, 9.0, most=1)
    pilot, _ = _pilot(10, known)
    nothing = terms(WeightedDecisions(*(np.zeros(0),) * 4), None, np.zeros(0), known)
    assert plan(nothing, np.zeros(0, dtype=int), known, 100, 0.05) == Plan(0, 0, Guess(0.0, 1.0))
    assert lower_bound(pilot, np.arange(10), known, Plan(0, 0, Guess(0.0, 1.0)), 0.05) >= -1.0
