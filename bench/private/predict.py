"""How well the last trait is predicted by the others: train on one table, test on another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from synthetic.quality.auc import auc

Codes = NDArray[np.int64]
_RIDGE = 10.0
_STEPS = 60


def prediction_auc(train: Codes, test: Codes, cards: Sequence[int]) -> float:
    """AUC on ``test`` of a ridge logistic regression over one-hot traits and their pairs."""
    answers = train[:, -1].astype(np.float64)
    if answers.min() == answers.max():
        return 0.5
    seen, unseen = _features(train, cards), _features(test, cards)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, score = point[:-1], seen @ point[:-1] + point[-1]
        value = np.logaddexp(0.0, score).sum() - answers @ score + 0.5 * _RIDGE * weights @ weights
        off = 1.0 / (1.0 + np.exp(-score)) - answers
        return float(value), np.append(seen.T @ off + _RIDGE * weights, off.sum())

    found = minimize(
        loss,
        np.zeros(seen.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _STEPS},
    )
    return float(auc(test[:, -1], unseen @ found.x[:-1]))


def _features(codes: Codes, cards: Sequence[int]) -> csr_matrix:
    used = len(cards) - 1
    columns, start = [], 0
    for i in range(used):
        columns.append(codes[:, i] + start)
        start += cards[i]
    for i, j in itertools.combinations(range(used), 2):
        columns.append(codes[:, i] * cards[j] + codes[:, j] + start)
        start += cards[i] * cards[j]
    place = np.stack(columns, axis=1)
    rows = np.arange(0, place.size + 1, place.shape[1])
    return csr_matrix((np.ones(place.size), place.ravel(), rows), shape=(len(codes), start))
