"""A lower confidence bound by betting, valid at every sample size and without a normal approximation.

Person i contributes n_i decisions, 1 <= n_i <= k, whose values sum to S_i, each value at least L.
For a candidate mean m let Y_i(m) = (S_i - n_i m) / k >= -(m - L). A gambler who stakes a share l_i of
the capital, decided before person i is seen, has after t people the capital

    K_t(m) = prod_{i <= t} (1 + l_i(m) Y_i(m)),    0 <= l_i(m) <= c / (m - L),  c < 1.

If the true mean per decision, E[sum of values] / E[number of decisions], is at most m, K is a
nonnegative supermartingale that starts at 1 and reaches 1 / alpha with probability at most alpha
(Ville). The bound is the smallest m that K never rejected: the one-sided betting confidence sequence of
Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", section 4,
for a ratio of means. It needs a lower bound on the values and no upper one. It stays valid when the
number of a person's decisions depends on what came of earlier ones, because sums are compared with
sums; a mean of per-person means does not.

Stakes follow the predictable plug-in for a known horizon of P people (their equation 26): with
s_i^2 the variance of Y seen before person i, l_i = sqrt(2 log(1/alpha) / (P s_i^2)), cut at c / (m - L).
Each factor is nonincreasing in m, so the bound is found by bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument

LARGEST_STAKE = 0.9
"""c: the share of the capital that the worst possible person can cost."""
PRIOR_PEOPLE = 20.0
"""How many people the prior guess counts for."""
_BISECTIONS = 44


@dataclass(frozen=True, slots=True)
class Guess:
    """What is expected of the values before they are seen, from other people.

    It steers the stakes and so the width; a wrong guess never makes the bound invalid. ``mean`` per
    decision; ``variance`` of (S - n mean) / k over people, > 0.
    """

    mean: float
    variance: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.variance) and self.variance > 0):
            raise ShouldFixArgument(
                f"Guess: mean={self.mean}, variance={self.variance} cannot steer a bet.",
                "Give a finite mean and a positive variance.",
            )


def betting_lower_bound(
    totals: Float, counts: Int, most: int, low: float, alpha: float, guess: Guess
) -> float:
    """Lower bound of the mean per decision; wrong with probability at most ``alpha``.

    Args:
        totals: (P,) S_i, in an order that does not depend on them.
        counts: (P,) n_i.
        most: k, fixed without these people.
        low: L, the least that one decision can be worth, fixed without these people.
        alpha: error probability in (0, 1).
        guess: prior of the stakes.

    Returns:
        A number of at least ``low``; -infinity when there is nobody.

    Raises:
        ShouldFixArgument: a value is below ``low`` or a count outside 1..``most``: then the bound
            would be a guess.
    """
    _check(totals, counts, most, low, alpha)
    people = len(totals)
    if people == 0:
        return -math.inf
    stakes = _stakes(totals, counts, most, alpha, guess)
    threshold = math.log(1.0 / alpha)

    def rejected(mean: float) -> bool:
        gains = (totals - counts * mean) / most
        capital = np.cumsum(np.log1p(np.minimum(stakes, LARGEST_STAKE / (mean - low)) * gains))
        return bool(capital.max() >= threshold)

    rejects, holds = low, float((totals / counts).max()) + 1e-12
    for _ in range(_BISECTIONS):
        middle = (rejects + holds) / 2
        if not rejects < middle < holds:
            break
        if rejected(middle):
            rejects = middle
        else:
            holds = middle
    return rejects


def _stakes(totals: Float, counts: Int, most: int, alpha: float, guess: Guess) -> Float:
    """(P,) l_i before the cut: each from the people before i alone."""
    people = len(totals)
    before_total = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
    before_count = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    prior = PRIOR_PEOPLE * most
    means = (guess.mean * prior + before_total) / (prior + before_count)
    squares = ((totals - counts * means) / most) ** 2
    before_squares = np.concatenate([[0.0], np.cumsum(squares)[:-1]])
    variance = (guess.variance * PRIOR_PEOPLE + before_squares) / (PRIOR_PEOPLE + np.arange(people))
    return np.asarray(np.sqrt(2.0 * math.log(1.0 / alpha) / (people * variance)))


def _check(totals: Float, counts: Int, most: int, low: float, alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ShouldFixArgument(f"alpha={alpha} is outside (0, 1).", "Give an error probability.")
    if not math.isfinite(low):
        raise ShouldFixArgument(f"low={low} is not finite.", "Give the least possible value.")
    if len(totals) != len(counts):
        raise ShouldFixArgument(f"{len(totals)} totals do not belong to {len(counts)} counts.")
    if len(counts) and not (counts.min() >= 1 and counts.max() <= most):
        raise ShouldFixArgument(
            f"A person has {counts.min()}..{counts.max()} decisions, not 1..{most}.",
            "Keep at most that many decisions of a person.",
        )
    slack = 1e-9 * (1.0 + abs(low))
    if not np.isfinite(totals).all() or (totals < counts * (low - slack)).any():
        worst = float((totals / np.maximum(counts, 1)).min())
        raise ShouldFixArgument(
            f"A person's mean {worst:g} is below the least possible value {low:g}.",
            "Declare the range that the values really have.",
        )
