"""The area under the ROC curve against all pairs, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from synthetic.quality.auc import auc


def all_pairs(labels: list[int], scores: list[int], weights: list[float]) -> float:
    above = total = 0.0
    for label, score, weight in zip(labels, scores, weights, strict=True):
        for other, below, beside in zip(labels, scores, weights, strict=True):
            if label == 1 and other == 0:
                total += weight * beside
                above += weight * beside * ((score > below) + 0.5 * (score == below))
    return above / total if total else math.nan


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3), st.floats(0, 4)), max_size=30)


@given(ROWS)
def test_it_is_the_share_of_ordered_pairs(rows: list[tuple[int, int, float]]) -> None:
    labels, scores, weights = ([row[i] for row in rows] for i in range(3))
    found = auc(np.array(labels), np.array(scores, dtype=float), np.array(weights, dtype=float))
    expected = all_pairs(
        [int(x) for x in labels], [int(x) for x in scores], [float(x) for x in weights]
    )
    assert found == pytest.approx(expected, nan_ok=True)


def test_by_hand() -> None:
    # positives 0.8, 0.5 against negatives 0.5, 0.2: pairs 1, 1, 1/2, 1
    assert auc(np.array([1, 0, 1, 0]), np.array([0.8, 0.5, 0.5, 0.2])) == 3.5 / 4
    assert auc(np.array([True, False]), np.array([1.0, 1.0])) == 0.5
    assert auc(np.array([1, 0]), np.array([-np.inf, np.inf])) == 0.0
    assert math.isnan(auc(np.array([1, 1]), np.array([0.0, 1.0])))
    assert math.isnan(auc(np.array([]), np.array([])))


@pytest.mark.parametrize(
    ("labels", "scores", "weights"),
    [
        ([1, 0], [1.0], None),
        ([1, 0], [1.0, math.nan], None),
        ([1.0, math.nan], [1.0, 0.0], None),
        ([1, 0], [1.0, 0.0], [1.0, -1.0]),
        ([1, 0], [1.0, 0.0], [1.0, math.inf]),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    labels: list[float], scores: list[float], weights: list[float] | None
) -> None:
    given_weights = None if weights is None else np.array(weights)
    with pytest.raises(ShouldFixArgument):
        auc(np.array(labels), np.array(scores), given_weights)
