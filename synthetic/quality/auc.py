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
    positive = np.asarray(labels) > 0
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
