"""Renyi differential privacy at fixed orders: pure functions of numbers.

A mechanism is (alpha, r)-RDP when the Renyi divergence of order alpha between its outputs on neighbouring
datasets is at most r; divergences of one order add up, adaptively too (Mironov, "Renyi differential
privacy", CSF 2017; Feldman and Zrnic, "Individual privacy accounting via a Renyi filter", NeurIPS 2021).
A mu-GDP Gaussian has r = alpha mu^2 / 2 at every order.

(alpha, r)-RDP implies (epsilon, delta)-DP with
epsilon = r + log(1 - 1/alpha) - log(delta alpha) / (alpha - 1)
(Canonne, Kamath, Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020, proposition
12), the tightest conversion in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument

VERSION = 1
"""Of ``ORDERS``: rows keep it, so that another tuple never reads an old vector."""

ORDERS: tuple[int, ...] = (
    *range(2, 21),
    *(22, 24, 26, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384, 512, 1024, 2048),
)
"""Orders that divergences are kept at; whole numbers, where the subsampled Gaussian is a finite sum."""


def epsilon_at(order: float, divergence: float, delta: float) -> float:
    """epsilon at ``delta`` of a mechanism with this divergence at one order; never negative."""
    return max(0.0, divergence + _overhead(order, delta))


def epsilon_of(divergences: Sequence[float], delta: float) -> float:
    """The least epsilon at ``delta`` that divergences at ``ORDERS`` imply; 0 for none at all.

    Raises:
        ShouldFixArgument: the vector is not of ``ORDERS``, or not finite and >= 0.
    """
    require_vector(divergences)
    if not any(divergences):
        return 0.0
    return min(epsilon_at(order, r, delta) for order, r in zip(ORDERS, divergences, strict=True))


def epsilons_of(divergences: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    """``epsilon_of`` of each row, (n, orders) -> (n,), where a row has some loss."""
    overhead = np.array([_overhead(order, delta) for order in ORDERS])
    found: NDArray[np.float64] = np.maximum((divergences + overhead).min(axis=1), 0.0)
    return found


def gaussian(mu_squared: float) -> tuple[float, ...]:
    """Divergences of Gaussian releases whose mu^2 sum to ``mu_squared``: alpha mu^2 / 2."""
    return tuple(order * mu_squared / 2.0 for order in ORDERS)


def require_vector(divergences: Sequence[float]) -> None:
    """Refuse what is no vector of divergences at ``ORDERS``."""
    if len(divergences) != len(ORDERS):
        raise ShouldFixArgument(
            f"A vector of {len(divergences)} divergences is not of the {len(ORDERS)} orders."
        )
    for order, r in zip(ORDERS, divergences, strict=True):
        if not (math.isfinite(r) and r >= 0.0):
            raise ShouldFixArgument(f"The divergence at order {order} is {r}.")


@cache
def judging_index(epsilon: float, delta: float) -> int:
    """Index in ``ORDERS`` of the order that a budget is judged at.

    It is the order at which Gaussian releases may spend most, fixed by the budget before anything is
    spent. A bound that took whichever order looks best afterwards would let the history choose its
    own test, which the composition theorem of one order does not cover.

    Raises:
        ShouldFixArgument: no order allows anything: the budget is too small for Renyi accounting.
    """
    best = max(range(len(ORDERS)), key=lambda i: _allowed(ORDERS[i], epsilon, delta) / ORDERS[i])
    if _allowed(ORDERS[best], epsilon, delta) <= 0.0:
        raise ShouldFixArgument(
            f"A budget of epsilon {epsilon:g} at delta {delta:g} is too small for subsampled releases.",
            "Set privacy.sampling_rate to 1, or a larger epsilon.",
        )
    return best


def allowed(epsilon: float, delta: float) -> float:
    """Divergence at the judging order that a person may lose within a period."""
    return _allowed(ORDERS[judging_index(epsilon, delta)], epsilon, delta)


def as_mu_squared(divergence: float, epsilon: float, delta: float) -> float:
    """mu^2 of the Gaussian with this divergence at the judging order: 2 r / alpha."""
    return 2.0 * divergence / ORDERS[judging_index(epsilon, delta)]


def _allowed(order: float, epsilon: float, delta: float) -> float:
    return epsilon - _overhead(order, delta)


def _overhead(order: float, delta: float) -> float:
    return math.log1p(-1.0 / order) - math.log(delta * order) / (order - 1.0)
