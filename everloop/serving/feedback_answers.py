"""How the service answers feedback, and requests for its analysis."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from everloop.feedback.analysis import FeedbackReport
from everloop.serving.feedback_intake import Taken


class Understood(BaseModel):
    """One thing that the feedback was understood to say."""

    intent: str
    trait: str | None
    adjustment: float
    """By how much the trait should move, in [-1, 1]."""
    value: float | None
    """How good the output was, in [-1, 1]; null when it does not say."""


class ImpliedSignal(BaseModel):
    """A reward signal that the feedback became."""

    signal_id: str
    signal_type: str
    value: float
    confidence: float


class FeedbackAnswer(BaseModel):
    """A stored feedback; a replay is answered the same, with the status that it has by then."""

    feedback_id: str
    status: Literal["accepted", "quarantined", "released", "rejected"]
    """Quarantined feedback teaches nothing until a person releases it."""
    value: Any
    """As it counts: clamped to its type's range."""
    clamped: bool
    interpretations: list[Understood]
    weight: float
    confidence: float
    quality: float
    quality_reasons: list[str]
    signals: list[ImpliedSignal]


class FeedbackAnswers(BaseModel):
    """Stored feedback in the order of the request."""

    feedback: list[FeedbackAnswer]


class Mean(BaseModel):
    """A mean in [-1, 1] with its 95 % interval, clustered by person."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    people: int


class FeedbackAnalysis(BaseModel):
    """What people said in a period."""

    since: datetime
    until: datetime
    total: int
    by_type: dict[str, int]
    by_source: dict[str, int]
    by_status: dict[str, int]
    by_agent: dict[str, int]
    by_task_type: dict[str, int]
    by_persona: dict[str, int]
    by_model_version: dict[str, int]
    by_intent: dict[str, int]
    """Of feedback that teaches, the commonest first, at most twenty."""
    value: Mean
    """How good outputs were, by the feedback that teaches and says."""
    value_by_type: dict[str, Mean]
    trait_adjustments: dict[str, float]
    """Sum of adjustment x weight x confidence x quality."""
    clamped_share: float | None
    quarantined_share: float | None


def answer_of(taken: Taken) -> FeedbackAnswer:
    """The answer to a stored feedback."""
    feedback = taken.feedback
    return FeedbackAnswer(
        feedback_id=feedback.feedback_id,
        status=feedback.status.value,
        value=feedback.value,
        clamped=feedback.clamped,
        interpretations=[
            Understood(
                intent=each.intent, trait=each.trait, adjustment=each.adjustment, value=each.value
            )
            for each in feedback.interpretations
        ],
        weight=feedback.weight,
        confidence=feedback.confidence,
        quality=feedback.quality,
        quality_reasons=list(feedback.quality_reasons),
        signals=[
            ImpliedSignal(
                signal_id=signal.signal_id,
                signal_type=signal.signal_type,
                value=signal.value,
                confidence=signal.confidence,
            )
            for signal in taken.signals
        ],
    )


def analysis_of(report: FeedbackReport, since: datetime, until: datetime) -> FeedbackAnalysis:
    """The answer to a request for an analysis."""
    return FeedbackAnalysis.model_validate({"since": since, "until": until, **asdict(report)})
