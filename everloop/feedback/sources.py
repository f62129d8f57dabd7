"""Where feedback comes from, and how much that counts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from everloop.contracts.feedback import FeedbackSource, FeedbackType

SOURCES: Mapping[FeedbackType, FeedbackSource] = MappingProxyType(
    {
        FeedbackType.CORRECTION: FeedbackSource.CORRECTION,
        FeedbackType.VOICE_ADJUSTMENT: FeedbackSource.CORRECTION,
        FeedbackType.COMPARISON: FeedbackSource.COMPARISON,
        FeedbackType.CATEGORICAL_CHOICE: FeedbackSource.CATEGORY,
        FeedbackType.FREE_TEXT: FeedbackSource.CATEGORY,
        FeedbackType.RATING: FeedbackSource.RATING,
        FeedbackType.THUMB: FeedbackSource.RATING,
        FeedbackType.TRUST_SURVEY: FeedbackSource.RATING,
        FeedbackType.IMPLICIT_REPLY: FeedbackSource.IMPLICIT,
        FeedbackType.CONVERSION: FeedbackSource.IMPLICIT,
        FeedbackType.CLICK: FeedbackSource.IMPLICIT,
        FeedbackType.SCROLL: FeedbackSource.IMPLICIT,
        FeedbackType.DWELL: FeedbackSource.IMPLICIT,
    }
)
"""A voice adjustment says how it should have sounded, so it is a correction; free text is read into
categories, so it counts as one."""

WEIGHTS: Mapping[FeedbackSource, float] = MappingProxyType(
    {
        FeedbackSource.CORRECTION: 1.0,
        FeedbackSource.COMPARISON: 0.8,
        FeedbackSource.CATEGORY: 0.6,
        FeedbackSource.RATING: 0.4,
        FeedbackSource.IMPLICIT: 0.2,
    }
)
"""Weight in (0, 1]: the more a person has to say to give it, the more it counts."""


def source_of(kind: FeedbackType) -> FeedbackSource:
    """The source of a feedback type."""
    return SOURCES[kind]


def weight_of(kind: FeedbackType) -> float:
    """The weight of a feedback type by its source, in (0, 1]."""
    return WEIGHTS[SOURCES[kind]]
