"""The policy network and what exploration makes of it.

An observation is flat: d context dimensions, then the action mask as A zeros and ones. N rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from everloop.contracts.datasets import Float32
from everloop.contracts.errors import ShouldFixArgument
from rl.runtime import INVALID_LOGIT

FREE_SHARE = 0.1
"""Weight of the free rows beside the features: what actions have in common is learned as features, so
that it carries over to actions that have no row of their own."""


class PolicyNetwork(nn.Module):
    """Separate policy and value networks: two hidden layers h of tanh each.

    Without features, logit_a = R_a h(s) + r_a, a plain network. With features phi_a (F numbers an action),

        logit_a = phi_a . u(s) + FREE_SHARE (R_a h(s) + r_a),      u(s) = E [h(s), s] + e,

    so an action that was never seen, whose free row is 0, scores phi . u(s); s itself lets context and
    features meet without a detour through the hidden layers.

    Orthogonal initialisation, gain sqrt(2) inside, 0.01 for the policy's and 1 for the value's last
    layer (Huang et al. 2022, "The 37 implementation details of PPO").

    Args:
        width: d, context dimensions.
        actions: A, size of the catalogue.
        hidden: units of each hidden layer.
        seed: equal seeds give equal weights.
        features: (A, F) ``ActionCatalogue.features``; ``None``: a plain network.
    """

    features: Tensor

    def __init__(
        self, width: int, actions: int, hidden: int, seed: int, features: Float32 | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.actions = actions
        generator = torch.Generator().manual_seed(seed)
        self.policy = _layers(width, hidden, actions, 0.01, generator)
        self.critic = _layers(width, hidden, 1, 1.0, generator)
        self.taste: nn.Linear | None = None
        if features is not None:
            if features.ndim != 2 or len(features) != actions or features.shape[1] == 0:
                raise ShouldFixArgument(
                    f"Features of shape {features.shape} do not describe {actions} actions."
                )
            # not a weight: it follows from the catalogue, which the file names
            self.register_buffer("features", torch.tensor(features), persistent=False)
            self.taste = _linear(hidden + width, features.shape[1], 0.01, generator)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d + A) observations -> masked logits (N, A), values (N,)."""
        return self.logits(observation), self.values(observation)

    def logits(self, observation: Tensor) -> Tensor:
        """(N, A); an invalid action's logit is ``INVALID_LOGIT``, its probability exactly 0."""
        context, mask = observation[:, : self.width], observation[:, self.width :]
        scores, _ = self.scores(context)
        return torch.where(mask > 0.5, scores, scores.new_tensor(INVALID_LOGIT))

    def scores(self, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, A) scores before the mask of (N, d) contexts, and u(s) (N, F) where there are features."""
        if self.taste is None:
            plain: Tensor = self.policy(context)
            return plain, None
        hidden = self.policy[:-1](context)
        likes = self.taste(torch.cat([hidden, context], dim=1))
        free = self.policy[-1](hidden)
        return torch.addmm(free, likes, self.features.T, beta=FREE_SHARE), likes

    def score(self, context: Tensor, features: Tensor) -> Tensor:
        """(N, K) scores of K actions that have no row of their own, from their features (K, F).

        Raises:
            ShouldFixArgument: the network reads no features, or other ones.
        """
        if self.taste is None or features.ndim != 2 or features.shape[1] != self.taste.out_features:
            reads = 0 if self.taste is None else self.taste.out_features
            raise ShouldFixArgument(
                f"Features of shape {tuple(features.shape)} do not fit a policy that reads {reads} an "
                "action.",
                "Describe actions by ActionCatalogue of the loop that the policy was trained for.",
            )
        likes: Tensor = self.taste(torch.cat([self.policy[:-1](context), context], dim=1))
        return likes @ features.T

    def values(self, observation: Tensor) -> Tensor:
        """(N,) expected discounted return."""
        value: Tensor = self.critic(observation[:, : self.width])
        return value.squeeze(-1)


class Tanh(nn.Module):
    """tanh of a linear layer's outputs, in place.

    On a CPU numpy computes it: as exact as torch's, in a tenth of the time.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.device.type != "cpu" or torch.compiler.is_exporting():
            return torch.tanh(inputs)
        answer: Tensor = _CpuTanh.apply(inputs)  # type: ignore[no-untyped-call]
        return answer


class _CpuTanh(torch.autograd.Function):
    """y = tanh(x); dy/dx = 1 - y^2."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        values = inputs.detach().numpy()
        np.tanh(values, out=values)
        ctx.mark_dirty(inputs)
        ctx.save_for_backward(inputs)
        return inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        answer: Tensor = torch.ops.aten.tanh_backward(gradients[0], outputs)
        return answer


def _layers(
    width: int, hidden: int, outputs: int, gain: float, generator: torch.Generator
) -> nn.Sequential:
    sizes = (width, hidden, hidden, outputs)
    gains = (math.sqrt(2.0), math.sqrt(2.0), gain)
    layers: list[nn.Module] = []
    for inputs, units, scale in zip(sizes, sizes[1:], gains, strict=False):
        layers += [_linear(inputs, units, scale, generator), Tanh()]
    return nn.Sequential(*layers[:-1])


def _linear(inputs: int, units: int, scale: float, generator: torch.Generator) -> nn.Linear:
    # skip_init: the default initialisation would draw from torch's global generator
    linear: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, inputs, units
    )
    nn.init.orthogonal_(linear.weight, scale, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear


def log_behaviour(log_policy: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """log((1 - epsilon) pi(a) + epsilon / |valid|), (N, A); -inf on invalid actions.

    The true propensity of epsilon-greedy exploration over valid actions, by ``logaddexp``.
    ``log_policy`` and ``mask`` are (N, A).
    """
    valid = mask > 0.5
    explore = torch.full_like(log_policy, math.log(epsilon) if epsilon > 0.0 else -math.inf)
    explore = explore - torch.log(valid.sum(dim=1, keepdim=True))
    exploit = log_policy + (math.log1p(-epsilon) if epsilon < 1.0 else -math.inf)
    return torch.where(valid, torch.logaddexp(exploit, explore), -math.inf)
