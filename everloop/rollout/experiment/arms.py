"""Mean reward of each arm, for display: weighted over strata as the effect is."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from everloop.contracts.evaluation import Estimate
from everloop.rollout.experiment.moments import Moments
from everloop.rollout.experiment.observations import Floats
from everloop.rollout.experiment.strata import Cells


def arm_means(
    cells: Cells, moments: Moments, strata: Floats, confidence: float
) -> tuple[Estimate, Estimate]:
    """Control and candidate with intervals at one look, clustered by person.

    mean_a = sum_d w_d h_d mean_ad / H, so that candidate - control is the effect before any covariate; with
    r_i the sum over a person's decisions of w_d h_d / (H n_ad) (y - mean_ad), its variance is sum r_i^2.
    """
    return (
        _mean(cells, moments, strata, 0, "control", confidence),
        _mean(cells, moments, strata, 1, "candidate", confidence),
    )


def _mean(
    cells: Cells, moments: Moments, strata: Floats, arm: int, name: str, confidence: float
) -> Estimate:
    rows = cells.candidate == bool(arm)
    decisions, total = moments.decisions[arm], moments.total[arm]
    clusters = len(np.unique(cells.person[rows]))
    weight = float(strata.sum())
    value, low, high = math.nan, math.nan, math.nan
    if weight > 0:
        means = total / np.maximum(decisions, 1.0)
        value = float(strata @ means) / weight
        part = cells.where(rows)
        each = strata / (weight * np.maximum(decisions, 1.0))
        residual = each[part.stratum] * (part.total - means[part.stratum] * part.count)
        error = math.sqrt(float((np.bincount(part.person, weights=residual) ** 2).sum()))
        half = NormalDist().inv_cdf((1 + confidence) / 2) * error
        low, high = value - half, value + half
    return Estimate(
        name,
        value,
        low,
        high,
        confidence,
        int(decisions.sum()),
        clusters,
        "mean by day, at one look, clustered by person",
    )
