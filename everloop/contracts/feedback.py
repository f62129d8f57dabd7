"""What people say of an output: ``InteractionLog``, ``FeedbackInstance`` and ``AIInterpretation``.

Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from everloop.contracts.episodes import SCHEMA_VERSION, Json, canonical_json, canonical_uuid
from everloop.contracts.errors import ShouldFixFeedback


class InputType(StrEnum):
    USER_QUERY = "user_query"
    SYSTEM_TRIGGER = "system_trigger"


class OutputType(StrEnum):
    TEXT = "text"
    VOICE = "voice"
    ACTION = "action"


class FeedbackType(StrEnum):
    """Every way in which people tell, on purpose or not."""

    RATING = "rating"
    """1 to 5 stars."""
    THUMB = "thumb"
    """``true`` for up, ``false`` for down."""
    CORRECTION = "correction"
    """The text that the person would have wanted."""
    CATEGORICAL_CHOICE = "categorical_choice"
    """A named complaint or praise: too_formal, nailed_it, …"""
    COMPARISON = "comparison"
    """``{"chosen": text, "rejected": text}``, or ``{"winner": "a" | "b" | "tie"}``."""
    FREE_TEXT = "free_text"
    VOICE_ADJUSTMENT = "voice_adjustment"
    """``{"pitch": -1..1, "speed": -1..1}``, or ``{"sample_url": …}`` for a re-recorded phrase."""
    IMPLICIT_REPLY = "implicit_reply"
    """The person's next message, read for its sentiment."""
    CONVERSION = "conversion"
    """``true`` or ``false``, or a share in [0, 1]."""
    CLICK = "click"
    """As a conversion."""
    SCROLL = "scroll"
    """Depth in [0, 1]."""
    DWELL = "dwell"
    """Seconds."""
    TRUST_SURVEY = "trust_survey"
    """1 to 5: "How much do you trust it?"; needs no interaction."""


SURVEY_RANGE = (1.0, 5.0)
"""Of an answer to the trust survey."""


class TargetElement(StrEnum):
    ENTIRE_RESPONSE = "entire_response"
    SPECIFIC_SENTENCE = "specific_sentence"
    WORD_CHOICE = "word_choice"
    VOICE = "voice"


class FeedbackSource(StrEnum):
    """How the feedback came about; decides its weight."""

    CORRECTION = "correction"
    COMPARISON = "comparison"
    CATEGORY = "category"
    RATING = "rating"
    IMPLICIT = "implicit"


