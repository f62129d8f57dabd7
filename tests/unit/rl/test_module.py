"""The policy network and the propensities of exploration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from everloop.contracts.errors import ShouldFixArgument
from rl.module import FREE_SHARE, PolicyNetwork, Tanh, log_behaviour


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


def test_the_hidden_layers_are_tanh_with_its_derivative() -> None:
    values = torch.linspace(-12.0, 12.0, 2001)
    np.testing.assert_allclose(
        Tanh()(values.clone()).numpy(), np.tanh(values.double().numpy()), atol=2e-7
    )
    assert torch.autograd.gradcheck(
        lambda x: Tanh()(x * 1.0), torch.linspace(-3.0, 3.0, 30).double().requires_grad_()
    )


FEATURES = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -0.5]], dtype=np.float32)


def test_scores_from_features_and_free_rows_by_hand() -> None:
    network = PolicyNetwork(4, 3, 8, 1, FEATURES)
    assert network.taste is not None
    context = torch.tensor([[0.5, -0.5, 1.0, 0.0]])
    parts = [layer.weight.detach().double().numpy() for layer in network.policy[::2]]
    hidden = np.tanh(parts[1] @ np.tanh(parts[0] @ context[0].double().numpy()))
    likes = network.taste.weight.detach().double().numpy() @ [*hidden, 0.5, -0.5, 1.0, 0.0]
    wanted = FEATURES.astype(np.float64) @ likes + FREE_SHARE * (parts[2] @ hidden)
    found, tastes = network.scores(context)
    np.testing.assert_allclose(found[0].detach().numpy(), wanted, atol=1e-6)
    assert tastes is not None
    np.testing.assert_allclose(tastes[0].detach().numpy(), likes, atol=1e-6)


def test_an_action_without_a_row_is_scored_by_its_features() -> None:
    network = PolicyNetwork(4, 3, 8, 1, FEATURES)
    torch.nn.init.zeros_(network.policy[-1].weight)
    context = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) - 0.5
    known, _ = network.scores(context)
    found = network.score(context, torch.from_numpy(FEATURES))
    np.testing.assert_allclose(found.detach().numpy(), known.detach().numpy(), atol=1e-7)
    between = network.score(context, torch.tensor([[0.5, 0.5]]))
    np.testing.assert_allclose(
        between[:, 0].detach().numpy(), known[:, :2].mean(dim=1).detach().numpy(), atol=1e-7
    )


@given(order=st.permutations(range(3)))
def test_permuted_candidates_get_permuted_scores(order: list[int]) -> None:
    network = PolicyNetwork(4, 3, 8, 1, FEATURES)
    context = torch.rand(2, 4, generator=torch.Generator().manual_seed(2))
    features = torch.from_numpy(FEATURES)
    np.testing.assert_allclose(
        network.score(context, features[order]).detach().numpy(),
        network.score(context, features)[:, order].detach().numpy(),
        atol=1e-7,
    )


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match=r"shape \(3, 2\) do not describe 4 actions"):
        PolicyNetwork(4, 4, 8, 1, FEATURES)
    context = torch.zeros(1, 4)
    with pytest.raises(ShouldFixArgument, match="reads 2 an action"):
        PolicyNetwork(4, 3, 8, 1, FEATURES).score(context, torch.zeros(1, 3))
    with pytest.raises(ShouldFixArgument, match="reads 0 an action"):
        PolicyNetwork(4, 3, 8, 1).score(context, torch.zeros(1, 2))


def test_features_are_no_weights() -> None:
    plain, described = PolicyNetwork(4, 3, 8, 1), PolicyNetwork(4, 3, 8, 1, FEATURES)
    assert "features" not in described.state_dict()
    for name, values in plain.state_dict().items():
        assert torch.equal(values, described.state_dict()[name]), name


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
