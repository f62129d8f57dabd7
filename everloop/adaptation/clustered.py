"""Means and straight lines over rows that belong to people: their intervals count people, not rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from everloop.contracts.datasets import Float
from everloop.contracts.evaluation import Estimate


def clustered_mean(
    name: str, values: Sequence[float] | Float, people: Sequence[str], confidence: float
) -> Estimate:
    """Mean of the rows with an interval over people.

    mean = sum(v) / n; variance = G / (G - 1) * sum_g (sum_{i in g} (v_i - mean))^2 / n^2 over G people;
    mean +- t_{G-1} * sqrt(variance) (Cameron and Miller 2015, section II). NaN bounds for one person or
    none, and where every person says the very same.

    Args:
        values, people: n finite numbers and whose they are.
    """
    return _line(name, values, np.empty((len(values), 0)), people, confidence, "mean")


def clustered_intercept(
    name: str,
    values: Sequence[float] | Float,
    covariates: Float,
    people: Sequence[str],
    confidence: float,
) -> Estimate:
    """What the rows come to where every covariate is 0, with an interval over people.

    Least squares of the values on 1 and the covariates; sandwich variance with people's summed scores and
    the factor G / (G - 1) * (n - 1) / (n - k). A covariate that does not vary is left out.

    Args:
        values, people: n finite numbers and whose they are.
        covariates: (n, c), each measured from where the answer is wanted.
    """
    varying = covariates[:, np.ptp(covariates, axis=0) > 0] if len(values) else covariates
    return _line(name, values, varying, people, confidence, "least squares at covariates 0")


def _line(
    name: str,
    values: Sequence[float] | Float,
    covariates: Float,
    people: Sequence[str],
    confidence: float,
    method: str,
) -> Estimate:
    n, (names, group) = len(values), np.unique(np.asarray(people), return_inverse=True)
    told = f"{method}, t over people"
    if n == 0:
        return Estimate(name, math.nan, math.nan, math.nan, confidence, 0, 0, told)
    design = np.column_stack([np.ones(n), covariates])
    width, clusters = design.shape[1], len(names)
    observed = np.asarray(values, dtype=float)
    solution, _, rank, _ = np.linalg.lstsq(design, observed, rcond=None)
    value, low, high = float(solution[0]), math.nan, math.nan
    if clusters > width and rank == width:
        residual = observed - design @ solution
        scores = np.zeros((clusters, width))
        np.add.at(scores, group, design * residual[:, None])
        bread = np.linalg.inv(design.T @ design)
        factor = clusters / (clusters - 1) * (n - 1) / (n - width) if n > width else math.nan
        if width == 1:
            factor = clusters / (clusters - 1)
        variance = float((bread @ scores.T @ scores @ bread)[0, 0]) * factor
        if variance > 0:
            half = float(t.ppf(0.5 + confidence / 2, clusters - 1)) * math.sqrt(variance)
            low, high = value - half, value + half
    return Estimate(name, value, low, high, confidence, n, clusters, told)
