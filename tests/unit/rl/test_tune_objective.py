"""A trial is judged on people that no trial trains on, by what whole journeys earn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from rl.environment import JourneySource
from rl.module import PolicyNetwork
from rl.tune.objective import JOURNEYS, divided, simulated_return
from tests.learning.worlds import Answer, World, identity, loop_of, people

SPEC = loop_of(2, 2, journey_length=3)


def test_people_are_divided_once_for_all() -> None:
    profiles = people(SPEC)
    ours, theirs = divided(profiles, 3)
    assert (len(ours), len(theirs)) == (30, 10)
    together = np.concatenate([ours.context, theirs.context])
    assert sorted(map(tuple, together)) == sorted(map(tuple, profiles.context))
    again = divided(profiles, 3)
    np.testing.assert_array_equal(again[1].context, theirs.context)
    assert not np.array_equal(divided(profiles, 4)[1].context, theirs.context)
    with pytest.raises(ShouldFixArgument, match="cannot be divided"):
        divided(divided(theirs, 3)[1], 3)


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
