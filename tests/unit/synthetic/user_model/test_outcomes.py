"""What heads are to predict, by hand: acceptance, ends that are known, next contexts, resting places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from synthetic.people import following, gather, inputs_sha256, people_of
from synthetic.user_model.outcomes import MOTION_WEIGHT, NARROW_WEIGHT, outcomes_of, resting_of
from tests.unit.synthetic.releases import FEATURES
from tests.unit.synthetic.world import SPEC, make

HOUR = 3_600.0
WEEK = SPEC.journeys.ends_after_hours * HOUR
ENDED = 4
"""Head of the journey end: two values, acceptance, one presence before it."""


def three_people() -> EncodedEpisodes:
    """Two, three and one decisions; times in seconds, out of order."""
    episodes = make(6, each=1, seed=4)
    return dataclasses.replace(
        episodes,
        person=np.array([0, 1, 0, 1, 2, 1]),
        people=episodes.people[:3],
        timestamp=np.array([0.0, 5 * WEEK, WEEK, 0.0, 6 * WEEK, 3 * WEEK]),
        reward=np.array([0.2, 0.19, -0.5, 0.9, 0.2, 0.0]),
    )


def test_the_next_decision_is_the_same_persons_in_time() -> None:
    found = following(three_people(), until=7 * WEEK)
    assert found.row.tolist() == [2, -1, -1, 5, -1, 1]
    np.testing.assert_allclose(found.wait / WEEK, [1, np.inf, np.inf, 3, np.inf, 2])
    np.testing.assert_allclose(found.observed / WEEK, [7, 2, 6, 7, 1, 4])
    alone = following(three_people())
    np.testing.assert_allclose(alone.observed / WEEK, [1, 0, 0, 3, 0, 2])


def test_an_end_is_known_once_the_public_end_is_far_enough() -> None:
    episodes = three_people()
    after = following(episodes, until=6.5 * WEEK)
    found = outcomes_of(SPEC, FEATURES, episodes, after, np.arange(6))
    assert found.target[:, ENDED].tolist() == [0, 1, 1, 1, 1, 1]
    # the last decision of person 2 is half a week before the end of the data: they may yet come back
    assert (found.weight[:, ENDED] > 0).tolist() == [True, True, True, True, False, True]
    unknown = outcomes_of(SPEC, FEATURES, episodes, following(episodes), np.arange(6))
    assert (unknown.weight[:, ENDED] > 0).tolist() == [True, False, False, True, False, True]


def test_targets_and_weights_by_hand() -> None:
    episodes = three_people()
    episodes.signals[0] = [0.25, -0.5]
    episodes.signals[1] = [0.75, np.nan]
    found = outcomes_of(SPEC, FEATURES, episodes, following(episodes, 7 * WEEK), np.array([0, 1]))
    after = (episodes.context[2, :3] + 1) / 2
    np.testing.assert_allclose(found.target[0], [0.25, 0.25, 1, 1, 0, *after])
    np.testing.assert_allclose(found.target[1], [0.75, 0.5, 0, 0, 1, 0.5, 0.5, 0.5])
    narrow, motion = NARROW_WEIGHT, MOTION_WEIGHT
    np.testing.assert_allclose(found.weight[0], [1, 1, 1, narrow, narrow, *[motion] * 3])
    np.testing.assert_allclose(found.weight[1], [1, 0, 1, narrow, narrow, 0, 0, 0])


def test_a_reward_that_is_not_known_says_nothing_of_acceptance() -> None:
    episodes = dataclasses.replace(three_people(), reward=np.full(6, np.nan))
    found = outcomes_of(SPEC, FEATURES, episodes, following(episodes), np.arange(6))
    assert not found.weight[:, 2].any()


def test_people_rest_at_their_mean_without_the_decision_that_is_predicted() -> None:
    episodes = three_people()
    people = gather(episodes, people_of(episodes), 20)
    found = resting_of(people, np.array([0, 1, 2]))
    own = episodes.context[:, :3]
    # newest first: person 0 has rows 2, 0; person 1 has 1, 5, 3; person 2 has 4
    np.testing.assert_allclose(found[0, 0], (own[2] + own[0]) / 2, rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], own[0], rtol=1e-6)
    np.testing.assert_allclose(found[1, 2], (own[1] + own[3]) / 2, rtol=1e-6)
    np.testing.assert_allclose(found[2, 0], own[4], rtol=1e-6)


def test_only_episodes_that_count_are_learned_but_every_decision_is_a_return() -> None:
    episodes = three_people()
    learned = np.array([0, 3, 5])
    after = following(episodes, until=7 * WEEK).at(learned)
    assert after.row.tolist() == [2, 5, 1]
    people = gather(
        episodes.where(np.isin(np.arange(6), learned)), people_of(episodes)[:2], 20, after
    )
    found = outcomes_of(SPEC, FEATURES, people.episodes, people.following, np.array([0]))
    np.testing.assert_allclose(found.target[0, 5:], (episodes.context[2, :3] + 1) / 2)


@pytest.mark.parametrize("change", ["context", "until", "wait"])
def test_the_inputs_name_what_followed(change: str) -> None:
    episodes = three_people()
    learned = np.array([0, 3, 5])
    training = episodes.where(np.isin(np.arange(6), learned))
    before = inputs_sha256(training, following(episodes, 7 * WEEK).at(learned))
    until = 8 * WEEK if change == "until" else 7 * WEEK
    if change == "context":
        episodes.context[2, 0] += 0.01
    if change == "wait":
        episodes.timestamp[2] += 1.0
    assert inputs_sha256(training, following(episodes, until).at(learned)) != before
