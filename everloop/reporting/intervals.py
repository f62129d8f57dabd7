"""Intervals of shares, means, mean squares and ratios whose rows cluster by person.

n rows, C clusters. ``cluster`` (n,) are indices; rows of one cluster may depend on one another, rows
of different ones may not. Linearisation as in Särndal, Swensson and Wretman (1992), section 5.5: the
variance of an estimate is that of the sum over clusters of its influence, times C / (C - 1).
"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.evaluation import Estimate
from everloop.contracts.intervals import critical, wilson


def clustered_variance(influence: Float, cluster: Int) -> float:
    """Variance of a sum of (n,) influences; NaN with fewer than two clusters."""
    _, index = np.unique(cluster, return_inverse=True)
    sums = np.bincount(index, weights=influence)
    count = len(sums)
    return float(np.sum(sums**2)) * count / (count - 1) if count > 1 else math.nan


def clusters_of(cluster: Int) -> int:
    return len(np.unique(cluster))


def share_estimate(name: str, hits: Float, cluster: Int, confidence: float) -> Estimate:
    """Share of (n,) hits in {0, 1}, n >= 1; Wilson on the effective sample size.

    The effective size is p(1 - p) / variance, at most n; at p = 0 or 1, where no variance is seen,
    it is the number of clusters. One row per cluster is plain Wilson.
    """
    n, people = len(hits), clusters_of(cluster)
    share = float(hits.mean())
    effective: float = n
    method = "Wilson"
    if people < n:
        method = "Wilson, clustered by person"
        variance = clustered_variance((hits - share) / n, cluster)
        spread = share * (1 - share)
        effective = min(n, spread / variance) if variance > 0 and spread > 0 else people
    low, high = wilson(share, effective, critical(confidence))
    return Estimate(name, share, low, high, confidence, n, people, method)


def mean_estimate(
    name: str, values: Float, cluster: Int, confidence: float, low: float, high: float
) -> Estimate:
    """Mean of (n,) values within [low, high], n >= 1; normal interval clustered by person."""
    n, people = len(values), clusters_of(cluster)
    mean = float(values.mean())
    half = critical(confidence) * math.sqrt(clustered_variance((values - mean) / n, cluster))
    ends = (
        (math.nan, math.nan)
        if math.isnan(half)
        else (max(low, mean - half), min(high, mean + half))
    )
    return Estimate(name, mean, *ends, confidence, n, people, "normal, clustered by person")


def rmse_estimate(name: str, errors: Float, cluster: Int, confidence: float) -> Estimate:
    """Root mean square of (n,) errors, n >= 1; the root of the mean square's normal interval."""
    square = mean_estimate(name, errors**2, cluster, confidence, 0.0, math.inf)
    value, low, high = (math.sqrt(v) for v in (square.value, square.low, square.high))
    method = f"root of the mean square, {square.method}"
    return Estimate(name, value, low, high, confidence, square.n, square.clusters, method)


def ratio_estimate(
    name: str, values: Float, inside: Bool, cluster: Int, confidence: float, comparisons: int
) -> Estimate:
    """Mean of the rows ``inside`` over the mean of the others; both means above 0.

    Delta method on the logarithm: the influence of row i on log(a/b) is (v - a)/(n_a a) inside and
    -(v - b)/(n_b b) outside. The interval holds over ``comparisons`` such ratios at once.
    """
    a, b = float(values[inside].mean()), float(values[~inside].mean())
    influence = np.where(
        inside, (values - a) / (inside.sum() * a), -(values - b) / ((~inside).sum() * b)
    )
    half = critical(confidence, comparisons) * math.sqrt(clustered_variance(influence, cluster))
    ratio = a / b
    return Estimate(
        name,
        ratio,
        ratio * math.exp(-half),
        ratio * math.exp(half),
        confidence,
        len(values),
        clusters_of(cluster),
        f"delta method on the logarithm, clustered by person, simultaneous over {comparisons}",
    )
