"""The update rule: decoupled, clipped PPO on minibatches, with an early stop on KL divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import TrainingSpec
from rl.module import PolicyNetwork, log_behaviour
from rl.ppo.rollout import Rollout

PROPENSITY_TOLERANCE = 1e-5
"""Largest |logged - recomputed| propensity; float32 leaves 1e-6, other weights far more."""


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """Settings of the update.

    Attributes:
        epochs, minibatch: passes over a rollout, most decisions per gradient step. An epoch's M decisions
            are divided evenly into ceil(M / minibatch) parts, whose sizes differ by at most 1: no step, and
            no early stop, rests on the few that are left over.
        clip: largest |pi / pi_old - 1| that still earns.
        entropy: weight of the entropy bonus.
        value_weight: weight of the value loss.
        value_clip: largest change of a value per rollout that still counts, in units of return.
        gradient_norm: gradients are scaled down to this Euclidean norm.
        kl_stop: the update stops before a step on a minibatch whose mean KL(pi_old, pi) passes this.
    """

    epochs: int = 4
    minibatch: int = 256
    clip: float = 0.2
    entropy: float = 0.01
    value_weight: float = 0.5
    value_clip: float = 1.0
    gradient_norm: float = 0.5
    kl_stop: float = 0.03

    @classmethod
    def of(cls, training: TrainingSpec) -> UpdateRule:
        """The rule that a loop specification asks for."""
        return cls(
            epochs=training.epochs,
            minibatch=training.minibatch,
            clip=training.clip,
            entropy=training.entropy,
            value_clip=training.value_clip,
            gradient_norm=training.gradient_norm,
            kl_stop=training.kl_stop,
        )


@dataclass(frozen=True, slots=True)
class Minibatch:
    """The arrays of ``Rollout`` as tensors; advantages standardised."""

    observation: Tensor
    action: Tensor
    log_policy: Tensor
    log_behaviour: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor

    @classmethod
    def of(cls, rollout: Rollout) -> Minibatch:
        """A whole rollout; advantages get mean 0 and standard deviation 1 over it."""
        arrays = {f.name: torch.from_numpy(getattr(rollout, f.name)) for f in fields(cls)}
        advantage = arrays["advantage"].double()
        spread = advantage.std(correction=0) + 1e-8
        arrays["advantage"] = ((advantage - advantage.mean()) / spread).float()
        return cls(**arrays)

    def rows(self, index: Tensor) -> Minibatch:
        return Minibatch(*(getattr(self, f.name).index_select(0, index) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class LossTerms:
    """Means over a minibatch, as scalars that carry gradients."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor
    clip_fraction: Tensor


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What an update did.

    Attributes:
        kl: mean KL(pi_old, pi) on the last minibatch that was looked at, nats.
        clip_fraction, entropy, value_loss: means over the gradient steps.
        steps: gradient steps made; ``stopped``: whether the KL limit ended the update.
        propensity_error: largest |logged - recomputed| propensity over the rollout.
    """

    kl: float
    clip_fraction: float
    entropy: float
    value_loss: float
    steps: int
    stopped: bool
    propensity_error: float


def loss_terms(logits: Tensor, value: Tensor, batch: Minibatch, rule: UpdateRule) -> LossTerms:
    """The loss of B decisions from masked logits (B, A) and values (B,).

    policy = -mean( (pi_old / b) * min(r A, clip(r, 1 - c, 1 + c) A) ) with r = pi / pi_old:
    the ratio that is clipped compares policies, the weight corrects for exploration
    (decoupled objective, Hilton et al. 2022); clipping pi / b instead would stop the policy from
    becoming sharper than its exploration. value = mean( max((V - R)^2, (clip(V) - R)^2) ) / 2.
    total = policy + value_weight * value - entropy_weight * entropy.
    """
    log_pi = torch.log_softmax(logits, dim=1)
    chosen = batch.action.unsqueeze(1)
    old = batch.log_policy.gather(1, chosen).squeeze(1)
    weight = torch.exp(old - batch.log_behaviour)
    ratio = torch.exp(log_pi.gather(1, chosen).squeeze(1) - old)
    clipped = torch.clamp(ratio, 1.0 - rule.clip, 1.0 + rule.clip)
    policy = -(weight * torch.minimum(ratio * batch.advantage, clipped * batch.advantage)).mean()

    near = batch.value + torch.clamp(value - batch.value, -rule.value_clip, rule.value_clip)
    value_loss = 0.5 * torch.maximum((value - batch.target) ** 2, (near - batch.target) ** 2).mean()
    entropy = -(log_pi.exp() * log_pi).sum(dim=1).mean()
    with torch.no_grad():
        kl = (batch.log_policy.exp() * (batch.log_policy - log_pi)).sum(dim=1).mean()
        outside = ((ratio - 1.0).abs() > rule.clip).float().mean()
    total = policy + rule.value_weight * value_loss - rule.entropy * entropy
    return LossTerms(total, policy, value_loss, entropy, kl, outside)


def loss_gradients(
    logits: Tensor, value: Tensor, batch: Minibatch, rule: UpdateRule
) -> tuple[Tensor, Tensor]:
    """Derivatives (B, A) and (B,) of ``loss_terms(...).total`` by logits and values, in closed form.

    d policy / d logits = c (1[j = a] - pi_j), c = -(pi_old / b) r A / B where the clip does not bind;
    d entropy / d logits = -pi_j (log pi_j + H) / B; d value / d V = (V - R) / B where the clip of values
    does not bind. The loss and these take two thirds of the time of the loss and its differentiation.
    """
    rows = len(value)
    log_pi = torch.log_softmax(logits, dim=1)
    pi = log_pi.exp()
    chosen = batch.action.unsqueeze(1)
    chance = log_pi.gather(1, chosen).squeeze(1)
    ratio = torch.exp(chance - batch.log_policy.gather(1, chosen).squeeze(1))
    clipped = torch.clamp(ratio, 1.0 - rule.clip, 1.0 + rule.clip)
    pulls = ratio * batch.advantage <= clipped * batch.advantage
    # (pi_old / b) r = pi / b
    pull = torch.exp(chance - batch.log_behaviour) * batch.advantage * pulls / -rows
    entropy = -(pi * log_pi).sum(dim=1, keepdim=True)
    by_logits = pi * ((rule.entropy / rows) * (log_pi + entropy) - pull.unsqueeze(1))
    by_logits.scatter_add_(1, chosen, pull.unsqueeze(1))

    moved = value - batch.value
    off = value - batch.target
    near = batch.value + torch.clamp(moved, -rule.value_clip, rule.value_clip) - batch.target
    counts = (moved.abs() <= rule.value_clip) | (off.abs() >= near.abs())
    return by_logits, off * counts * (rule.value_weight / rows)


class _Total(torch.autograd.Function):
    """The total loss, whose derivatives are ``loss_gradients``."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, value: Tensor, total: Tensor, batch: Minibatch, rule: UpdateRule
    ) -> Tensor:
        ctx.save_for_backward(*loss_gradients(logits, value, batch, rule))
        return total.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        by_logits, by_value = ctx.saved_tensors
        return gradient * by_logits, gradient * by_value, None, None, None


