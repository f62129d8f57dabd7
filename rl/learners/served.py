"""How learners' policies decide, in the form that is exported.

Each is ``forward(context (N, d), mask (N, A) bool, epsilon (1,))`` -> logits (N, A), propensity (N, A),
value (N,). Scores are taken in double precision: a choice of the largest must not turn on the order of
a sum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from everloop.contracts.datasets import Float, Int
from rl.runtime import INVALID_LOGIT

_LEAST_SHARE = 1e-9
"""What an action that no draw chose has in logits: finite, and nothing in a propensity."""
_LEAST_LOGIT = -1e6
"""Far behind the best valid action, and far above ``INVALID_LOGIT``."""

Answer = tuple[Tensor, Tensor, Tensor]


class _Linear(nn.Module):
    """Scores u . theta_a with u = [1, x_D] over the context's dimensions D."""

    weight: Tensor
    dimensions: Tensor

    def __init__(self, weight: Float, dimensions: Int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(weight.astype("float64")))
        self.register_buffer("dimensions", torch.from_numpy(dimensions.astype("int64")))

    def seen(self, context: Tensor) -> Tensor:
        """(N, q) u."""
        own = context.double().index_select(1, self.dimensions)
        return torch.cat([torch.ones_like(context[:, :1]).double(), own], dim=1)


class SoftScores(_Linear):
    """pi = softmax(u . theta_a / temperature); the value is its expected score.

    Args:
        weight: (A, q) theta.
        dimensions: (q - 1,) D.
        temperature: in units of scores; small is sharp.
    """

    def __init__(self, weight: Float, dimensions: Int, temperature: float) -> None:
        super().__init__(weight, dimensions)
        self.temperature = temperature

    def forward(self, context: Tensor, mask: Tensor, epsilon: Tensor) -> Answer:
        scores = self.seen(context) @ self.weight.T
        valid = torch.where(mask, scores / self.temperature, -torch.inf)
        # from the best down, so that no valid action comes near the mark of an invalid one
        behind = (valid - valid.amax(dim=1, keepdim=True)).clamp_min(_LEAST_LOGIT)
        logits = torch.where(mask, behind, INVALID_LOGIT)
        chance = torch.softmax(logits, dim=1)
        return logits.float(), _explored(chance, mask, epsilon), (chance * scores).sum(1).float()


class DrawVotes(_Linear):
    """pi(a) is the share of K fixed posterior draws in which action a has the largest score.

    Args:
        draws: (K, A, q) coefficients.
        dimensions: (q - 1,) D.
    """

    actions: Tensor

    def __init__(self, draws: Float, dimensions: Int) -> None:
        count, actions, width = draws.shape
        super().__init__(draws.reshape(count * actions, width), dimensions)
        self.count, self.size = count, actions
        self.register_buffer("actions", torch.arange(actions))

    def forward(self, context: Tensor, mask: Tensor, epsilon: Tensor) -> Answer:
        scores = (self.seen(context) @ self.weight.T).reshape(-1, self.count, self.size)
        scores = torch.where(mask.unsqueeze(1), scores, -torch.inf)
        votes = (scores.argmax(dim=2).unsqueeze(2) == self.actions).double()
        return _voted(votes.mean(dim=1), mask, epsilon, scores.amax(dim=2).mean(dim=1))


class OptimisticScores(_Linear):
    """The action with the largest u . theta_a + bonus |F_a^T u|, F_a F_a^T being theta_a's covariance.

    Args:
        weight: (A, q) posterior means.
        factor: (A, q, p) F.
        dimensions: (q - 1,) D.
        bonus: posterior standard deviations that are added, >= 0.
    """

    factor: Tensor
    actions: Tensor

    def __init__(self, weight: Float, factor: Float, dimensions: Int, bonus: float) -> None:
        super().__init__(weight, dimensions)
        actions, width, inner = factor.shape
        flat = factor.transpose(1, 0, 2).reshape(width, actions * inner)
        self.register_buffer("factor", torch.from_numpy(flat.astype("float64")))
        self.register_buffer("actions", torch.arange(actions))
        self.size, self.inner, self.bonus = actions, inner, bonus

    def forward(self, context: Tensor, mask: Tensor, epsilon: Tensor) -> Answer:
        seen = self.seen(context)
        scores = seen @ self.weight.T
        spread = (seen @ self.factor).reshape(-1, self.size, self.inner)
        bound = scores + self.bonus * spread.square().sum(dim=2).sqrt()
        best = torch.where(mask, bound, -torch.inf).argmax(dim=1, keepdim=True)
        chosen = (best == self.actions).double()
        return _voted(chosen, mask, epsilon, (chosen * scores).sum(dim=1))


def _voted(share: Tensor, mask: Tensor, epsilon: Tensor, value: Tensor) -> Answer:
    logits = torch.where(mask, torch.log(share.clamp_min(_LEAST_SHARE)), INVALID_LOGIT)
    return logits.float(), _explored(share, mask, epsilon), value.float()


def _explored(chance: Tensor, mask: Tensor, epsilon: Tensor) -> Tensor:
    """(1 - epsilon) pi + epsilon / |valid|, exactly 0 where invalid."""
    valid = mask.double()
    uniform = valid / valid.sum(dim=1, keepdim=True)
    share = epsilon.double()
    return (((1.0 - share) * chance + share * uniform) * valid).float()


def sharpness(low: float, high: float, share: float = 0.01) -> float:
    """Temperature at which a score that is ``share`` of the reward's range better is e times as likely.

    Returns a number > 0.
    """
    return max(share * (high - low), math.ulp(1.0))