class FeedbackStatus(StrEnum):
    """``quarantined`` feedback teaches nothing until a person releases it; ``rejected`` never does."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    RELEASED = "released"
    REJECTED = "rejected"


def _canonical(record: object, name: str, what: str) -> None:
    value = getattr(record, name)
    try:
        object.__setattr__(record, name, canonical_uuid(value))
    except (ValueError, AttributeError, TypeError):
        raise ShouldFixFeedback(
            f"{what}: {name}={value!r} is not a UUID.", "Send a UUID made once."
        ) from None


def _utc(record: object, name: str, what: str) -> None:
    moment: datetime = getattr(record, name)
    if moment.tzinfo is None:
        raise ShouldFixFeedback(
            f"{what}: {name}={moment} has no time zone.", "Send RFC 3339 with an offset."
        )
    try:
        object.__setattr__(record, name, moment.astimezone(UTC))
    except OverflowError:
        raise ShouldFixFeedback(
            f"{what}: {name}={moment} is no time of the calendar in UTC.", "Correct the clock."
        ) from None


def _json(record: object, names: tuple[str, ...], what: str) -> None:
    for name in names:
        try:
            canonical_json(getattr(record, name))
        except (ValueError, TypeError) as problem:
            raise ShouldFixFeedback(
                f"{what}: {name} is not finite JSON ({problem}).", "Send a JSON value."
            ) from None


def _is_survey_answer(value: Json) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and SURVEY_RANGE[0] <= value <= SURVEY_RANGE[1]


@dataclass(frozen=True, slots=True)
class Interaction:
    """One exchange between a person and a persona (the specification's ``InteractionLog``).

    Attributes:
        log_id: UUID made by the client; the idempotency key.
        user_id, session_id: pseudonyms (64 hexadecimal digits).
        timestamp: when the output was shown, UTC.
        input_data, output_data: what was said; text or JSON.
        context: application, previous turns, generalised location; only declared fields are kept.
        agent_id, task_type, persona, model_version: who answered, as what, at what version.
        episode_id: the decision behind the output, if there was one; feedback then becomes its signals.
        response_ms, tokens_in, tokens_out, retries, tools, escalated: how the answer was made.
        client: device and browser facts; their absence lowers the quality of feedback.
    """

    log_id: str
    user_id: str
    session_id: str
    timestamp: datetime
    input_type: InputType
    input_data: Json
    output_type: OutputType
    output_data: Json
    agent_id: str
    task_type: str
    persona: str
    model_version: str
    context: Mapping[str, Json] = field(default_factory=dict)
    episode_id: str | None = None
    response_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    retries: int = 0
    tools: tuple[str, ...] = ()
    escalated: bool = False
    client: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        what = f"Interaction {self.log_id}"
        _canonical(self, "log_id", what)
        if self.episode_id is not None:
            _canonical(self, "episode_id", what)
        _utc(self, "timestamp", what)
        _json(self, ("input_data", "output_data", "context", "client"), what)
        for name in ("response_ms", "tokens_in", "tokens_out", "retries"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ShouldFixFeedback(
                    f"{what}: {name}={value!r} is no finite number >= 0.", "Correct it."
                )


@dataclass(frozen=True, slots=True)
class AIInterpretation:
    """One feedback as a learning signal.

    Attributes:
        trait: what about the voice it speaks of (formality, verbosity, …); ``None`` when of none.
        adjustment: by how much the trait should move, in [-1, 1] (too_formal: formality -0.2).
        value: how good the output was, in [-1, 1]; ``None`` when it does not say.
        intent: the rule or classifier's label, for people to read.
        preference: (chosen, rejected) texts when it ranks two outputs.
    """

    intent: str
    trait: str | None = None
    adjustment: float = 0.0
    value: float | None = None
    preference: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("adjustment", "value"):
            number = getattr(self, name)
            if number is not None and not -1.0 <= number <= 1.0:
                raise ShouldFixFeedback(
                    f"Interpretation {self.intent!r}: {name}={number!r} leaves [-1, 1].",
                    "Clamp it.",
                )


@dataclass(frozen=True, slots=True)
class FeedbackInstance:
    """A specific piece of feedback, bound to its interaction and to what spoke.

    Attributes:
        feedback_id: UUID made by the client; the idempotency key.
        log_id: the interaction; ``None`` for a trust survey alone.
        raw_value: as it was sent.
        value: the raw value clamped to its type's declared range.
        clamped: whether clamping changed it.
        weight: by source, in (0, 1]: correction > comparison > category > rating > implicit.
        confidence: how far the interpretation is to be believed, in [0, 1].
        quality: how human the sending looked, in [0, 1]; ``quality_reasons`` says what lowered it.
        status: whether it teaches.
        agent_id, task_type, persona, model_version: copied from the interaction.
        timestamp: when it was given, by the client's clock.
        received_at: when it arrived, by ours; not part of the payload.
        shown_at, output_chars: when the interaction's output was shown and how long its text is;
            what the quality of the feedback was judged by, not part of the payload.
    """

    feedback_id: str
    log_id: str | None
    user_id: str
    session_id: str
    timestamp: datetime
    feedback_type: FeedbackType
    source: FeedbackSource
    raw_value: Json
    value: Json
    interpretations: tuple[AIInterpretation, ...]
    weight: float
    confidence: float
    quality: float
    quality_reasons: tuple[str, ...]
    status: FeedbackStatus
    agent_id: str
    task_type: str
    persona: str
    model_version: str
    target_element: TargetElement = TargetElement.ENTIRE_RESPONSE
    target: Json = None
    """Which sentence or word, when the element is not the whole."""
    clamped: bool = False
    client: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"
    schema_version: int = SCHEMA_VERSION
    received_at: datetime | None = None
    shown_at: datetime | None = None
    output_chars: int | None = None

    def __post_init__(self) -> None:
        what = f"Feedback {self.feedback_id}"
        _canonical(self, "feedback_id", what)
        if self.log_id is not None:
            _canonical(self, "log_id", what)
        elif self.feedback_type is not FeedbackType.TRUST_SURVEY:
            raise ShouldFixFeedback(
                f"{what} names no interaction.", "Log the interaction and send its log_id."
            )
        _utc(self, "timestamp", what)
        for name in ("received_at", "shown_at"):
            if getattr(self, name) is not None:
                _utc(self, name, what)
        if self.output_chars is not None and self.output_chars < 0:
            raise ShouldFixFeedback(f"{what}: output_chars={self.output_chars!r} is below 0.")
        _json(self, ("raw_value", "value", "target", "client"), what)
        for name in ("confidence", "quality"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ShouldFixFeedback(f"{what}: {name}={getattr(self, name)!r} leaves [0, 1].")
        if not 0.0 < self.weight <= 1.0:
            raise ShouldFixFeedback(f"{what}: weight={self.weight!r} leaves (0, 1].")
        if self.feedback_type is FeedbackType.TRUST_SURVEY and not _is_survey_answer(self.value):
            raise ShouldFixFeedback(
                f"{what}: value={self.value!r} is no number from 1 to 5.",
                "Send the answer to the trust survey, clamped.",
            )


@dataclass(frozen=True, slots=True)
class FeedbackReview:
    """A person's decision on a feedback's status; rows are appended, the newest counts."""

    feedback_id: str
    status: FeedbackStatus
    reason: str
    reviewer: str
    recorded_at: datetime
    tenant: str = "default"

    def __post_init__(self) -> None:
        what = f"Review of feedback {self.feedback_id}"
        _canonical(self, "feedback_id", what)
        _utc(self, "recorded_at", what)


TRUST_CONFIDENCE = 0.95
"""Of the intervals of ``TrustFigures``."""


@dataclass(frozen=True, slots=True)
class TrustFigures:
    """Trust survey and opt-outs of a tenant.

    ``trust_mean`` on 1..5 with a 95 % interval over people, ``None`` without answers.
    ``opt_out_rate``: people whose newest train consent is a refusal / people known, with its interval.
    """

    trust_n: int
    trust_mean: float | None
    trust_low: float | None
    trust_high: float | None
    people: int
    opted_out: int
    opt_out_rate: float | None
    opt_out_low: float | None
    opt_out_high: float | None


def implied_signal_id(feedback_id: str, signal_type: str) -> str:
    """The id of the reward signal that a feedback implies: who knows the feedback finds the signal.

    Args:
        feedback_id: a UUID.
        signal_type: a type of the loop that decided.
    """
    return str(uuid.uuid5(uuid.UUID(feedback_id), signal_type))
