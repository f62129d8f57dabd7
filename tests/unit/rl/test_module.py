"""The policy network and the propensities of exploration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rl.module import PolicyNetwork, log_behaviour


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = PolicyNetwork(4, 3, 8, 1), PolicyNetwork(4, 3, 8, 1)
    other = PolicyNetwork(4, 3, 8, 2)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, values in first.state_dict().items():
        assert torch.equal(values, second.state_dict()[name])
    assert not torch.equal(first.policy[0].weight, other.policy[0].weight)


def test_a_fresh_policy_is_nearly_uniform_over_valid_actions() -> None:
    network = PolicyNetwork(4, 3, 8, 1)
    observation = torch.tensor([[0.5, -0.5, 1.0, 0.0, 1.0, 0.0, 1.0]])
    logits, value = network(observation)
    np.testing.assert_allclose(
        torch.softmax(logits, 1).detach().numpy(), [[0.5, 0.0, 0.5]], atol=0.01
    )
    assert torch.softmax(logits, 1)[0, 1] == 0.0
    assert value.shape == (1,)


def test_propensities_by_hand() -> None:
    log_policy = torch.log(torch.tensor([[0.7, 0.2, 0.1, 0.0]]))
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    found = log_behaviour(log_policy, mask, 0.3).exp().numpy()
    np.testing.assert_allclose(found, [[0.59, 0.24, 0.17, 0.0]], atol=1e-6)
    assert log_behaviour(log_policy, mask, 0.3)[0, 3] == -math.inf
    np.testing.assert_allclose(
        log_behaviour(log_policy, mask, 0.0).exp().numpy(), log_policy.exp().numpy(), atol=1e-6
    )
    np.testing.assert_allclose(
        log_behaviour(log_policy, mask, 1.0).exp().numpy(), [[1 / 3] * 3 + [0]], atol=1e-6
    )


@given(
    logits=hnp.arrays(np.float32, (3, 4), elements=st.floats(-50, 50, width=32)),
    mask=hnp.arrays(np.bool_, (3, 4)),
    epsilon=st.floats(0, 1),
)
def test_propensities_are_a_distribution_over_valid_actions(
    logits: np.ndarray, mask: np.ndarray, epsilon: float
) -> None:
    mask[:, 0] = True
    masked = torch.where(torch.from_numpy(mask), torch.from_numpy(logits), -1e9)
    log_b = log_behaviour(torch.log_softmax(masked, 1), torch.from_numpy(mask).float(), epsilon)
    propensity = log_b.exp().numpy()
    assert propensity.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert (propensity[~mask] == 0.0).all()
    assert (propensity >= epsilon / mask.sum(axis=1, keepdims=True) - 1e-6)[mask].all()
