"""Bounds of V(one policy) - V(another) that hold without a normal approximation.

What is known before the evaluated people are seen: rewards lie in [lo, hi], the declared attainable
range, R = hi - lo; q was fitted on other people and lies in [q_lo, q_hi]; and, where control variates
are used, every policy of the loop explored, so that a valid action has propensity of at least
epsilon / A, and the judged policies, epsilon-greedy themselves, give no action more than
1 - epsilon' + epsilon' / A. From the last, w q(x, a) - q(x, pi) <= K max(q) for q >= 0 with

    K = (1 - epsilon' + epsilon' / A) (A / epsilon - 1).

A lower bound of the difference needs a lower bound on its values. So the better side is written
with a reward model shrunk towards lo and the worse side with one shrunk towards hi:

    plus  = lo + w (r - lo) + lambda [g(x, pi) - w g(x, a)],        g = q - lo >= 0,
    minus = hi - v (hi - r) - kappa [h(x, pi') - v h(x, a)],        h = hi - q >= 0,

with lambda, kappa in [0, 1] and w, v the two policies' weights. Both brackets have mean zero whatever
the coefficients, so plus - minus has the mean V(pi) - V(pi') for every choice; lambda = kappa = 1 is
doubly robust with q, lambda = kappa = 0 needs no propensity floor at all. It is linear in r, so its
least value is at r = lo or r = hi:

    plus - minus >= -R - max(lambda K (q_hi - lo), kappa K (hi - q_lo)),

and where one side is the logging policy, whose value is the mean of r itself, the R in front is already
inside the maximum: >= -max(R, ...). lambda and kappa are chosen on the training people, to make the
bound narrow: strong control variates lower the variance and widen the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from rl.off_policy.betting import LARGEST_STAKE, Guess, betting_lower_bound
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.intervals import totals_by_person

STRENGTHS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Coefficients of the control variates that are tried."""
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before the evaluated people are seen.

    ``low``/``high``: attainable reward range; ``q_low``/``q_high``: range of the reward model;
    ``overshoot``: K of the module's formula, infinite where no propensity floor holds;
    ``most``: the most decisions of one person that are used.
    """

    low: float
    high: float
    q_low: float
    q_high: float
    overshoot: float
    most: int

    def least(self, strength: float, counter: float, both_weighted: bool) -> float:
        """The least value of plus - minus; -infinity where it cannot be known."""
        width = self.high - self.low
        # 0 * infinity: no control variate needs no propensity floor
        plus = strength * self.overshoot * (self.q_high - self.low) if strength else 0.0
        minus = counter * self.overshoot * (self.high - self.q_low) if counter else 0.0
        return -width - max(plus, minus) if both_weighted else -max(width, plus, minus)


def overshoot(actions: int, logging_epsilon: float, judged_epsilon: float) -> float:
    """K: by how much w q(x, a) can exceed q(x, pi), relative to the largest q."""
    top = 1.0 - judged_epsilon + judged_epsilon / actions
    return top * (actions / logging_epsilon - 1.0)


@dataclass(frozen=True, slots=True)
class Terms:
    """plus - minus = base + strength * plus_control + counter * minus_control, (n,) each."""

    base: Float
    plus_control: Float
    minus_control: Float
    both_weighted: bool


def terms(
    plus: WeightedDecisions | None, minus: WeightedDecisions | None, reward: Float, known: Known
) -> Terms:
    """Split the difference of two sides; None is the logging policy, whose value is the reward's mean."""
    nothing = np.zeros(len(reward))
    base, plus_control, minus_control = nothing, nothing, nothing
    if plus is None:
        base = base + reward
    else:
        base = base + known.low + plus.weight * (reward - known.low)
        plus_control = (plus.q_target - known.low) - plus.weight * (plus.q_logged - known.low)
    if minus is None:
        base = base - reward
    else:
        base = base - known.high + minus.weight * (known.high - reward)
        minus_control = (known.high - minus.q_target) - minus.weight * (known.high - minus.q_logged)
    return Terms(base, plus_control, minus_control, plus is not None and minus is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the bound will be taken, decided on the training people."""

    strength: float
    counter: float
    guess: Guess


def plan(pilot: Terms, person: Int, known: Known, people: int, alpha: float) -> Plan:
    """Choose the control variates whose bound is expected to be the narrowest.

    Without a pilot: no control variates and a wide guess.

    Args:
        pilot: terms on the training people's decisions.
        person: (n,) whose decision each is.
        people: P, how many people will be evaluated.
    """
    width = known.high - known.low
    if len(pilot.base) == 0:
        return Plan(0.0, 0.0, Guess(0.0, width**2))
    parts = [pilot.base, pilot.plus_control, pilot.minus_control]
    counts = totals_by_person(pilot.base, person)[1]
    totals = np.stack([totals_by_person(part, person)[0] for part in parts])
    means = totals.sum(axis=1) / counts.sum()
    centred = (totals - means[:, None] * counts) / known.most
    covariance = centred @ centred.T / len(counts)
    best, narrowest = Plan(0.0, 0.0, Guess(float(means[0]), width**2)), math.inf
    for strength in STRENGTHS if np.any(pilot.plus_control) else (0.0,):
        for counter in STRENGTHS if np.any(pilot.minus_control) else (0.0,):
            worst = -known.least(strength, counter, pilot.both_weighted)
            if not math.isfinite(worst):
                continue
            mix = np.array([1.0, strength, counter])
            variance = max(float(mix @ covariance @ mix), LEAST_VARIANCE)
            expected = expected_gap(variance, worst, people, alpha)
            if expected < narrowest:
                narrowest = expected
                best = Plan(strength, counter, Guess(float(mix @ means), variance))
    return best


def expected_gap(variance: float, worst: float, people: int, alpha: float) -> float:
    """How far below the mean a bound by betting is expected to lie: L / (P l) + l s^2 / 2 with stakes
    l = min(sqrt(2 L / (P s^2)), c / worst) and L = log(1/alpha).

    Args:
        variance: s^2 > 0 of what a person contributes.
        worst: by how much a value can fall below the mean, > 0.
        people: P >= 1.
        alpha: error probability in (0, 1).
    """
    price = math.log(1.0 / alpha)
    stake = min(math.sqrt(2 * price / (people * variance)), LARGEST_STAKE / worst)
    return price / (people * stake) + stake * variance / 2


def lower_bound(evaluated: Terms, person: Int, known: Known, chosen: Plan, alpha: float) -> float:
    """Lower bound of V(plus) - V(minus), wrong with probability at most ``alpha``.

    Raises:
        ShouldFixArgument: a value lies outside what was declared.
    """
    values = (
        evaluated.base
        + chosen.strength * evaluated.plus_control
        + chosen.counter * evaluated.minus_control
    )
    totals, counts = totals_by_person(values, person)
    least = known.least(chosen.strength, chosen.counter, evaluated.both_weighted)
    return betting_lower_bound(totals, counts, known.most, least, alpha, chosen.guess)
