"""Shares, ratios and errors of held-out rows that cluster by person, with 95 % intervals.

The variance of an estimate is that of the sum over people of its influence, times C / (C - 1) (Särndal,
Swensson and Wretman 1992, section 5.5). Quantiles are Student's with C - 1 degrees of freedom; ratios
within (0, 1) get theirs on the logit scale, errors on the logarithm, where they are closer to normal.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit, stdtrit

from everloop.contracts.datasets import Float, Int
from everloop.contracts.evaluation import Estimate
from everloop.contracts.intervals import wilson

CONFIDENCE = 0.95


def share_of(name: str, hits: Float, person: Int) -> Estimate:
    """Share of (n,) hits in {0, 1}, n >= 1: Wilson on p (1 - p) / variance trials, at most n; where no
    variance is seen, on as many as there are people."""
    value, people = float(hits.mean()), len(np.unique(person))
    error = _standard_error((hits - value) / len(hits), person)
    spread = value * (1.0 - value)
    trials = min(len(hits), spread / error**2) if error > 0.0 and spread > 0.0 else people
    if people < 2:
        return _estimate(name, value, math.nan, math.nan, person, "one person")
    low, high = wilson(value, trials, _quantile(people))
    return _estimate(name, value, low, high, person, "Wilson, clustered by person")


def ratio_of(name: str, value: float, influence: Float, person: Int) -> Estimate:
    """A ratio within [0, 1] of n rows with its influences (n,); no interval at 0 and 1."""
    error, people = _standard_error(influence, person), len(np.unique(person))
    if people < 2 or not 0.0 < value < 1.0:
        return _estimate(name, value, math.nan, math.nan, person, "no variance seen")
    half = _quantile(people) * error / (value * (1.0 - value))
    low, high = (float(expit(logit(value) + side * half)) for side in (-1.0, 1.0))
    return _estimate(name, value, low, high, person, "delta method, logit, clustered by person")


def root_mean_square_of(name: str, squares: Float, person: Int) -> Estimate:
    """Root of the mean of (n,) squared errors, n >= 1."""
    mean, people = float(squares.mean()), len(np.unique(person))
    value = math.sqrt(mean)
    if people < 2 or not mean > 0.0:
        return _estimate(name, value, math.nan, math.nan, person, "no variance seen")
    error = _standard_error((squares - mean) / len(squares), person)
    half = _quantile(people) * error / (2.0 * mean)
    low, high = value * math.exp(-half), value * math.exp(half)
    return _estimate(name, value, low, high, person, "delta method, logarithm, clustered by person")


def _estimate(
    name: str, value: float, low: float, high: float, person: Int, method: str
) -> Estimate:
    people = len(np.unique(person))
    return Estimate(name, value, low, high, CONFIDENCE, len(person), people, method)


def _standard_error(influence: Float, person: Int) -> float:
    _, index = np.unique(person, return_inverse=True)
    sums = np.bincount(index, weights=influence)
    people = len(sums)
    return math.sqrt(float(sums @ sums) * people / (people - 1)) if people > 1 else math.nan


def _quantile(people: int) -> float:
    return float(stdtrit(people - 1, (1.0 + CONFIDENCE) / 2.0))
