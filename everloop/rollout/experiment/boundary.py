"""A line that a mean-zero Gaussian process crosses with probability at most alpha, over all looks.

Robbins' normal mixture (1970, "Statistical methods related to the law of the iterated logarithm"): for
Brownian motion W and any r > 0,

    P(some v > 0: |W(v)| >= sqrt((v + r) log((v + r) / (r alpha^2)))) <= alpha.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, "Time-uniform central limit theory and asymptotic
confidence sequences") show that it holds for sums of dependent non-Gaussian terms as they grow, with
their variance estimated. ``r`` says where the line is tightest, and must not follow the effect.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.observations import Floats


def reach(variance: ArrayLike, tuning: ArrayLike, alpha: float) -> Floats:
    """Distance from 0 that is not reached, with probability at least 1 - alpha over all looks.

    Args:
        variance: v >= 0 of the process at the looks.
        tuning: r > 0, in the units of ``variance``.
        alpha: error of both sides together, in (0, 1).

    Raises:
        ShouldFixArgument: an alpha outside (0, 1).
    """
    _require_alpha(alpha)
    v, r = np.asarray(variance, dtype=np.float64), np.asarray(tuning, dtype=np.float64)
    whole = v + r
    return np.asarray(np.sqrt(whole * (np.log(whole / r) - 2.0 * math.log(alpha))))


def log_evidence(value: ArrayLike, variance: ArrayLike, tuning: ArrayLike) -> Floats:
    """Natural logarithm of the mixture: above log(1/alpha) exactly where |value| is above the line.

    log E = x^2 / (2 (v + r)) - log((v + r) / r) / 2.
    """
    x, v, r = (np.asarray(a, dtype=np.float64) for a in (value, variance, tuning))
    return np.asarray(x * x / (2.0 * (v + r)) - 0.5 * np.log((v + r) / r))


def tuned_to(variance: float, alpha: float) -> float:
    """The r whose line is tightest, in standard deviations, where the process has this variance.

    (v + r)/v log((v + r)/(r alpha^2)) is least where q = (v + r)/r solves q - 1 = log(q / alpha^2).
    """
    _require_alpha(alpha)
    ratio = 2.0
    for _ in range(100):
        ratio = 1.0 + math.log(ratio) - 2.0 * math.log(alpha)
    return variance / (ratio - 1.0)


def _require_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ShouldFixArgument(f"alpha={alpha} is outside (0, 1).", "Give a probability.")
