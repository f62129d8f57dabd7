"""Whole logs at once, and roll-outs with common random numbers."""

from itertools import pairwise

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.behaviour import doing_nothing, logging_policy, uniform_policy
from synthetic.population.journeys import play_journeys
from synthetic.population.rollouts import Estimate, roll_out
from tests.unit.synthetic.population.truths import RESPONSES, TRUTH

WEEK = 168 * 3_600


def test_everyone_has_as_many_decisions_and_a_break_follows_leaving() -> None:
    steps = list(play_journeys(RESPONSES, 250, 8, 1, logging_policy, chunk=100))
    assert len(steps) == 3 * 8
    assert sum(len(step.decisions) for step in steps) == 250 * 8
    chunk = steps[:8]
    for before, after in pairwise(chunk):
        gap = after.decisions.timestamp - before.decisions.timestamp
        assert (gap > 0).all()
        np.testing.assert_array_equal(gap > WEEK, before.decisions.ended)
        assert not after.decisions.hidden.tired[before.decisions.ended].any()
        np.testing.assert_array_equal(
            after.decisions.contexts.past_action[:, -1], before.decisions.action
        )
    np.testing.assert_array_equal(steps[8].person, np.arange(100, 200))


def test_a_log_repeats_itself_whatever_was_asked_before() -> None:
    first = list(play_journeys(RESPONSES, 50, 3, 5, logging_policy, chunk=30))
    longer = list(play_journeys(RESPONSES, 50, 5, 5, logging_policy, chunk=30))
    for a, b in zip(first[:3], longer[:3], strict=True):
        np.testing.assert_array_equal(a.decisions.contexts.emotion, b.decisions.contexts.emotion)
        np.testing.assert_array_equal(a.decisions.reward, b.decisions.reward)


def test_realised_rewards_are_those_expected() -> None:
    played = [s.decisions for s in play_journeys(RESPONSES, 3_000, 6, 2, uniform_policy)]
    reward = np.concatenate([d.reward for d in played])
    expected = np.concatenate([d.expected_reward[np.arange(len(d)), d.action] for d in played])
    off = reward - expected
    assert abs(off.mean()) <= 4 * off.std() / np.sqrt(len(off))
    ended = np.concatenate([d.ended for d in played]).mean()
    chance = np.concatenate(
        [TRUTH.end_chance(d.hidden)[np.arange(len(d)), d.action] for d in played]
    )
    assert abs(ended - chance.mean()) <= 4 * np.sqrt(ended / len(off))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 0}, "people=0"),
        ({"decisions": 0}, "decisions=0"),
        ({"chunk": 0}, "chunk=0"),
        ({"visits_per_day": 2.0}, "visits_per_day=2.0"),
    ],
)
def test_a_log_of_nothing_is_refused(change, message) -> None:
    with pytest.raises(ShouldFixArgument, match=message):
        next(
            play_journeys(
                RESPONSES, **({"people": 5, "decisions": 2} | change), seed=1, policy=logging_policy
            )
        )


def test_common_random_numbers_make_differences_precise() -> None:
    one, other = (
        roll_out(RESPONSES, policy, 400, 3, TRUTH.discount)
        for policy in (logging_policy, uniform_policy)
    )
    again = roll_out(RESPONSES, logging_policy, 400, 3, TRUTH.discount)
    np.testing.assert_array_equal(one.discounted, again.discounted)
    difference = one.difference(other)
    assert difference.low > 0
    apart = np.hypot(one.journey.high - one.journey.low, other.journey.high - other.journey.low)
    assert difference.high - difference.low < 0.9 * apart
    assert difference.value == pytest.approx(one.journey.value - other.journey.value)


def test_doing_nothing_is_worth_the_same_to_everyone() -> None:
    nothing = roll_out(RESPONSES, doing_nothing, 50, 3, TRUTH.discount)
    assert np.ptp(nothing.discounted) < 1e-9


def test_an_estimate_is_the_mean_with_its_interval() -> None:
    made = Estimate.of(np.array([0.0, 1.0, 2.0, 3.0]))
    half = 1.959964 * np.sqrt(5 / 3) / 2
    assert (made.value, made.n) == (1.5, 4)
    assert made.low == pytest.approx(1.5 - half, abs=1e-5)
    assert made.high == pytest.approx(1.5 + half, abs=1e-5)


def test_roll_outs_that_cannot_be_compared_are_refused() -> None:
    few, more = (roll_out(RESPONSES, doing_nothing, n, 3, 0.5) for n in (2, 3))
    with pytest.raises(ShouldFixArgument, match="of 2 and 3 people"):
        few.difference(more)
    with pytest.raises(ShouldFixArgument, match="people=1"):
        roll_out(RESPONSES, doing_nothing, 1, 3, 0.5)