def known_loss(logits: Tensor, value: Tensor, batch: Minibatch, rule: UpdateRule) -> LossTerms:
    """``loss_terms`` with ``loss_gradients``; of its terms only the total carries a gradient."""
    with torch.no_grad():
        terms = loss_terms(logits, value, batch, rule)
    total: Tensor = _Total.apply(  # type: ignore[no-untyped-call]
        logits, value, terms.total, batch, rule
    )
    return replace(terms, total=total)


def propensity_error(network: PolicyNetwork, rollout: Rollout, epsilon: float) -> float:
    """Largest |b_logged - b_recomputed| over the rollout's decisions.

    Raises:
        ShouldRestoreArtefact: it passes 1e-5, so the decisions came from other weights.
    """
    with torch.inference_mode():
        observation = torch.from_numpy(rollout.observation)
        log_pi = torch.log_softmax(network.logits(observation), dim=1)
        log_b = log_behaviour(log_pi, observation[:, network.width :], epsilon)
        recomputed = log_b.gather(1, torch.from_numpy(rollout.action).unsqueeze(1)).squeeze(1)
    error = float(np.abs(np.exp(recomputed.numpy()) - np.exp(rollout.log_behaviour)).max())
    if not error <= PROPENSITY_TOLERANCE:
        raise ShouldRestoreArtefact(
            f"Logged and recomputed propensities differ by {error:g}: decisions came from other "
            "weights than those that are trained.",
            "Train again from the last checkpoint.",
        )
    return error


def update(
    network: PolicyNetwork,
    step: Callable[[Tensor], None],
    rollout: Rollout,
    rule: UpdateRule,
    epsilon: float,
    permutation: Callable[[int, int], np.ndarray[tuple[int], np.dtype[np.int64]]],
) -> UpdateSummary:
    """Improve the network on one rollout.

    Args:
        network: changed in place.
        step: makes one gradient step on a total loss.
        rollout: decisions of the network as it is, explored with ``epsilon``.
        rule: the settings.
        permutation: (epoch, M) -> the order of that epoch's decisions.

    Raises:
        ShouldFixArgument: the loss is not finite.
    """
    error = propensity_error(network, rollout, epsilon)
    batch = Minibatch.of(rollout)
    made: list[tuple[float, float, float]] = []
    kl, stopped = math.nan, False
    for index in _minibatches(len(rollout), rule, permutation):
        part = batch.rows(index)
        logits, values = network(part.observation)
        terms = known_loss(logits, values, part, rule)
        total, kl = terms.total.item(), terms.kl.item()
        if not math.isfinite(total):
            raise ShouldFixArgument(
                f"The policy's loss is {total} after {len(made)} steps of an update.",
                "Lower training.learning_rate in the loop specification.",
            )
        if kl > rule.kl_stop:
            stopped = True
            break
        step(terms.total)
        made.append((terms.clip_fraction.item(), terms.entropy.item(), terms.value.item()))
    means = np.mean(made, axis=0) if made else np.full(3, math.nan)
    return UpdateSummary(
        kl, float(means[0]), float(means[1]), float(means[2]), len(made), stopped, error
    )


def gradient_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    rule: UpdateRule,
    together: Callable[[], None] | None = None,
) -> Callable[[Tensor], None]:
    """The default ``step``: clip the gradient's norm, then let the optimizer act.

    ``together`` is called between the two passes: learners that share a minibatch add their gradients.
    """

    parameters = list(network.parameters())

    def step(total: Tensor) -> None:
        for parameter in parameters:
            parameter.grad = None
        total.backward()  # type: ignore[no-untyped-call]
        if together is not None:
            together()
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not norm <= rule.gradient_norm:  # a pass over all gradients that most steps need not
            nn.utils.clip_grads_with_norm_(parameters, rule.gradient_norm, norm)
        optimizer.step()

    return step


def _minibatches(
    size: int,
    rule: UpdateRule,
    permutation: Callable[[int, int], np.ndarray[tuple[int], np.dtype[np.int64]]],
) -> Iterator[Tensor]:
    for epoch in range(rule.epochs):
        order = torch.from_numpy(permutation(epoch, size))
        yield from torch.tensor_split(order, -(-size // rule.minibatch))
