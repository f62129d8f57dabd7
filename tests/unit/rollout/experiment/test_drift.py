"""The drift detector: Page's sums by hand, and differences that a steady effect does not move."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.rollout.experiment.drift import CLIP, cusum, departures
from everloop.rollout.experiment.moments import Moments, moments_of
from everloop.rollout.experiment.strata import Cells


def trial(seed: int, effects: list[float], shares: list[float], spread: float = 0.3) -> Moments:
    """2,000 people who come every day and differ from each other."""
    rng = np.random.default_rng(seed)
    people, days = 2000, len(effects)
    met = rng.random(people)[:, None] < np.array(shares)
    own = rng.normal(0.0, spread, people)[:, None]
    total = own + met * np.array(effects) + rng.normal(0.0, 0.3, (people, days))
    person, day = np.nonzero(np.ones((people, days)))
    ones = np.ones(len(person))
    return moments_of(Cells(person, day, met[person, day], ones, total[person, day], people, days))


def test_sums_rise_by_what_is_above_the_slack_and_never_fall_below_zero() -> None:
    """up: .5, 0, 1.5; down: 0, 1.5, 0 with a slack of .5."""
    assert cusum(np.array([1.0, -2.0, 2.0]), 0.5, 10.0) == (1.5, False)
    assert cusum(np.array([1.0, -2.0]), 0.5, 10.0) == (1.5, False)
    assert cusum(np.zeros(0), 0.5, 5.0) == (0.0, False)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_rise_and_a_fall_are_both_drift(sign: float) -> None:
    steps = sign * np.array([2.0, 2.0, 2.0, 2.0])
    assert cusum(steps, 0.5, 5.0) == (6.0, True)
    assert cusum(steps[:3], 0.5, 5.0) == (4.5, False)


def test_the_threshold_itself_is_no_drift() -> None:
    assert cusum(np.array([2.5, 2.5]), 0.0, 5.0) == (5.0, False)


def test_an_alarm_stays_an_alarm() -> None:
    steps = np.array([3.0, 3.0, 3.0, -1.0, -1.0, -1.0])
    assert cusum(steps, 0.5, 5.0) == (3.0, True)


@pytest.mark.parametrize("effect", [0.0, 0.3, -0.3])
def test_a_steady_effect_is_no_drift_along_the_ramp(effect: float) -> None:
    ramp = [0.05, 0.05, 0.25, 0.25, 0.5, 0.5, 0.9, 0.9]
    found = [departures(trial(seed, [effect] * 8, ramp)) for seed in range(11, 31)]
    assert sum(cusum(steps, 0.5, 5.0)[1] for steps in found) <= 1
    every = np.concatenate(found)
    assert abs(every.mean()) < 0.25
    assert 0.8 < every.std() < 1.2


@pytest.mark.parametrize(("before", "after", "sign"), [(0.2, -0.2, -1.0), (-0.2, 0.2, 1.0)])
def test_an_effect_that_turns_is_drift_in_its_direction(
    before: float, after: float, sign: float
) -> None:
    steps = departures(trial(31, [before] * 3 + [after] * 4, [0.5] * 7))
    assert cusum(steps, 0.5, 5.0)[1]
    assert steps[2] * sign == CLIP


def test_one_day_is_compared_with_nothing() -> None:
    assert departures(trial(11, [0.3], [0.5])).size == 0
    assert departures(trial(11, [0.3, 0.3], [1.0, 0.5])).size == 0


def test_days_on_which_nothing_varies_say_nothing() -> None:
    person = np.tile(np.arange(10), 2)
    same = Cells(person, np.repeat([0, 1], 10), person % 2 == 0, np.ones(20), np.ones(20), 10, 2)
    assert np.isfinite(departures(moments_of(same))).all()


def test_the_luck_of_new_people_at_a_new_step_is_no_drift() -> None:
    """People who differ much more than their days do: whoever joined stays, and so does their mean."""
    ramp = [0.05] * 3 + [0.3] * 3 + [0.95] * 6
    found = [departures(trial(seed, [0.0] * 12, ramp, spread=1.5)) for seed in range(40, 60)]
    assert sum(cusum(steps, 0.5, 5.0)[1] for steps in found) <= 1
    together = np.mean([float(np.mean(steps[1:] * steps[:-1])) for steps in found])
    assert abs(together) < 0.25
    assert 0.8 < np.concatenate(found).std() < 1.2
