"""Estimators of a policy's value from logged single decisions.

Every estimator returns an (n,) array of *contributions* whose mean is the estimate, so that intervals
and groups are taken on one kind of thing. Notation: decision i has context x_i, action a_i, reward r_i
and propensity p_i = pi_b(a_i|x_i); the target policy is pi, the reward model q(x, a), and

    w_i = pi(a_i|x_i) / p_i,    q(x_i, pi) = sum_a pi(a|x_i) q(x_i, a).

References: Dudik, Erhan, Langford, Li (2014), "Doubly robust policy evaluation and optimization";
Swaminathan, Joachims (2015), "The self-normalized estimator for counterfactual learning"; Wang,
Agarwal, Dudik (2017), "Optimal and adaptive off-policy evaluation in contextual bandits"; Su,
Dimakopoulou, Krishnamurthy, Dudik (2020), "Doubly robust off-policy evaluation with shrinkage".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument


@dataclass(frozen=True, slots=True)
class WeightedDecisions:
    """n logged decisions, reduced to what estimators read.

    Attributes:
        reward: (n,) r_i.
        weight: (n,) w_i >= 0.
        q_logged: (n,) q(x_i, a_i).
        q_target: (n,) q(x_i, pi).

    Raises:
        ShouldFixArgument: lengths differ, a number is not finite or a weight is negative.
    """

    reward: Float
    weight: Float
    q_logged: Float
    q_target: Float

    def __post_init__(self) -> None:
        for name in ("reward", "weight", "q_logged", "q_target"):
            values = getattr(self, name)
            if values.shape != self.reward.shape or values.ndim != 1:
                raise ShouldFixArgument(
                    f"Weighted decisions: {name} has shape {values.shape}, "
                    f"reward {self.reward.shape}.",
                    "Give one number per decision.",
                )
            if not np.isfinite(values).all():
                raise ShouldFixArgument(
                    f"Weighted decisions: {name} holds NaN or infinity.", "Leave such rows out."
                )
        if (self.weight < 0).any():
            raise ShouldFixArgument(
                f"Weighted decisions: weight {self.weight.min()} is negative.",
                "Check the target policy's probabilities.",
            )

    def __len__(self) -> int:
        return len(self.reward)


def weigh(
    reward: Float, action: Int, propensity: Float, target: Float, q_hat: Float
) -> WeightedDecisions:
    """Reduce logged decisions and a target policy to weights.

    Args:
        reward: (n,) rewards.
        action: (n,) logged actions, 0..A-1.
        propensity: (n,) in (0, 1].
        target: (n, A) the target policy's probabilities; rows sum to 1.
        q_hat: (n, A) the reward model's predictions.

    Raises:
        ShouldFixArgument: naming the first value that cannot be used.
    """
    if not ((propensity > 0) & (propensity <= 1)).all():
        bad = propensity[~((propensity > 0) & (propensity <= 1))][0]
        raise ShouldFixArgument(
            f"Propensity {bad} is outside (0, 1].", "Leave decisions without a propensity out."
        )
    if target.shape != q_hat.shape or target.shape[:1] != reward.shape:
        raise ShouldFixArgument(
            f"target has shape {target.shape}, q_hat {q_hat.shape}, reward {reward.shape}.",
            "Give (n, A), (n, A) and (n,).",
        )
    sums = target.sum(axis=1)
    if not np.allclose(sums, 1.0, atol=1e-4):
        raise ShouldFixArgument(
            f"The target policy's probabilities sum to {sums[np.abs(sums - 1).argmax()]:g}.",
            "Give one distribution per row.",
        )
    rows = np.arange(len(reward))
    return WeightedDecisions(
        reward=reward,
        weight=target[rows, action] / propensity,
        q_logged=q_hat[rows, action],
        q_target=(target * q_hat).sum(axis=1),
    )


def ips(logged: WeightedDecisions) -> Float:
    """Inverse propensity scoring, w_i r_i: unbiased where every action is supported."""
    return logged.weight * logged.reward


def snips(logged: WeightedDecisions) -> Float:
    """Self-normalised IPS, V = sum w_i r_i / sum w_i (Swaminathan and Joachims 2015).

    Contributions are the linearised ratio, V + w_i (r_i - V) / mean(w): their mean is V and their
    spread is that of V to first order. All NaN when every weight is 0.
    """
    mean_weight = logged.weight.mean()
    if not mean_weight > 0:
        return np.full(len(logged), math.nan)
    value = ips(logged).mean() / mean_weight
    return np.asarray(value + logged.weight * (logged.reward - value) / mean_weight)


def dm(logged: WeightedDecisions) -> Float:
    """Direct method, q(x_i, pi): no weights, and as biased as the reward model."""
    return logged.q_target


def dr(logged: WeightedDecisions) -> Float:
    """Doubly robust, q(x_i, pi) + w_i (r_i - q(x_i, a_i)) (Dudik et al. 2014)."""
    return logged.q_target + logged.weight * (logged.reward - logged.q_logged)


def switch_dr(logged: WeightedDecisions, threshold: float) -> Float:
    """SWITCH-DR, q(x_i, pi) + w_i 1{w_i <= threshold} (r_i - q(x_i, a_i)) (Wang et al. 2017)."""
    kept = np.where(logged.weight <= threshold, logged.weight, 0.0)
    return np.asarray(logged.q_target + kept * (logged.reward - logged.q_logged))


def dr_os(logged: WeightedDecisions, shrinkage: float) -> Float:
    """DR with optimistic shrinkage, q(x_i, pi) + s w_i / (w_i^2 + s) (r_i - q(x_i, a_i)).

    ``shrinkage`` s >= 0: 0 is the direct method, infinity is DR (Su et al. 2020, section 3.1).
    """
    if math.isinf(shrinkage):
        return dr(logged)
    if shrinkage == 0:
        return dm(logged)
    shrunk = shrinkage * logged.weight / (logged.weight**2 + shrinkage)
    return np.asarray(logged.q_target + shrunk * (logged.reward - logged.q_logged))


def least_error(
    estimator: Callable[[WeightedDecisions, float], Float],
    logged: WeightedDecisions,
    choices: Sequence[float],
) -> float:
    """The tuning value whose estimated mean squared error is smallest (Su et al. 2020, section 5).

    The error is estimated by bias^2 + var / n with bias = mean(contribution - DR contribution). Ties
    go to the first of ``choices``.
    """
    reference = dr(logged)

    def error(choice: float) -> float:
        contributions = estimator(logged, choice)
        bias = float((contributions - reference).mean())
        return bias**2 + float(contributions.var()) / len(logged)

    return min(choices, key=error)
