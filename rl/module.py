"""The policy network and what exploration makes of it.

An observation is flat: d context dimensions, then the action mask as A zeros and ones. N rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl.runtime import INVALID_LOGIT


class PolicyNetwork(nn.Module):
    """Separate policy and value networks: two hidden layers of tanh each.

    Orthogonal initialisation, gain sqrt(2) inside, 0.01 for the policy's and 1 for the value's last
    layer (Huang et al. 2022, "The 37 implementation details of PPO").

    Args:
        width: d, context dimensions.
        actions: A, size of the catalogue.
        hidden: units of each hidden layer.
        seed: equal seeds give equal weights.
    """

    def __init__(self, width: int, actions: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.width = width
        self.actions = actions
        generator = torch.Generator().manual_seed(seed)
        self.policy = _layers(width, hidden, actions, 0.01, generator)
        self.critic = _layers(width, hidden, 1, 1.0, generator)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d + A) observations -> masked logits (N, A), values (N,)."""
        return self.logits(observation), self.values(observation)

    def logits(self, observation: Tensor) -> Tensor:
        """(N, A); an invalid action's logit is ``INVALID_LOGIT``, its probability exactly 0."""
        context, mask = observation[:, : self.width], observation[:, self.width :]
        logits: Tensor = self.policy(context)
        return torch.where(mask > 0.5, logits, logits.new_tensor(INVALID_LOGIT))

    def values(self, observation: Tensor) -> Tensor:
        """(N,) expected discounted return."""
        value: Tensor = self.critic(observation[:, : self.width])
        return value.squeeze(-1)


def _layers(
    width: int, hidden: int, outputs: int, gain: float, generator: torch.Generator
) -> nn.Sequential:
    sizes = (width, hidden, hidden, outputs)
    gains = (math.sqrt(2.0), math.sqrt(2.0), gain)
    layers: list[nn.Module] = []
    for inputs, units, scale in zip(sizes, sizes[1:], gains, strict=False):
        # skip_init: the default initialisation would draw from torch's global generator
        linear: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, inputs, units
        )
        nn.init.orthogonal_(linear.weight, scale, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


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
