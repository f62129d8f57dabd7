"""A feedback as it was sent becomes a ``FeedbackInstance``, bound to what spoke."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackStatus,
    FeedbackType,
    Interaction,
    TargetElement,
)
from everloop.feedback.categories import CATEGORIES, CategoryTable
from everloop.feedback.declared import Declared, declared
from everloop.feedback.interpretation import DWELL_SECONDS, Given, interpret
from everloop.feedback.quality import QualityVerdict
from everloop.feedback.quality_records import Incoming, output_chars
from everloop.feedback.sources import source_of, weight_of

LARGEST_SKEW = timedelta(minutes=5)
"""How far ahead of our clock a client's may be."""

CLAMPED_CONFIDENCE = 0.5
"""Factor: who sends 7 of 5 stars may count on another scale."""

ANOTHERS = "another_person: it judges another person's interaction"
"""Why feedback waits for a reviewer however human it looks: nobody teaches what others are shown."""

_IDS = uuid.UUID("7c0f5a58-9d5f-5b0e-8c3e-4a5b1d2f6e90")


@dataclass(frozen=True, slots=True)
class SentFeedback:
    """What a product sent of one feedback, its shape already checked.

    Attributes:
        feedback_id: the client's UUID; ``None`` when it made none.
        log_id: the interaction; ``None`` for a trust survey alone.
        user_id, session_id: pseudonyms; ``None``: those of the interaction.
        timestamp: when it was given, by the client's clock; with a time zone.
        raw_value: as it was sent.
        client: declared device and browser facts.

    Raises:
        ShouldFixFeedback: the time has no zone, or something is no finite JSON.
    """

    feedback_id: str | None
    log_id: str | None
    user_id: str | None
    session_id: str | None
    timestamp: datetime
    feedback_type: FeedbackType
    raw_value: Json
    target_element: TargetElement = TargetElement.ENTIRE_RESPONSE
    target: Json = None
    client: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None:
            raise ShouldFixFeedback(
                f"timestamp={self.timestamp} has no time zone.", "Send RFC 3339 with an offset."
            )
        try:
            canonical_json([self.raw_value, self.target, dict(self.client)])
        except (ValueError, TypeError) as problem:
            raise ShouldFixFeedback(
                f"The feedback is not finite JSON ({problem}).", "Send JSON values."
            ) from None

    @property
    def identity(self) -> str:
        """The client's id, or one made of what was sent: sent again, it is the same feedback."""
        if self.feedback_id is not None:
            return self.feedback_id
        said = canonical_json(
            [
                *(self.tenant, self.log_id, self.user_id, self.session_id),
                *(self.timestamp.timestamp(), self.feedback_type.value, self.raw_value),
                *(self.target_element.value, self.target),
            ]
        )
        return str(uuid.uuid5(_IDS, said))


@dataclass(frozen=True, slots=True)
class Received:
    """A feedback whose value was read, with the interaction that it speaks of, not yet judged.

    ``received_at``: when it arrived, by our clock.
    """

    sent: SentFeedback
    interaction: Interaction | None
    declared: Declared
    received_at: datetime
    user_id: str
    session_id: str

    @property
    def incoming(self) -> Incoming:
        """What its quality is judged by."""
        spoke = self.interaction
        return Incoming(
            feedback_type=self.sent.feedback_type,
            value=self.declared.value,
            received_at=self.received_at,
            claimed_at=self.sent.timestamp,
            shown_at=None if spoke is None else spoke.timestamp,
            output_chars=None if spoke is None else output_chars(spoke),
            log_id=self.sent.log_id,
            target_element=self.sent.target_element,
            target=self.sent.target,
            clamped=self.declared.clamped,
            client=self.sent.client,
        )


def receive(
    sent: SentFeedback,
    interaction: Interaction | None,
    received_at: datetime,
    categories: CategoryTable = CATEGORIES,
) -> Received:
    """Read a feedback's value and find whose it is.

    Args:
        interaction: the one that ``sent.log_id`` names; ``None`` for a trust survey alone.
        received_at: arrival by our clock, with a time zone.

    Raises:
        ShouldFixFeedback: the value has another shape; the feedback is dated more than
            ``LARGEST_SKEW`` ahead; a survey without an interaction names no person or session.
    """
    if sent.timestamp - received_at > LARGEST_SKEW:
        raise ShouldFixFeedback(
            f"Feedback {sent.identity}: timestamp={sent.timestamp.isoformat()} is in the future.",
            "Check the client's clock.",
        )
    if interaction is None and sent.feedback_type is not FeedbackType.TRUST_SURVEY:
        raise ShouldFixFeedback(
            f"Feedback {sent.identity} names no interaction.",
            "Log the interaction and send its log_id.",
        )
    user_id = sent.user_id or (interaction and interaction.user_id)
    session_id = sent.session_id or (interaction and interaction.session_id)
    if not user_id or not session_id:
        raise ShouldFixFeedback(
            f"Feedback {sent.identity} names no {'session' if user_id else 'person'}.",
            "Send user_id and session_id, or the log_id of an interaction.",
        )
    value = declared(sent.feedback_type, sent.raw_value, categories)
    return Received(sent, interaction, value, received_at, user_id, session_id)


def capture(
    received: Received,
    verdict: QualityVerdict,
    categories: CategoryTable = CATEGORIES,
    dwell_seconds: float = DWELL_SECONDS,
) -> FeedbackInstance:
    """The feedback with its interpretation, weight, confidence and status.

    It is quarantined when its sending looks like a machine's, and when it is of another person than
    its interaction.

    Args:
        verdict: how human its sending looks.
        categories: what categorical choices mean.
        dwell_seconds: dwell time that counts as 1, of the interaction's loop.
    """
    sent, spoke = received.sent, received.interaction
    incoming = received.incoming
    reading = interpret(
        Given(
            kind=sent.feedback_type,
            value=received.declared.value,
            interaction=spoke,
            element=sent.target_element,
            target=sent.target,
            categories=categories,
            dwell_seconds=dwell_seconds,
        )
    )
    anothers = spoke is not None and spoke.user_id != received.user_id
    held = verdict.quarantined or anothers
    doubt = CLAMPED_CONFIDENCE if received.declared.clamped else 1.0
    return FeedbackInstance(
        feedback_id=sent.identity,
        log_id=sent.log_id,
        user_id=received.user_id,
        session_id=received.session_id,
        timestamp=sent.timestamp,
        feedback_type=sent.feedback_type,
        source=source_of(sent.feedback_type),
        raw_value=sent.raw_value,
        value=received.declared.value,
        interpretations=reading.interpretations,
        weight=weight_of(sent.feedback_type),
        confidence=reading.confidence * doubt,
        quality=verdict.score,
        quality_reasons=(*verdict.reasons, *((ANOTHERS,) if anothers else ())),
        status=FeedbackStatus.QUARANTINED if held else FeedbackStatus.ACCEPTED,
        agent_id="" if spoke is None else spoke.agent_id,
        task_type="" if spoke is None else spoke.task_type,
        persona="" if spoke is None else spoke.persona,
        model_version="" if spoke is None else spoke.model_version,
        target_element=sent.target_element,
        target=sent.target,
        clamped=received.declared.clamped,
        client=sent.client,
        tenant=sent.tenant,
        received_at=received.received_at,
        shown_at=incoming.shown_at,
        output_chars=incoming.output_chars,
    )
