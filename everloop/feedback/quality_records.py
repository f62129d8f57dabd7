"""What the quality of a feedback is judged by: the sending, never the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackStatus,
    FeedbackType,
    Interaction,
    TargetElement,
)

HISTORY = 50
"""How many earlier feedbacks of a session are looked at."""

COMPARED = 500
"""Characters of a text that are compared with others."""

TEXT_TYPES = frozenset(
    {FeedbackType.CORRECTION, FeedbackType.FREE_TEXT, FeedbackType.IMPLICIT_REPLY}
)
MEASURED_TYPES = frozenset({FeedbackType.SCROLL, FeedbackType.DWELL})
"""Sent by the product's own code while a person looks; timers and thresholds set their rhythm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One feedback at the door.

    Attributes:
        feedback_type, value: what was said; the value after clamping.
        received_at: arrival by the service's clock; ``None``: the ``now`` of its assessment.
        claimed_at: when it was given by the client's clock; ``None`` when the client did not say.
        shown_at: when the output that it speaks of was shown; ``None`` when unknown.
        output_chars: length of that output's text, >= 0; ``None`` when it is no text.
        log_id, target_element, target: what it speaks of.
        clamped: whether the value left its declared range.
        client: device and browser facts as they came.
    """

    feedback_type: FeedbackType
    value: Json
    received_at: datetime | None = None
    claimed_at: datetime | None = None
    shown_at: datetime | None = None
    output_chars: int | None = None
    log_id: str | None = None
    target_element: TargetElement = TargetElement.ENTIRE_RESPONSE
    target: Json = None
    clamped: bool = False
    client: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("received_at", "claimed_at", "shown_at"):
            moment: datetime | None = getattr(self, name)
            if moment is None:
                continue
            if moment.tzinfo is None:
                raise ShouldFixFeedback(f"{name}={moment} has no time zone.", "Give it in UTC.")
            object.__setattr__(self, name, moment.astimezone(UTC))
        if self.output_chars is not None and self.output_chars < 0:
            raise ShouldFixFeedback(f"output_chars={self.output_chars!r} is below 0.")

    @property
    def text(self) -> str:
        """What the person wrote, empty for other types."""
        return (
            self.value if self.feedback_type in TEXT_TYPES and isinstance(self.value, str) else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Incoming):
    """An earlier feedback of the session, with its id and the status it has now."""

    feedback_id: str
    status: FeedbackStatus = FeedbackStatus.ACCEPTED


def sent_of(feedback: FeedbackInstance) -> Sent:
    """A stored feedback as history; without ``received_at`` its client's time stands in."""
    return Sent(
        feedback_id=feedback.feedback_id,
        status=feedback.status,
        feedback_type=feedback.feedback_type,
        value=feedback.value,
        received_at=feedback.received_at or feedback.timestamp,
        claimed_at=feedback.timestamp,
        shown_at=feedback.shown_at,
        output_chars=feedback.output_chars,
        log_id=feedback.log_id,
        target_element=feedback.target_element,
        target=feedback.target,
        clamped=feedback.clamped,
        client=feedback.client,
    )


def incoming_of(feedback: FeedbackInstance) -> Incoming:
    """A feedback that is about to be stored, as it is judged."""
    sent = sent_of(feedback)
    return Incoming(
        feedback_type=sent.feedback_type,
        value=sent.value,
        received_at=feedback.received_at,
        claimed_at=sent.claimed_at,
        shown_at=sent.shown_at,
        output_chars=sent.output_chars,
        log_id=sent.log_id,
        target_element=sent.target_element,
        target=sent.target,
        clamped=sent.clamped,
        client=sent.client,
    )


def output_chars(interaction: Interaction) -> int | None:
    """Characters of an output's text: the text itself, or the strings inside its JSON."""
    total = _chars(interaction.output_data)
    return total or None


def said(value: Json) -> str:
    """A value to compare by; of texts, the first ``COMPARED`` characters."""
    if isinstance(value, str):
        return repr(value[:COMPARED])
    if isinstance(value, Mapping):
        return repr({name: said(each) for name, each in value.items()})
    return repr(value)


def _chars(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_chars(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_chars(each) for each in value)
    return 0
