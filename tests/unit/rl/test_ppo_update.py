"""The update rule, recomputed by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import TrainingSpec
from rl.environment import JourneyBatch, JourneySource
from rl.module import PolicyNetwork
from rl.ppo.rollout import Rollout, collect
from rl.ppo.schedule import stream
from rl.ppo.update import (
    PROPENSITY_TOLERANCE,
    Minibatch,
    UpdateRule,
    _minibatches,
    gradient_step,
    known_loss,
    loss_terms,
    propensity_error,
    update,
)
from tests.learning.worlds import World, identity, loop_of, people

RULE = UpdateRule(clip=0.2, entropy=0.1, value_weight=0.5, value_clip=0.2)


def minibatch(
    old: list[list[float]],
    action: list[int],
    behaviour: list[float],
    advantage: list[float],
    value: list[float],
    target: list[float],
) -> Minibatch:
    def tensor(values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return Minibatch(
        observation=torch.zeros(len(action), 1),
        action=torch.tensor(action),
        log_policy=tensor(old).log(),
        log_behaviour=tensor(behaviour).log(),
        value=tensor(value),
        advantage=tensor(advantage),
        target=tensor(target),
    )


THREE = minibatch(
    old=[[0.5, 0.5], [0.6, 0.4], [0.5, 0.5]],
    action=[0, 0, 0],
    behaviour=[0.5, 0.58, 0.5],
    advantage=[1.0, 2.0, -1.0],
    value=[0.0, 0.5, 0.0],
    target=[1.0, 1.0, -1.0],
)
NEW = torch.tensor([[0.55, 0.45], [0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
VALUES = torch.tensor([0.5, 2.0, 0.0], dtype=torch.float64)


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_the_loss_of_three_decisions_by_hand() -> None:
    terms = loss_terms(NEW.log(), VALUES, THREE, RULE)
    # ratios 1.1, 1.5 -> 1.2 and 0.6 -> 0.8 (the worse for a negative advantage); weight .6/.58
    policy = -(1.1 + (0.6 / 0.58) * 2.0 * 1.2 - 0.8) / 3
    # values move by at most .2: errors max(.5, .8), max(1, .3), max(1, 1), squared and halved
    value = 0.5 * (0.8**2 + 1.0 + 1.0) / 3
    mean_entropy = (entropy(0.55) + entropy(0.9) + entropy(0.3)) / 3
    kl = (divergence(0.5, 0.55) + divergence(0.6, 0.9) + divergence(0.5, 0.3)) / 3
    assert terms.policy.item() == pytest.approx(policy)
    assert terms.value.item() == pytest.approx(value)
    assert terms.entropy.item() == pytest.approx(mean_entropy)
    assert terms.kl.item() == pytest.approx(kl)
    assert terms.clip_fraction.item() == pytest.approx(2 / 3)
    assert terms.total.item() == pytest.approx(policy + 0.5 * value - 0.1 * mean_entropy)


def test_the_surrogates_gradient_equals_finite_differences() -> None:
    logits, values = NEW.log().requires_grad_(), VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, v: loss_terms(z, v, THREE, RULE).total, (logits, values)
    )
    loss_terms(logits, values, THREE, RULE).policy.backward()
    # beyond the clip nothing is gained: only the first decision still pulls
    assert logits.grad is not None
    assert logits.grad[0].abs().min() > 0.0
    assert not logits.grad[1:].any()


def test_the_gradients_in_closed_form_are_those_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(4)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, old = drawn(400, 5), drawn(400, 5)
    logits[:, 3] = old[:, 3] = -1e9
    action = torch.where(torch.arange(400) % 3 == 0, 1, 4)
    log_policy = torch.log_softmax(old, dim=1)
    chosen = log_policy.gather(1, action.unsqueeze(1)).squeeze(1)
    batch = Minibatch(
        observation=torch.zeros(400, 1),
        action=action,
        log_policy=log_policy,
        log_behaviour=chosen - 0.2,
        value=drawn(400),
        advantage=drawn(400),
        target=drawn(400),
    )
    values = batch.value + 0.3 * drawn(400)
    given = (logits.requires_grad_(), values.requires_grad_())
    slow, fast = loss_terms(*given, batch, RULE), known_loss(*given, batch, RULE)
    assert 0.2 < fast.clip_fraction.item() < 0.9  # both sides of the clip are there
    for f in fields(slow):
        assert getattr(fast, f.name).item() == getattr(slow, f.name).item()
    expected = torch.autograd.grad(slow.total, given)
    for one, other in zip(expected, torch.autograd.grad(fast.total, given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_clipping_compares_policies_not_exploration() -> None:
    """A policy far sharper than its exploration keeps improving where pi = pi_old."""
    sharp = minibatch([[0.99, 0.01]], [0], [0.6], [1.0], [0.0], [0.0])
    logits = torch.tensor([[0.99, 0.01]], dtype=torch.float64).log().requires_grad_()
    loss_terms(logits, torch.zeros(1, dtype=torch.float64), sharp, RULE).policy.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0.0  # pi / b = 1.65 would have been clipped


def test_invalid_actions_carry_neither_loss_nor_gradient() -> None:
    batch = minibatch([[0.5, 0.5]], [0], [0.5], [1.0], [0.0], [0.0])
    wide = replace(
        batch, log_policy=torch.tensor([[math.log(0.5), math.log(0.5), -1e9]], dtype=torch.float64)
    )
    logits = torch.tensor([[0.3, 0.1, -1e9]], dtype=torch.float64, requires_grad=True)
    narrow = loss_terms(logits[:, :2], torch.zeros(1), batch, RULE)
    terms = loss_terms(logits, torch.zeros(1), wide, RULE)
    for f in fields(terms):
        assert getattr(terms, f.name).item() == pytest.approx(getattr(narrow, f.name).item())
    terms.total.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 2] == 0.0


def rollout_of(network: PolicyNetwork, epsilon: float = 0.3) -> Rollout:
    source = JourneySource(World(identity), people(loop_of(2, 2)), 4)
    return collect(network, JourneyBatch(source, 16), stream(1, 0, 0, 0), 8, epsilon, 0.9, 0.95)[0]


def order(epoch: int, size: int) -> np.ndarray:
    return stream(1, 0, 99, epoch).permutation(size)


def improve(
    rule: UpdateRule, network: PolicyNetwork, rollout: Rollout, rate: float = 1e-3
) -> object:
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    return update(network, gradient_step(network, optimizer, rule), rollout, rule, 0.3, order)


def test_advantages_are_standardised_over_the_rollout() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    batch = Minibatch.of(rollout_of(network))
    assert batch.advantage.mean().item() == pytest.approx(0.0, abs=1e-6)
    assert batch.advantage.std(correction=0).item() == pytest.approx(1.0, abs=1e-5)
    flat = replace(rollout_of(network), advantage=np.full(128, 0.5, dtype=np.float32))
    assert not Minibatch.of(flat).advantage.any()


def test_every_decision_is_seen_once_an_epoch() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    rollout = rollout_of(network)
    seen: list[float] = []
    real = network.forward

    def watched(observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(observation))
        return real(observation)

    network.forward = watched  # type: ignore[method-assign]
    rule = UpdateRule(epochs=2, minibatch=50, kl_stop=math.inf)
    summary = improve(rule, network, rollout)
    assert seen == [43, 43, 42] * 2
    assert summary.steps == 6  # type: ignore[attr-defined]
    assert not summary.stopped  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(128, [128]), (500, [128]), (127, [64, 64]), (64, [64, 64]), (63, [43, 43, 42])],
)
def test_no_minibatch_is_what_was_left_over(most: int, sizes: list[int]) -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    rollout = rollout_of(network)
    parts = list(_minibatches(len(rollout), UpdateRule(epochs=1, minibatch=most), order))
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat(parts).tolist()) == list(range(128))


def test_the_update_stops_before_a_step_that_goes_too_far() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    rollout = rollout_of(network)
    summary = improve(
        UpdateRule(epochs=50, minibatch=32, kl_stop=0.01), network, rollout, rate=0.05
    )
    assert summary.stopped  # type: ignore[attr-defined]
    assert summary.kl > 0.01  # type: ignore[attr-defined]
    assert 1 <= summary.steps < 200  # type: ignore[attr-defined]


def test_gradients_are_scaled_down_to_their_norm() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    rule = UpdateRule(gradient_norm=0.25)
    gradient_step(network, optimizer, rule)(1e4 * network.values(torch.ones(1, 6)).sum())
    moved = sum(
        ((a - b) ** 2).sum().item() for a, b in zip(before, network.parameters(), strict=True)
    )
    assert math.sqrt(moved) == pytest.approx(0.25, rel=1e-3)


def test_a_loss_that_is_not_finite_is_named() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    rollout = rollout_of(network)
    with pytest.raises(ShouldFixArgument, match="loss is nan"):
        improve(RULE, network, replace(rollout, target=np.full(128, np.nan, dtype=np.float32)))


def test_decisions_of_other_weights_are_refused() -> None:
    network = PolicyNetwork(4, 2, 8, 1)
    rollout = rollout_of(network)
    assert propensity_error(network, rollout, 0.3) < 3e-7
    with pytest.raises(ShouldRestoreArtefact, match="propensities differ"):
        propensity_error(network, rollout, 0.1)
    strayed = replace(rollout, log_behaviour=rollout.log_behaviour + np.float32(1e-4))
    with pytest.raises(ShouldRestoreArtefact, match="propensities differ"):
        propensity_error(network, strayed, 0.3)
    nearly = replace(rollout, log_behaviour=rollout.log_behaviour + np.float32(2e-6))
    assert 0.0 < propensity_error(network, nearly, 0.3) <= PROPENSITY_TOLERANCE == 1e-5
    network.policy[-1].bias.data[0] += 1.0
    with pytest.raises(ShouldRestoreArtefact, match="propensities differ"):
        improve(RULE, network, rollout)


def test_the_rule_follows_the_specification() -> None:
    rule = UpdateRule.of(TrainingSpec(epochs=3, minibatch=64, clip=0.1, entropy=0.5))
    assert (rule.epochs, rule.minibatch, rule.clip, rule.entropy) == (3, 64, 0.1, 0.5)
    rule = UpdateRule.of(TrainingSpec(value_clip=0.3, gradient_norm=0.7, kl_stop=0.02))
    assert (rule.value_clip, rule.gradient_norm, rule.kl_stop) == (0.3, 0.7, 0.02)
    assert TrainingSpec().minibatch == 256
    assert TrainingSpec().learning_rate == 3e-4
