"""Logistic regression by iteratively reweighted least squares, with a ridge penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve
from scipy.special import expit

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixArgument

RIDGE = 1.0
_STEPS = 25
_TOLERANCE = 1e-6
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """``weights`` (d,) and ``intercept`` on features centred at ``mean`` (d,) and divided by
    ``deviation`` (d,)."""

    weights: Float
    intercept: float
    mean: Float
    deviation: Float

    def scores(self, features: Float) -> Float:
        """(n,) log-odds of the positive class for (n, d) features."""
        return np.asarray(
            (features - self.mean) / self.deviation @ self.weights + self.intercept,
            dtype=np.float64,
        )


def fit_logistic(
    features: Float, positive: Bool, weights: Float | None = None, ridge: float = RIDGE
) -> Logistic:
    """Minimise sum_i w_i log(1 + exp(-s_i z_i)) + ridge / 2 |b|^2, the intercept unpenalised.

    Newton's method (IRLS: McCullagh and Nelder 1989, section 4.4), halved while the loss rises.
    Features are standardised first, so that the penalty is the same for each.

    Args:
        features: (n, d).
        positive: (n,) the class.
        weights: (n,) >= 0; ones by default.
        ridge: strength of the penalty in units of observations.

    Raises:
        ShouldFixArgument: a class is missing.
    """
    if not positive.any() or positive.all():
        raise ShouldFixArgument("A logistic regression needs both classes.", "Check the labels.")
    weight = np.ones(len(features)) if weights is None else weights
    mean = np.average(features, axis=0, weights=weight)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    design = np.column_stack([np.ones(len(features)), (features - mean) / deviation])
    sign = np.where(positive, 1.0, -1.0)
    penalty = np.r_[0.0, np.full(features.shape[1], ridge)]

    def loss(b: Float) -> float:
        return float(weight @ np.logaddexp(0.0, -sign * (design @ b)) + penalty @ b**2 / 2.0)

    share = np.average(positive, weights=weight)
    found = np.zeros(design.shape[1])
    found[0] = np.log(share / (1.0 - share))
    value = loss(found)
    for _ in range(_STEPS):
        chance = expit(design @ found)
        gradient = design.T @ (weight * (chance - positive)) + penalty * found
        curvature = np.maximum(weight * chance * (1.0 - chance), _LEAST_CURVATURE)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = solve(hessian, gradient, assume_a="pos")
        size = 1.0
        while loss(found - size * step) > value and size > 1e-4:
            size /= 2.0
        found = found - size * step
        before, value = value, loss(found)
        if before - value <= _TOLERANCE * max(1.0, abs(value)):
            break
    return Logistic(found[1:], float(found[0]), mean, deviation)
