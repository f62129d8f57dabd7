"""Bots: whose rewards change, to what, and who is praised."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import States
from rl.adversarial.poisoned import FixedAction, poison, weakest_action
from tests.unit.rl.adversarial.attacked import ACTIONS, SPEC


def test_bots_praise_one_action_and_nothing_else_changes(episodes: EncodedEpisodes) -> None:
    made = poison(SPEC, episodes, 2, 0.1)
    copy = made.episodes
    assert made.bots == 70
    changed = copy.reward != episodes.reward
    who = np.unique(episodes.person[changed])
    assert len(who) == 70
    theirs = np.isin(episodes.person, who)
    np.testing.assert_array_equal(made.theirs, theirs)
    taken = episodes.action == 2
    assert (copy.reward[theirs & taken] == 1.0).all()
    assert (copy.reward[theirs & ~taken] == -1.0).all()
    np.testing.assert_array_equal(copy.reward[~theirs], episodes.reward[~theirs])
    assert copy.propensity is episodes.propensity
    assert copy.holdout[theirs].any()
    assert not copy.holdout[theirs].all()
    assert poison(SPEC, episodes, 2, 0.0).bots == 0
    held = made.without(theirs & taken).reward
    np.testing.assert_array_equal(np.isnan(held), theirs & taken)
    np.testing.assert_array_equal(held[~np.isnan(held)], copy.reward[~np.isnan(held)])


def test_decisions_without_a_reward_stay_without_one(episodes: EncodedEpisodes) -> None:
    reward = episodes.reward.copy()
    reward[::2] = math.nan
    copy = poison(SPEC, replace(episodes, reward=reward), 1, 1.0).episodes
    assert np.isnan(copy.reward[::2]).all()
    assert np.isfinite(copy.reward[1::2]).all()


def test_the_weakest_action_is_the_one_that_earns_least_not_the_rarest(
    episodes: EncodedEpisodes,
) -> None:
    assert weakest_action(episodes) == 3
    judged = episodes.evaluation
    rare = judged.where((judged.action != 3) | (np.cumsum(judged.action == 3) < 30))
    assert weakest_action(rare) != 3
    assert weakest_action(episodes.where(np.zeros(len(episodes), dtype=bool))) is None


def test_the_planted_policy_takes_its_action_where_it_may() -> None:
    mask = np.ones((2, ACTIONS), dtype=bool)
    mask[1, 3] = False
    context = np.zeros((2, 1), dtype=np.float32)
    found = FixedAction(3, "e", "v").act(States(context, mask), 0.2).propensity
    np.testing.assert_allclose(found[0], [0.05, 0.05, 0.05, 0.85])
    np.testing.assert_allclose(found[1], [1 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize(("action", "share"), [(4, 0.1), (-1, 0.1), (1, 1.5), (1, -0.1)])
def test_wrong_arguments_are_refused(episodes: EncodedEpisodes, action: int, share: float) -> None:
    with pytest.raises(ShouldFixArgument):
        poison(SPEC, episodes, action, share)
