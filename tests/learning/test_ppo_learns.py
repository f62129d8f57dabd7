"""A PPO that cannot solve these is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from everloop.contracts.datasets import Float32, Int
from tests.learning.worlds import (
    Answer,
    World,
    bandit,
    delayed,
    identity,
    learn,
    loop_of,
    never,
    people,
    plan_of,
)


def test_it_learns_to_repeat_the_bit_of_the_state() -> None:
    spec = loop_of(fields=2, actions=2)
    profiles = people(spec)
    learned = learn(plan_of(World(identity), profiles, iterations=15))
    right = (profiles.context[:, 0] > 0).astype(int)
    chosen = learned.probabilities(profiles.context, profiles.mask)[np.arange(40), right]
    assert chosen.min() > 0.9
    assert learned.rewards[0] == pytest.approx(0.5, abs=0.1)


def test_it_finds_the_best_arm_of_a_bandit() -> None:
    spec = loop_of(fields=1, actions=4)
    profiles = people(spec)
    learned = learn(plan_of(World(bandit([0.2, 0.4, 0.8, 0.5])), profiles, iterations=20, epochs=8))
    chosen = learned.probabilities(profiles.context, profiles.mask)
    assert chosen[:, 2].min() > 0.8


def test_it_learns_the_best_valid_action_where_the_best_is_masked() -> None:
    spec = loop_of(fields=1, actions=3)
    mask = np.ones((40, 3), dtype=np.bool_)
    mask[:20, 2] = False
    profiles = people(spec, mask=mask)
    learned = learn(plan_of(World(bandit([0.1, 0.5, 0.9])), profiles, iterations=20, epochs=8))
    chosen = learned.probabilities(profiles.context, profiles.mask)
    assert (chosen[:20, 2] == 0.0).all()
    assert chosen[:20, 1].min() > 0.8
    assert chosen[20:, 2].min() > 0.8


@pytest.mark.parametrize(("discount", "solved"), [(0.9, True), (0.0, False)])
def test_a_reward_that_comes_later_is_credited_to_the_decision_that_earned_it(
    discount: float, solved: bool
) -> None:
    spec = loop_of(fields=2, actions=2)
    start = np.zeros((10, 4), dtype=np.float32)
    start[:, 0] = -1.0
    profiles = people(spec, context=start)
    learned = learn(plan_of(World(delayed), profiles, iterations=15, epochs=8, discount=discount))
    first = learned.probabilities(start, profiles.mask)[0, 1]
    assert (first > 0.9) == solved


def test_it_scores_actions_that_it_never_saw_by_what_they_are_like() -> None:
    """Loudness pays where the first dimension is high; the loudest action was never tried."""
    spec = loop_of(fields=2, actions=2)
    profiles = people(spec)
    loudness = np.array([-0.5, 0.5])

    def answer(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        reward = 0.5 + context[:, 0] * loudness[action]
        following = rng.choice([-1.0, 1.0], size=context.shape).astype(np.float32)
        return reward, following, never(len(action))

    features = loudness[:, None].astype(np.float32)
    plan = replace(plan_of(World(answer), profiles, iterations=15), features=features)
    network = learn(plan).network
    context = np.array([[1.0, 0, 1, 0], [-1.0, 0, 1, 0]], dtype=np.float32)
    unseen = torch.tensor([[1.0], [-1.0], [0.5]])
    with torch.inference_mode():
        found = network.score(torch.from_numpy(context), unseen).numpy()
    assert found[0, 0] > found[0, 2] > found[0, 1]
    assert found[1, 1] > found[1, 2] > found[1, 0]
    assert found[0, 0] - found[0, 1] > 2.0
