"""Gaussian differential privacy in closed form: pure functions of numbers.

A mechanism is mu-GDP when telling two neighbouring datasets apart is at least as hard as telling
N(0, 1) from N(mu, 1). Full-batch Gaussian releases compose exactly: mu^2 adds up. Reference: Dong,
Roth, Su, "Gaussian Differential Privacy", JRSS-B 84 (2022), corollary 2.13 and theorem 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import log_ndtr, ndtri

from everloop.contracts.errors import ShouldFixArgument

_TOLERANCE = 1e-15


def delta(epsilon: float, mu: float) -> float:
    """Smallest delta such that mu-GDP implies (epsilon, delta)-DP.

    delta(epsilon; mu) = Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2).

    Args:
        epsilon: >= 0.
        mu: >= 0; 0 is no privacy loss, so delta is 0.
    """
    _require(epsilon >= 0.0 and math.isfinite(epsilon), "epsilon", epsilon)
    _require(mu >= 0.0 and math.isfinite(mu), "mu", mu)
    if mu == 0.0:
        return 0.0
    ratio = epsilon / mu
    hit = math.exp(float(log_ndtr(mu / 2.0 - ratio)))
    paid = math.exp(epsilon + float(log_ndtr(-mu / 2.0 - ratio)))
    return max(0.0, hit - paid)


def epsilon(mu: float, delta_at: float) -> float:
    """Smallest epsilon such that mu-GDP implies (epsilon, ``delta_at``)-DP, to 1e-12.

    0 where delta(0; mu) is already at most ``delta_at``. The bracket's upper end follows from
    delta(epsilon; mu) <= Phi(-epsilon/mu + mu/2).
    """
    _require(0.0 < delta_at < 1.0, "delta", delta_at)
    if delta(0.0, mu) <= delta_at:
        return 0.0
    upper = mu * (mu / 2.0 + max(0.0, -float(ndtri(delta_at)))) + 1e-9
    return _root(lambda e: delta(e, mu) - delta_at, upper)


def mu(epsilon_at: float, delta_at: float) -> float:
    """Largest mu such that mu-GDP implies (``epsilon_at``, ``delta_at``)-DP, to 1e-12.

    mu(1, 1e-5)^2 = 0.07185.
    """
    _require(epsilon_at >= 0.0 and math.isfinite(epsilon_at), "epsilon", epsilon_at)
    _require(0.0 < delta_at < 1.0, "delta", delta_at)
    upper = 1.0
    while delta(epsilon_at, upper) <= delta_at:
        upper *= 2.0
    return _root(lambda m: delta(epsilon_at, m) - delta_at, upper)


def epsilon_of(mu_squared: float, delta_at: float) -> float:
    """epsilon of releases whose mu^2 sum to ``mu_squared``; 0 for none."""
    _require(mu_squared >= 0.0, "mu^2", mu_squared)
    return epsilon(math.sqrt(mu_squared), delta_at)


def _root(excess: Callable[[float], float], upper: float) -> float:
    """Where ``excess`` is 0 between 0 and ``upper``."""
    # A quarter of a second that every command and stage would pay: only the ledger needs it.
    from scipy.optimize import brentq  # noqa: PLC0415

    return float(brentq(excess, 0.0, upper, xtol=_TOLERANCE, rtol=_TOLERANCE))


def _require(holds: bool, name: str, value: float) -> None:
    if not holds:
        raise ShouldFixArgument(f"Privacy accounting: {name}={value} is out of range.")
