"""Journeys: resets, limits, sampling weights and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.simulation import Responses
from rl.environment import JourneyBatch, JourneySource
from rl.ppo.advantage import generalised_advantages
from tests.learning.worlds import Answer, World, delayed, identity, loop_of, never, people

SPEC = loop_of(fields=2, actions=3)


def source_of(answer: Any = identity, length: int = 4, **changes: Any) -> JourneySource:
    return JourneySource(World(answer), replace(people(SPEC), **changes), length)


def test_observations_are_contexts_and_masks_of_sampled_people() -> None:
    mask = np.ones((40, 3), dtype=np.bool_)
    mask[::2, 1] = False
    source = source_of(mask=mask)
    journeys = JourneyBatch(source, 64)
    observation = journeys.reset(np.random.default_rng(0))
    assert observation.shape == (64, 7)
    assert observation.dtype == np.float32
    np.testing.assert_array_equal(observation[:, :4], source.profiles.context[journeys.person])
    np.testing.assert_array_equal(observation[:, 4:], mask[journeys.person])


def test_people_are_sampled_by_their_weight() -> None:
    weight = np.zeros(40)
    weight[[3, 7]] = [3.0, 1.0]
    journeys = JourneyBatch(source_of(weight=weight), 4000)
    journeys.reset(np.random.default_rng(0))
    drawn, counts = np.unique(journeys.person, return_counts=True)
    assert drawn.tolist() == [3, 7]
    assert counts[0] / 4000 == pytest.approx(0.75, abs=0.03)


def test_the_length_limit_truncates_and_a_person_ends() -> None:
    journeys = JourneyBatch(source_of(length=2), 5)
    journeys.reset(np.random.default_rng(0))
    first = journeys.step(np.zeros(5, dtype=np.int64))
    assert not first.done.any()
    np.testing.assert_array_equal(first.following, journeys.observation)
    second = journeys.step(np.zeros(5, dtype=np.int64))
    assert second.truncated.all()
    assert not second.terminated.any()
    # what followed is still that person's; the next observation is another's
    np.testing.assert_array_equal(
        journeys.observation[:, :4], journeys.source.profiles.context[journeys.person]
    )
    assert not np.array_equal(second.following, journeys.observation)

    start = np.tile(np.array([[1.0, 0, 1.0, 0]], dtype=np.float32), (40, 1))
    ending = JourneyBatch(source_of(delayed, length=1, context=start), 3)
    ending.reset(np.random.default_rng(0))
    last = ending.step(np.zeros(3, dtype=np.int64))
    assert last.terminated.all()
    assert not last.truncated.any()
    assert last.reward.tolist() == [1.0] * 3


def test_journeys_repeat_from_a_seed() -> None:
    def play(seed: int) -> np.ndarray:
        journeys = JourneyBatch(source_of(), 8)
        seen = [journeys.reset(np.random.default_rng(seed))]
        for _ in range(9):
            journeys.step(np.zeros(8, dtype=np.int64))
            seen.append(journeys.observation)
        return np.stack(seen)

    np.testing.assert_array_equal(play(1), play(1))
    assert not np.array_equal(play(1), play(2))


def test_a_user_model_is_told_where_the_person_rests_and_where_they_are() -> None:
    told: list[tuple[Float32, Float32]] = []

    class Watching(World):
        def respond(
            self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
        ) -> Responses:
            told.append((resting.copy(), context.copy()))
            return World.respond(self, resting, context, action, rng)

    source = JourneySource(Watching(identity), people(SPEC), 4)
    journeys = JourneyBatch(source, 8)
    start = journeys.reset(np.random.default_rng(0))
    resting = source.profiles.context[journeys.person]
    step = journeys.step(np.zeros(8, dtype=np.int64))
    journeys.step(np.zeros(8, dtype=np.int64))
    np.testing.assert_array_equal(told[0][0], resting)
    np.testing.assert_array_equal(told[0][1], start[:, :4])
    np.testing.assert_array_equal(told[1][0], resting)
    np.testing.assert_array_equal(told[1][1], step.following[:, :4])


@pytest.mark.parametrize("action", [1, 3, -1])
def test_an_action_that_is_not_valid_is_refused(action: int) -> None:
    mask = np.ones((40, 3), dtype=np.bool_)
    mask[:, 1] = False
    journeys = JourneyBatch(source_of(mask=mask), 2)
    journeys.reset(np.random.default_rng(0))
    with pytest.raises(ShouldFixArgument, match=f"Action {action} is not valid"):
        journeys.step(np.array([0, action]))


def test_a_journey_must_have_started() -> None:
    with pytest.raises(ShouldFixArgument, match="not started"):
        JourneyBatch(source_of(), 1).step(np.array([0]))
    with pytest.raises(ShouldFixArgument, match="size=0"):
        JourneyBatch(source_of(), 0)


@pytest.mark.parametrize(
    ("reward", "shift"), [(np.nan, 0.0), (np.inf, 0.0), (1.5, 0.0), (0.0, np.nan), (0.0, 2.0)]
)
def test_a_user_model_that_leaves_its_range_is_named(reward: float, shift: float) -> None:
    def broken(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        n = len(action)
        return np.full(n, reward), (np.abs(context) + shift).astype(np.float32), never(n)

    journeys = JourneyBatch(source_of(broken), 3)
    journeys.reset(np.random.default_rng(0))
    with pytest.raises(ShouldRestoreArtefact, match="User model world answered a"):
        journeys.step(np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mask": np.eye(40, 3, dtype=np.bool_)}, "Profile 3 of people has no valid action"),
        ({"weight": np.zeros(40)}, "sampling weights"),
        ({"weight": np.full(40, -1.0)}, "sampling weights"),
        ({"weight": np.full(40, np.nan)}, "sampling weights"),
        ({"weight": np.ones(3)}, "different lengths"),
        ({"context": np.full((40, 4), np.nan, np.float32)}, "leaves"),
        ({"context": np.full((40, 4), 1.5, np.float32)}, "leaves"),
        ({"context": np.zeros((0, 4), np.float32)}, "there are 0 people"),
        ({"length": 0}, "length=0"),
    ],
)
def test_profiles_that_cannot_be_played_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ShouldFixArgument, match=problem):
        source_of(**changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ended": np.zeros(3)}, "an end that is neither true nor false"),
        ({"ended": np.zeros(2, dtype=np.bool_)}, r"ends of shape \(2,\), not \(3,\)"),
        ({"ended": np.zeros((3, 1), dtype=np.bool_)}, r"ends of shape \(3, 1\), not \(3,\)"),
        ({"reward": np.zeros(1)}, r"rewards of shape \(1,\), not \(3,\)"),
        ({"reward": np.zeros((3, 1))}, r"rewards of shape \(3, 1\), not \(3,\)"),
        ({"reward": np.float64(0.5)}, r"rewards of shape \(\), not \(3,\)"),
        ({"signals": np.zeros(3)}, r"signals of shape \(3,\), not \(3, any\)"),
        ({"present": np.ones((3, 2), np.bool_)}, r"evidence of shape \(3, 2\), not \(3, 1\)"),
        ({"context": np.zeros((3, 3), np.float32)}, r"contexts of shape \(3, 3\), not \(3, 4\)"),
    ],
)
def test_a_user_model_that_answers_for_others_is_named(
    changes: dict[str, Any], problem: str
) -> None:
    class Broken(World):
        def respond(
            self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
        ) -> Responses:
            return replace(World.respond(self, resting, context, action, rng), **changes)

    journeys = JourneyBatch(JourneySource(Broken(identity), people(SPEC), 4), 3)
    journeys.reset(np.random.default_rng(0))
    with pytest.raises(ShouldRestoreArtefact, match=problem):
        journeys.step(np.zeros(3, dtype=np.int64))


def test_asking_for_what_is_seen_changes_nothing() -> None:
    def play(asks: int) -> np.ndarray:
        journeys = JourneyBatch(source_of(), 8)
        journeys.reset(np.random.default_rng(3))
        for _ in range(9):
            for _ in range(asks):
                assert len(journeys.mask) == len(journeys.person) == len(journeys.observation)
            journeys.observation[:] = 0.0
            journeys.step(np.zeros(8, dtype=np.int64))
        return journeys.observation

    np.testing.assert_array_equal(play(0), play(3))


def test_a_reward_that_comes_later_reaches_the_decision_that_earned_it() -> None:
    """Three decisions, the first one paid after the third; advantages by hand."""
    start = np.tile(np.array([[-1.0, 0, -1.0, 0]], dtype=np.float32), (40, 1))
    journeys = JourneyBatch(source_of(delayed, length=9, context=start), 2)
    journeys.reset(np.random.default_rng(0))
    steps = [journeys.step(np.array([1, 0]))]
    steps += [journeys.step(np.zeros(2, dtype=np.int64)) for _ in range(2)]
    reward = np.stack([step.reward for step in steps])
    np.testing.assert_array_equal(reward, [[0, 0], [0, 0], [1, 0]])
    terminated = np.stack([step.terminated for step in steps])
    assert terminated.tolist() == [[False, False], [False, False], [True, True]]
    value = np.full((3, 2), 0.25)
    advantage, target = generalised_advantages(
        reward, value, value, terminated, terminated, discount=0.9, gae_lambda=0.5
    )
    ahead = 0.9 * 0.25 - 0.25
    last = np.array([0.75, -0.25])
    first = ahead + 0.45 * (ahead + 0.45 * last)
    np.testing.assert_allclose(advantage[0], first, atol=1e-12)
    np.testing.assert_allclose(target[0], first + 0.25, atol=1e-12)
    assert advantage[0, 0] - advantage[0, 1] == pytest.approx(0.45**2)
