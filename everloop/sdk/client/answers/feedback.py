"""Answers about feedback: how it was understood, what all of it says, what waits for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Understood:
    """One thing that a feedback says; ``adjustment`` and ``value`` in [-1, 1]."""

    intent: str
    trait: str | None
    adjustment: float
    value: float | None


@dataclass(frozen=True, slots=True)
class ImpliedSignal:
    """A reward signal that the feedback became."""

    signal_id: str
    signal_type: str
    value: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FeedbackAnswer:
    """A stored feedback; ``value`` is clamped to its range, ``quality`` in [0, 1] says how human it is."""

    feedback_id: str
    status: str
    value: Any
    clamped: bool
    interpretations: tuple[Understood, ...]
    weight: float
    confidence: float
    quality: float
    quality_reasons: tuple[str, ...]
    signals: tuple[ImpliedSignal, ...]


@dataclass(frozen=True, slots=True)
class FeedbackAnswers:
    """In the order of the request."""

    feedback: tuple[FeedbackAnswer, ...]


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """A feedback that is safe; ``answer`` is ``None`` while it is ``buffered`` on this machine."""

    feedback_id: str
    answer: FeedbackAnswer | None = None

    @property
    def buffered(self) -> bool:
        """Whether the service has yet to be told."""
        return self.answer is None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean in [-1, 1] with its 95 % interval, clustered by person."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    people: int


@dataclass(frozen=True, slots=True)
class FeedbackAnalysis:
    """What people said in [since, until)."""

    since: datetime
    until: datetime
    total: int
    by_type: Mapping[str, int]
    by_source: Mapping[str, int]
    by_status: Mapping[str, int]
    by_agent: Mapping[str, int]
    by_task_type: Mapping[str, int]
    by_persona: Mapping[str, int]
    by_model_version: Mapping[str, int]
    by_intent: Mapping[str, int]
    value: Mean
    value_by_type: Mapping[str, Mean]
    trait_adjustments: Mapping[str, float]
    clamped_share: float | None
    quarantined_share: float | None


@dataclass(frozen=True, slots=True)
class Review:
    """One person's decision on a feedback."""

    status: str
    reason: str
    reviewer: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewedFeedback:
    """A feedback with what lowered its quality and what was decided, newest first."""

    feedback_id: str
    log_id: str | None
    session: str
    status: str
    feedback_type: str
    timestamp: datetime
    received_at: datetime | None
    raw_value: Any
    value: Any
    clamped: bool
    quality: float
    quality_reasons: tuple[str, ...]
    persona: str
    agent_id: str
    reviews: tuple[Review, ...]


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Feedback that waits for a person, oldest first."""

    feedback: tuple[ReviewedFeedback, ...]
