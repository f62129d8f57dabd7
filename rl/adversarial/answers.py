"""What attacks ask a policy, and how they say what came of it."""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32
from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.models import States
from everloop.contracts.ports import Policy

CONFIDENCE = 0.95
_ROUNDING = 1e-4


def asked(policy: Policy, context: Float32, mask: Bool, epsilon: float = 0.0) -> Float:
    """(n, A) propensities in double precision, as they come: nothing is assumed about them."""
    return policy.act(States(context, mask), epsilon).propensity.astype(np.float64)


def broken_rows(propensity: Float, mask: Bool) -> Bool:
    """(n,) where an answer is no distribution over valid actions: NaN, negative, masked, or no 1 in all."""
    wrong = ~np.isfinite(propensity).all(axis=1)
    clean = np.where(np.isfinite(propensity), propensity, 0.0)
    wrong |= (clean < 0).any(axis=1) | (np.where(mask, 0.0, clean) > 0).any(axis=1)
    wrong |= np.abs(clean.sum(axis=1) - 1.0) > _ROUNDING
    return np.asarray(wrong)


def share(name: str, hits: Bool, method: str) -> Estimate:
    """Share of n independent trials, with Wilson's interval; NaN throughout without any."""
    n = len(hits)
    value = float(hits.mean()) if n else math.nan
    low, high = wilson(value, n, critical(CONFIDENCE)) if n else (math.nan, math.nan)
    return Estimate(name, value, low, high, CONFIDENCE, n, n, f"{method}; Wilson interval")


def figure(name: str, value: float, n: int, method: str) -> Estimate:
    """A figure that is no estimate, such as the largest of n: it has no interval."""
    return Estimate(name, value, math.nan, math.nan, CONFIDENCE, n, n, method)


def answer(
    name: str, withstood: bool, reason: str, value: float | None, threshold: float | None
) -> Check:
    """The check of an attack that was made."""
    status = CheckStatus.PASSED if withstood else CheckStatus.FAILED
    return Check(name, status, reason, value, threshold)


def not_made(name: str, reason: str) -> Check:
    """The check of an attack that could not be made: it doesn't pass."""
    return Check(name, CheckStatus.INSUFFICIENT, reason)
