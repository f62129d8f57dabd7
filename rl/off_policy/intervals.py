"""Two-sided intervals for reported values: people, not rows, are the independent observations."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from everloop.contracts.datasets import Float, Int
from everloop.contracts.evaluation import Estimate

FEWEST_PEOPLE = 2
FEWEST_INFORMATIVE = 10
"""With fewer decisions than this that differ in reward from the most frequent one a normal interval is an
invention: three clicks in a thousand decisions hardly say how often there are none."""


def informative(reward: Float) -> int:
    """How many of (n,) rewards differ from the most frequent one."""
    counts = np.unique(reward, return_counts=True)[1]
    return len(reward) - int(counts.max(initial=0))


def totals_by_person(values: Float, person: Int) -> tuple[Float, Int]:
    """(P,) sums and (P,) counts of (n,) values, people in the order of their index."""
    _, index, counts = np.unique(person, return_inverse=True, return_counts=True)
    totals = np.bincount(index, weights=values, minlength=len(counts)).astype(np.float64)
    return totals, counts.astype(np.int64)


def clustered_mean(
    name: str, contributions: Float, person: Int, confidence: float, method: str
) -> Estimate:
    """Mean of (n,) contributions with a cluster-robust t interval.

    With S_i the sum and n_i the number of person i's contributions, N = sum n_i and V = sum S_i / N,

        var(V) = P / (P - 1) sum_i (S_i - n_i V)^2 / N^2,

    the linearised variance of a ratio of means over P independent people (Cochran 1977, chapter 2.11),
    and the interval is V +- t_{P-1} sqrt(var). NaN bounds with fewer than two people; NaN throughout
    with no row or a contribution that is NaN.
    """
    n = len(contributions)
    if n == 0:
        return Estimate(name, math.nan, math.nan, math.nan, confidence, 0, 0, method)
    totals, counts = totals_by_person(contributions, person)
    people = len(totals)
    value = float(totals.sum() / n)
    low = high = math.nan
    if people >= FEWEST_PEOPLE and math.isfinite(value):
        spread = math.sqrt(people / (people - 1) * float(((totals - counts * value) ** 2).sum()))
        half = float(stdtrit(people - 1, 0.5 + confidence / 2)) * spread / n
        low, high = value - half, value + half
    return Estimate(name, value, low, high, confidence, n, people, method)
