"""Bounds of a policy's own value by betting, valid at every sample size.

The lower bound is one on the mean of w u + lambda [g(x, pi) - w g(x, a)] with u = r - lo >= 0 and
g = q - lo >= 0, the upper one on the same with u = hi - r and g = hi - q: the value is lo + the first mean
and hi - the second (``rl.off_policy.difference`` has the notation). The bracket has mean zero whatever
lambda in [0, 1] is, and the least value is -lambda K max g at u = 0. lambda is chosen on the training
people, to make the bound narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from rl.off_policy.betting import Guess, betting_lower_bound
from rl.off_policy.difference import LEAST_VARIANCE, STRENGTHS, Known, expected_gap
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.intervals import totals_by_person

METHOD = "doubly robust; bounds by betting over people, error {alpha:g} on each side"


@dataclass(frozen=True, slots=True)
class _Side:
    """One side's terms on n decisions: w u, the bracket, and max g."""

    base: Float
    control: Float
    largest: float


def bounds_of_value(
    known: Known,
    pilot: tuple[WeightedDecisions, Int],
    judged: tuple[WeightedDecisions, Int],
    alpha: float,
) -> tuple[float, float]:
    """(lower, upper) bound of a policy's value, each wrong with probability ``alpha``.

    Args:
        known: what is known before the judged people are seen.
        pilot: the training people's decisions, and whose each is.
        judged: the held-out people's.
        alpha: error probability of each side in (0, 1).

    Raises:
        ShouldFixArgument: a value lies outside what was declared, so that no bound holds.
    """

    def one_sided(upper: bool) -> float:
        before, now = (_side(part[0], known, upper) for part in (pilot, judged))
        people = len(np.unique(judged[1]))
        strength, guess = _plan(before, pilot[1], known, people, alpha)
        totals, counts = totals_by_person(now.base + strength * now.control, judged[1])
        least = _least(strength, now.largest, known)
        return betting_lower_bound(totals, counts, known.most, least, alpha, guess)

    return known.low + one_sided(upper=False), known.high - one_sided(upper=True)


def _side(decisions: WeightedDecisions, known: Known, upper: bool) -> _Side:
    reward = np.clip(decisions.reward, known.low, known.high)
    if upper:
        gain, target, logged = (
            known.high - x for x in (reward, decisions.q_target, decisions.q_logged)
        )
        largest = known.high - known.q_low
    else:
        gain, target, logged = (
            x - known.low for x in (reward, decisions.q_target, decisions.q_logged)
        )
        largest = known.q_high - known.low
    weight = decisions.weight
    return _Side(weight * gain, target - weight * logged, largest)


def _least(strength: float, largest: float, known: Known) -> float:
    # 0 * infinity: no control variate needs no propensity floor
    return -strength * known.overshoot * largest if strength else 0.0


def _plan(
    pilot: _Side, person: Int, known: Known, people: int, alpha: float
) -> tuple[float, Guess]:
    """The strength whose bound is expected to be the narrowest, and what is expected of the values."""
    width = known.high - known.low
    best, narrowest = (0.0, Guess(width / 2, width**2)), math.inf
    if len(pilot.base) == 0 or people == 0:
        return best
    for strength in STRENGTHS:
        least = _least(strength, pilot.largest, known)
        if not math.isfinite(least):
            continue
        totals, counts = totals_by_person(pilot.base + strength * pilot.control, person)
        mean = float(totals.sum() / counts.sum())
        residual = (totals - counts * mean) / known.most
        variance = max(float((residual**2).mean()), LEAST_VARIANCE)
        gap = expected_gap(variance, max(mean - least, LEAST_VARIANCE), people, alpha)
        if gap < narrowest:
            best, narrowest = (strength, Guess(mean, variance)), gap
    return best
