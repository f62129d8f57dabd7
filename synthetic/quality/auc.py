"""Area under the ROC curve: how often a positive row scores above a negative one."""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument


def auc(labels: Float | Int | Bool, scores: Float, weights: Float | None = None) -> float:
    """Weighted area under the ROC curve, ties counting half (the Mann-Whitney statistic).

    sum over pairs (i positive, j negative) of w_i w_j (1[s_i > s_j] + 1[s_i = s_j] / 2), over the sum
    of w_i w_j. Sorts once: n log n.

    Args:
        labels: (n,) positive where above 0.
        scores: (n,) larger says positive.
        weights: (n,) >= 0; ones by default.

    Returns:
        The area in [0, 1]; NaN where either class has no weight.

    Raises:
        ShouldFixArgument: lengths differ, or a score, label or weight cannot be used.
    """
    positive: Bool = np.asarray(labels, dtype=np.float64) > 0.0
    found = np.asarray(scores, dtype=np.float64)
    weight = np.ones(len(found)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not positive.shape == found.shape == weight.shape or found.ndim != 1:
        raise ShouldFixArgument(
            f"AUC of labels {positive.shape}, scores {found.shape} and weights {weight.shape}.",
            "Give vectors of one length.",
        )
    if np.isnan(found).any() or np.isnan(np.asarray(labels, dtype=np.float64)).any():
        raise ShouldFixArgument("AUC of a label or score that is not a number.", "Leave it out.")
    if not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise ShouldFixArgument("AUC with a weight that is negative or not finite.")
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    if not len(starts):
        return math.nan
    up = np.add.reduceat(np.where(positive, weight, 0.0)[order], starts)
    down = np.add.reduceat(np.where(positive, 0.0, weight)[order], starts)
    pairs = up.sum() * down.sum()
    if pairs == 0.0:
        return math.nan
    below = np.cumsum(down) - down
    return float(up @ (below + 0.5 * down) / pairs)


def auc_by_resample(labels: Bool, scores: Float, owner: Int, weights: Float) -> Float:
    """(b,) AUC of rows (n,) under (b, P) weights of the people who own them."""
    order = np.argsort(scores, kind="stable")
    ordered, positive, whose = scores[order], labels[order], owner[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    found = np.full(len(weights), math.nan)
    if not len(starts):
        return found
    for index, by_person in enumerate(weights):
        weight = by_person[whose]
        up = np.add.reduceat(np.where(positive, weight, 0.0), starts)
        down = np.add.reduceat(np.where(positive, 0.0, weight), starts)
        pairs = up.sum() * down.sum()
        if pairs > 0.0:
            found[index] = up @ (np.cumsum(down) - 0.5 * down) / pairs
    return found


def delong(labels: Bool, scores: Float) -> tuple[float, float]:
    """(AUC, its standard deviation) of independent rows (DeLong, DeLong, Clarke-Pearson 1988).

    With V_i the share of negatives that positive i scores above and W_j the share of positives that
    score above negative j, the variance is var(V) / m + var(W) / n. NaN where a class has fewer than
    two rows.
    """
    up, down = np.sort(scores[labels]), np.sort(scores[~labels])
    m, n = len(up), len(down)
    if min(m, n) < 2:
        return auc(labels, scores), math.nan
    below = np.searchsorted(down, up, "left") + np.searchsorted(down, up, "right")
    above = np.searchsorted(up, down, "left") + np.searchsorted(up, down, "right")
    positives, negatives = below / (2.0 * n), 1.0 - above / (2.0 * m)
    variance = positives.var(ddof=1) / m + negatives.var(ddof=1) / n
    return float(positives.mean()), math.sqrt(variance)
