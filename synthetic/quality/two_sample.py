"""Can a classifier tell synthetic people from held-out real ones?"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.evaluation import Estimate
from synthetic.quality.auc import delong
from synthetic.quality.logistic import fit_logistic
from synthetic.quality.resampling import CONFIDENCE, TWO_SIDED, nothing

NAME = "two_sample_auc"
FOLDS = 5
MOST_ROWS = 2_000
LEAST_ROWS = 50
_COMPONENTS = 16


def two_sample(synthetic: Float, weight: Float, real: Float, rng: np.random.Generator) -> Estimate:
    """AUC with which a cross-validated classifier tells the two apart; a half is as good as real.

    Logistic regression on the context and on the squares and products of its leading principal
    components (so also on correlations), fitted on four fifths and asked about the last. DeLong's
    interval, since every row is of a person of its own.

    Args:
        synthetic, weight: (p, d) contexts, drawn by (p,) weight.
        real: (n, d) contexts, one of each held-out person.
        rng: draws rows and folds.
    """
    size = min(int((weight > 0.0).sum()), len(real), MOST_ROWS)
    if size < LEAST_ROWS:
        return nothing(NAME, f"fewer than {LEAST_ROWS} people of a kind")
    made = rng.choice(len(synthetic), size, replace=False, p=weight / weight.sum())
    rows = np.concatenate(
        [synthetic[made], real[rng.choice(len(real), size, replace=False)]]
    ).astype(np.float64)
    is_real = np.arange(2 * size) >= size
    fold = np.concatenate([rng.permutation(size) % FOLDS, rng.permutation(size) % FOLDS])
    scores = out_of_fold(rows, is_real, fold)
    value, deviation = delong(is_real, scores)
    return Estimate(
        NAME,
        value,
        max(0.0, value - TWO_SIDED * deviation),
        min(1.0, value + TWO_SIDED * deviation),
        CONFIDENCE,
        2 * size,
        size,
        f"logistic classifier with products, {FOLDS} folds, DeLong, inside the trust boundary",
    )


def out_of_fold(rows: Float, positive: Bool, fold: Int) -> Float:
    """(n,) standardised score of each row by a classifier that never saw its fold."""
    scores = np.full(len(rows), math.nan)
    for held in np.unique(fold):
        learned, asked = fold != held, fold == held
        features = _quadratic(rows[learned])
        model = fit_logistic(features(rows[learned]), positive[learned])
        scores[asked] = model.scores(features(rows[asked]))
    return scores


class _quadratic:  # noqa: N801  read as a function of its rows
    """Features of rows: themselves, and products of their leading principal components."""

    def __init__(self, rows: Float) -> None:
        self._mean = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        self._deviation = np.where(deviation > 1e-9, deviation, 1.0)
        standard = (rows - self._mean) / self._deviation
        _, axes = np.linalg.eigh(standard.T @ standard)
        self._axes = axes[:, ::-1][:, :_COMPONENTS]

    def __call__(self, rows: Float) -> Float:
        main = (rows - self._mean) / self._deviation @ self._axes
        left, right = np.triu_indices(main.shape[1])
        return np.column_stack([rows, main[:, left] * main[:, right]])
