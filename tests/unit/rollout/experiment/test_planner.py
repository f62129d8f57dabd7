"""Plans: the ramp as it is held, the past by hand, and what makes a trial longer."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.rollout.experiment.boundary import reach
from everloop.rollout.experiment.effect import AIM, tuning_for
from everloop.rollout.experiment.planner import POWER, TrialPast, laid_out, past_of, plan

PAST = TrialPast(people=2000, decisions=2000, value=0.5, variance=0.1)
HALF = RolloutSpec(ramp=(50.0,), max_days=20, holdout_percent=0)


def days_of(past: TrialPast, share: float, rollout: RolloutSpec = HALF) -> float:
    days = plan(rollout, past, (share,)).effects[0].days
    return math.inf if days is None else days


def test_the_ramp_is_laid_out_by_days_and_steps() -> None:
    hours, percent = laid_out(RolloutSpec(ramp=(1, 5, 50), dwell_hours=(12, 36, 24), max_days=4))
    assert hours.tolist() == [12, 12, 24, 24, 24]
    assert percent.tolist() == [1, 5, 5, 50, 50]


def test_a_ramp_longer_than_the_trial_is_cut() -> None:
    terms = RolloutSpec(ramp=(1, 5, 50), dwell_hours=(48,), max_days=3, promote_from_percent=1)
    hours, percent = laid_out(terms)
    assert hours.tolist() == [24, 24, 24]
    assert percent.tolist() == [1, 1, 5]


def test_one_step_by_hand() -> None:
    """People come once: H = 500 a day, V = .1 H; the day on which the power first is .8."""
    for day in range(1, 21):
        weight = 500.0 * day
        line = float(reach(0.1 * weight, tuning_for(0.1, AIM * 0.5, 0.05), 0.05))
        beyond = (0.05 * 0.5 * weight - line) / math.sqrt(0.1 * weight)
        if NormalDist().cdf(beyond) >= POWER:
            break
    assert days_of(PAST, 0.05, HALF) >= days_of(PAST, -0.05)
    assert days_of(PAST, -0.05) == day
    assert 1 < day < 20


def test_a_gain_is_planned_with_the_larger_variance_that_it_brings() -> None:
    assert days_of(replace(PAST, people=200, decisions=200), 0.5) > days_of(
        replace(PAST, people=200, decisions=200), -0.5
    )


@pytest.mark.parametrize(
    "harder",
    [
        replace(PAST, variance=0.2),
        replace(PAST, people=1000, decisions=1000),
        replace(PAST, value=0.3),
        replace(PAST, correlation=0.5, other_day=1.0),
        replace(PAST, correlation=0.5, same_day=2.0),
    ],
)
def test_what_makes_a_trial_harder_makes_it_longer(harder: TrialPast) -> None:
    assert days_of(harder, -0.05) > days_of(PAST, -0.05)


def test_earlier_behaviour_makes_it_shorter() -> None:
    assert days_of(replace(PAST, explained=0.5), -0.05) < days_of(PAST, -0.05)


def test_a_smaller_effect_takes_longer_or_is_not_found() -> None:
    assert days_of(PAST, -0.2) < days_of(PAST, -0.05) < days_of(PAST, -0.03)
    assert plan(HALF, PAST, (-0.001,)).effects[0].days is None


def test_the_detectable_effect_is_where_found_begins() -> None:
    found = plan(HALF, PAST).detectable
    assert plan(HALF, PAST, (1.01 * found,)).effects[0].days is not None
    assert plan(HALF, PAST, (0.99 * found,)).effects[0].days is None


def test_a_stricter_trial_is_longer() -> None:
    strict = HALF.model_copy(update={"alpha": 0.001})
    assert days_of(PAST, -0.05, strict) > days_of(PAST, -0.05)


def test_a_holdout_is_what_the_last_step_is_compared_with() -> None:
    full = RolloutSpec(ramp=(100.0,), max_days=28, holdout_percent=10.0)
    found = plan(full, PAST, (-0.2, -0.001))
    assert [e.people for e in found.effects] == [200, 200]
    assert found.effects[0].days is not None


def test_traffic_is_of_those_who_are_not_held_out() -> None:
    held = RolloutSpec(ramp=(50.0,), max_days=20, holdout_percent=50)
    assert plan(held, PAST, (-0.2,)).effects[0].people == 500
    assert days_of(PAST, -0.05, held) > days_of(PAST, -0.05)


def test_without_a_control_nothing_is_found() -> None:
    full = RolloutSpec(ramp=(100.0,), max_days=5).model_copy(update={"holdout_percent": 0.0})
    found = plan(full, PAST, (-0.5,))
    assert found.effects[0].days is None
    assert math.isnan(found.detectable)


def test_days_at_95_to_5_do_not_blur_what_was_known_before() -> None:
    """With full weights the same people's further days would add more variance than knowledge."""
    again = TrialPast(2000, 4000, 0.6, 0.09, correlation=0.3, same_day=2.0, other_day=1.5)
    known = [plan(RolloutSpec(max_days=days), again).detectable for days in (6, 10, 20, 28)]
    assert max(known[1:]) < 1.01 * known[0]


