"""A trial is judged on people that no trial trains on, by what whole journeys earn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from rl.belief import BelievedUserModel
from rl.environment import JourneySource
from rl.module import PolicyNetwork
from rl.tune.objective import JOURNEYS, divided, simulated_return
from rl.tune.trial import Task
from tests.learning.worlds import Answer, World, identity, loop_of, people

SPEC = loop_of(2, 2, journey_length=3)


def test_people_are_divided_once_for_all() -> None:
    profiles = people(SPEC)
    parts = divided(profiles, 3)
    assert [len(part) for part in parts] == [24, 10, 6]
    together = np.concatenate([part.context for part in parts])
    assert sorted(map(tuple, together)) == sorted(map(tuple, profiles.context))
    again = divided(profiles, 3)
    np.testing.assert_array_equal(again.judged_on.context, parts.judged_on.context)
    assert not np.array_equal(divided(profiles, 4).judged_on.context, parts.judged_on.context)
    with pytest.raises(ShouldFixArgument, match="cannot be divided"):
        divided(parts.kept, 3)


class Doubted(World):
    """A release whose plausible members are named by what their stream draws first."""

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[World, ...]:
        return tuple(replace(self, release_id=str(rng.random())) for _ in range(count))

    def reward_standard_error(
        self, context: Float32, action: Int, reference: int | None = None
    ) -> Float:
        return np.zeros(len(action))


def test_a_judge_asks_other_doubts_than_trials_trained_against() -> None:
    task = Task(SPEC, Doubted(identity), people(SPEC), 5, "")

    def members(source: JourneySource) -> set[str]:
        assert isinstance(source.model, BelievedUserModel)
        return {member.release_id for member in source.model.members}

    asked = [members(task.plan({})[1].source), members(task.judge()), members(task.judge_again())]
    assert [len(names) for names in asked] == [SPEC.training.ensemble] * 3
    assert len(set.union(*asked)) == 3 * SPEC.training.ensemble
    assert members(task.judge()) == asked[1]  # the same for every trial
    met = divided(task.profiles, 5)
    np.testing.assert_array_equal(task.judge_again().profiles.context, met.kept.context)
    np.testing.assert_array_equal(task.judge().profiles.context, met.judged_on.context)


def test_a_journey_earns_until_it_ends() -> None:
    """Everyone earns .25 a decision; who gets action 1 leaves after it."""

    def leaving(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        return np.full(len(action), 0.25), context, action == 1

    source = JourneySource.of(SPEC, World(leaving), people(SPEC))
    network = PolicyNetwork(source.width, 2, 8, 1)
    for stays, earned in ((True, 0.75), (False, 0.25)):
        network.policy[-1].bias.data = torch.tensor([50.0, 0.0] if stays else [0.0, 50.0])
        found = simulated_return(network, source, 1)
        assert found.value == pytest.approx(earned)
        assert found.low == found.high == pytest.approx(earned)
    # staying has chance 1/2 at each of two decisions: .25 (1 + 1/2 + 1/4)
    network.policy[-1].bias.data.zero_()
    network.policy[-1].weight.data.zero_()
    found = simulated_return(network, source, 1)
    assert found.n == JOURNEYS
    assert found.low < 0.4375 < found.high
    assert found.low < found.value < found.high
    assert simulated_return(network, source, 1) == found
    assert simulated_return(network, source, 1, 2 * JOURNEYS).n == 2 * JOURNEYS


def test_a_better_policy_is_worth_more() -> None:
    source = JourneySource.of(SPEC, World(identity), people(SPEC))
    fresh = PolicyNetwork(source.width, 2, 8, 1)
    right = PolicyNetwork(source.width, 2, 8, 1)
    # identity pays for the action that the first number points at
    before = simulated_return(fresh, source, 1).value
    optimizer = torch.optim.Adam(right.parameters(), lr=0.05)
    contexts = torch.from_numpy(source.profiles.context)
    best = torch.from_numpy(
        np.stack(
            [
                World(identity).expected_reward(source.profiles.context, np.full(40, action))
                for action in range(2)
            ]
        ).argmax(axis=0)
    )
    for _ in range(60):
        optimizer.zero_grad()
        seen = torch.cat([contexts, torch.ones(40, 2)], dim=1)
        torch.nn.functional.cross_entropy(right.logits(seen), best).backward()
        optimizer.step()
    assert simulated_return(right, source, 1).value > before + 0.5
