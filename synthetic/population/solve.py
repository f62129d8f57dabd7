"""Exact values of a small decision process whose circumstances are drawn anew at each decision.

The state before a decision is (z, c): z is carried over by the actions' kernels, c is drawn from a
fixed law. With end chance e and K_a the kernel of those that go on,

    P(z', c' | z, c, a) = (1 - e(z, c, a)) K_a(z, z') law(c'),

so the values W(z) = sum_c law(c) V(z, c) of what is carried determine everything, and a policy's are
one linear system: (I - discount G) W = g with G(z, z') = sum_a sum_c law(c) pi(a | z, c)
(1 - e) K_a(z, z') and g the mean reward. The best policy is found by policy iteration (Howard 1960),
which ends after finitely many exact solves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixArgument

_GAIN = 1e-12
"""A change of action must be worth more than this, or rounding would let policy iteration circle."""
_ROUNDS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class DecisionProcess:
    """Z carried states, C circumstances, A actions.

    Attributes:
        reward: (Z, C, A) expected reward. ends: (Z, C, A) chance that the journey ends after it.
        valid: (Z, C, A). kernels: (A, Z, Z), rows sum to 1. law: (C,) sums to 1.
        start: (Z,) law of a journey's first state; sums to 1.

    Raises:
        ShouldFixArgument: a shape is wrong, a law does not sum to 1, a state has no valid action.
    """

    reward: Float
    ends: Float
    valid: Bool
    kernels: Float
    law: Float
    start: Float

    def __post_init__(self) -> None:
        carried, circumstances, actions = self.reward.shape
        for name, shape in (
            ("ends", self.reward.shape),
            ("valid", self.reward.shape),
            ("kernels", (actions, carried, carried)),
            ("law", (circumstances,)),
            ("start", (carried,)),
        ):
            if getattr(self, name).shape != shape:
                raise ShouldFixArgument(
                    f"DecisionProcess: {name} has shape {getattr(self, name).shape}, not {shape}."
                )
        for name, total in (
            ("kernels", self.kernels.sum(axis=2)),
            ("law", self.law.sum()),
            ("start", self.start.sum()),
        ):
            if np.abs(total - 1.0).max() > 1e-9 or (getattr(self, name) < 0).any():
                raise ShouldFixArgument(f"DecisionProcess: {name} is no distribution.")
        if (self.ends < 0).any() or (self.ends > 1).any():
            raise ShouldFixArgument("DecisionProcess: an end chance is outside [0, 1].")
        if not self.valid.any(axis=2).all():
            raise ShouldFixArgument("DecisionProcess: a state has no valid action.")

    def value(self, policy: Float, discount: float) -> Float:
        """(Z,) W of a policy given as (Z, C, A) probabilities.

        Raises:
            ShouldFixArgument: it is no policy of this process, or its journeys never end and nothing
                is discounted.
        """
        return self._solve(self._going_on(policy), self._earned(policy), discount)

    def journey_value(self, policy: Float, discount: float) -> float:
        """Expected discounted sum of rewards from ``start``."""
        return float(self.start @ self.value(policy, discount))

    def visits(self, policy: Float) -> Float:
        """(Z,) expected number of decisions taken in each z by one journey from ``start``."""
        return self._solve(self._going_on(policy).T, self.start, 1.0)

    def journey_total(self, policy: Float) -> tuple[float, float]:
        """(expected sum of rewards, expected number of decisions) of one journey, undiscounted."""
        visits = self.visits(policy)
        return float(visits @ self._earned(policy)), float(visits.sum())

    def best_policy(self, discount: float) -> Float:
        """(Z, C, A) deterministic policy of the highest value in every state."""
        policy = self._greedy(self.reward)
        for _ in range(_ROUNDS):
            advantage = self.action_values(self.value(policy, discount), discount)
            better = self._greedy(advantage)
            gain = ((better - policy) * np.where(self.valid, advantage, 0.0)).sum(axis=2)
            if gain.max() <= _GAIN:
                return policy
            policy = np.where((gain > _GAIN)[:, :, None], better, policy)
        raise ShouldFixArgument(f"No best policy after {_ROUNDS} rounds.", "Check the process.")

    def action_values(self, carried_value: Float, discount: float) -> Float:
        """(Z, C, A) value of taking each action first: r + discount (1 - e) K_a W."""
        after = np.einsum("azy,y->za", self.kernels, carried_value)
        return np.asarray(self.reward + discount * (1 - self.ends) * after[:, None, :])

    def _greedy(self, values: Float) -> Float:
        chosen = np.where(self.valid, values, -np.inf).argmax(axis=2)
        return np.asarray(np.eye(self.reward.shape[2])[chosen])

    def _earned(self, policy: Float) -> Float:
        return np.asarray(np.einsum("zca,zca,c->z", policy, self.reward, self.law))

    def _going_on(self, policy: Float) -> Float:
        """(Z, Z) G of the module's formula."""
        self._require_policy(policy)
        stays = np.einsum("zca,zca,c->az", policy, 1 - self.ends, self.law)
        return np.asarray(np.einsum("az,azy->zy", stays, self.kernels))

    def _solve(self, matrix: Float, right: Float, discount: float) -> Float:
        system = np.eye(len(matrix)) - discount * matrix
        try:
            solved = np.asarray(np.linalg.solve(system, right), dtype=np.float64)
        except np.linalg.LinAlgError:
            solved = np.full(len(right), np.inf)
        if not np.isfinite(solved).all() or np.abs(system @ solved - right).max() > 1e-7:
            raise ShouldFixArgument(
                f"The value has no solution at discount={discount}: some journeys never end.",
                "Give end chances above 0, or a discount below 1.",
            )
        return solved

    def _require_policy(self, policy: Float) -> None:
        if policy.shape != self.reward.shape:
            raise ShouldFixArgument(
                f"A policy of shape {policy.shape} is not {self.reward.shape}.",
                "Give probabilities for every state, circumstance and action.",
            )
        if np.abs(policy.sum(axis=2) - 1).max() > 1e-6 or (policy < 0).any():
            raise ShouldFixArgument("A policy's probabilities do not sum to 1 in some state.")
        if (policy[~self.valid] > 1e-9).any():
            raise ShouldFixArgument("An invalid action has a probability.", "Apply the mask.")
