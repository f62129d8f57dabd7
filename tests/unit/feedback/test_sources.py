"""Weights by source."""

from __future__ import annotations

import pytest

from everloop.contracts.feedback import FeedbackSource, FeedbackType
from everloop.feedback.sources import WEIGHTS, source_of, weight_of

S = FeedbackSource


def test_a_correction_counts_most_and_what_is_implicit_least() -> None:
    order = (S.CORRECTION, S.COMPARISON, S.CATEGORY, S.RATING, S.IMPLICIT)
    weights = [WEIGHTS[source] for source in order]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 5
    assert set(WEIGHTS) == set(S)


@pytest.mark.parametrize("kind", FeedbackType)
def test_every_type_has_a_source_and_a_weight(kind: FeedbackType) -> None:
    assert weight_of(kind) == WEIGHTS[source_of(kind)]
    assert 0.0 < weight_of(kind) <= 1.0


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (FeedbackType.CORRECTION, S.CORRECTION),
        (FeedbackType.COMPARISON, S.COMPARISON),
        (FeedbackType.CATEGORICAL_CHOICE, S.CATEGORY),
        (FeedbackType.RATING, S.RATING),
        (FeedbackType.THUMB, S.RATING),
        (FeedbackType.IMPLICIT_REPLY, S.IMPLICIT),
        (FeedbackType.CLICK, S.IMPLICIT),
    ],
)
def test_sources(kind: FeedbackType, source: FeedbackSource) -> None:
    assert source_of(kind) is source
