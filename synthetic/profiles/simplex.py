"""Noisy shares as probabilities."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Float


def to_simplex(values: Float) -> Float:
    """The nearest probability vector in Euclidean distance, max(values - t, 0) summing to 1.

    Held, Wolfe, Crowder, "Validation of subgradient optimization", Math. Programming 6 (1974).
    """
    descending = np.sort(values)[::-1]
    excess = (np.cumsum(descending) - 1.0) / np.arange(1, len(values) + 1)
    threshold = excess[np.flatnonzero(descending > excess)[-1]]
    projected = np.maximum(values - threshold, 0.0)
    return np.asarray(projected / projected.sum(), dtype=np.float64)