def test_a_plan_is_told_in_words() -> None:
    told = plan(RolloutSpec(), PAST).lines
    assert "last step of the ramp is reached after 4 days" in told[0]
    assert told[1].startswith("A gain of 5% is ")
    assert told[4].startswith("A loss of 20% is found within ")
    assert told[5].startswith("By day 28, an effect of ")


def test_the_past_by_hand() -> None:
    """Day 0: person 0 with 1 and 1, person 1 with 0 and 0; day 1: 1 of person 0, 0 of person 1.

    Means .5; residuals +-.5. Pairs of one person: 6 each, each of .25; 12 of .25 over 12.
    """
    person = np.array([0, 0, 1, 1, 0, 1, 1])
    day = np.array([0, 0, 0, 0, 1, 1, 1])
    reward = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, np.nan])
    found = past_of(person, day, reward, -0.5)
    assert (found.people, found.decisions) == (2.0, 3.0)
    assert found.value == pytest.approx(1.0)
    assert found.variance == pytest.approx(6 * 0.25 / 4)
    assert found.correlation == pytest.approx(min(0.25 / (6 * 0.25 / 4), 1.0))
    assert found.same_day == pytest.approx(4 / 6)
    assert found.other_day == pytest.approx(2 * 4 / 6)


def test_people_who_are_not_alike_have_no_correlation() -> None:
    rng = np.random.default_rng(11)
    person, day = np.repeat(np.arange(500), 4), np.tile([0, 0, 1, 1], 500)
    found = past_of(person, day, rng.normal(0.3, 0.1, 2000), 0.0)
    assert found.correlation < 0.05
    own = rng.normal(0.0, 0.1, 500)[person]
    alike = past_of(person, day, own + rng.normal(0.3, 0.1, 2000), 0.0)
    assert alike.correlation == pytest.approx(0.5, abs=0.07)


def test_too_little_of_a_past_is_refused() -> None:
    with pytest.raises(ShouldCollectMoreData, match="1 people"):
        past_of(np.zeros(3, np.int64), np.zeros(3, np.int64), np.array([0.1, 0.2, 0.3]), 0.0)
    with pytest.raises(ShouldCollectMoreData, match="2 rewards"):
        past_of(np.arange(2), np.zeros(2, np.int64), np.ones(2), 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 0},
        {"decisions": 10},
        {"value": 0},
        {"variance": 0},
        {"correlation": 1.5},
        {"explained": 1.0},
        {"same_day": -1},
        {"other_day": -1},
    ],
)
def test_a_past_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ShouldFixArgument, match="cannot be planned with"):
        replace(PAST, **wrong)
