"""What requests to give feedback carry."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, TypeAdapter

from everloop.contracts.access import Caller
from everloop.contracts.episodes import Json, canonical_uuid
from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import FeedbackType, TargetElement
from everloop.feedback.capture import SentFeedback
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.serving.batches import Batch
from everloop.serving.bodies import Id, Whole
from everloop.serving.client_facts import ClientFacts, facts_of, named

LARGEST_FEEDBACK_BATCH = 1_000


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("leaves the calendar in UTC") from None


def _written_out(given: Any) -> Any:
    if not isinstance(given, str) or not _DATE.match(given):  # seconds since 1970, for one
        raise ValueError("is no RFC 3339 date and time")
    return given


Moment = Annotated[
    AwareDatetime, Field(strict=False), AfterValidator(_in_utc), BeforeValidator(_written_out)
]
"""RFC 3339 with an offset, as UTC."""

PersonId = Annotated[str, Field(min_length=1, max_length=256)] | Whole

Kind = Literal[
    "rating",
    "thumb",
    "correction",
    "categorical_choice",
    "comparison",
    "free_text",
    "voice_adjustment",
    "implicit_reply",
    "conversion",
    "click",
    "scroll",
    "dwell",
    "trust_survey",
    "freeform_text",
    "voice_tone_adjustment",
    "implicit",
    "explicit",
]
Element = Literal[
    "entire_response",
    "specific_sentence",
    "word_choice",
    "voice",
    "voice_pitch",
    "voice_speed",
]

_SPELLINGS: Mapping[str, FeedbackType] = MappingProxyType(
    {
        "freeform_text": FeedbackType.FREE_TEXT,
        "voice_tone_adjustment": FeedbackType.VOICE_ADJUSTMENT,
    }
)
_THUMBS: Mapping[str, bool] = MappingProxyType({"thumbs_up": True, "thumbs_down": False})
_SIGNALS: Mapping[str, FeedbackType] = MappingProxyType(
    {
        "thumbs": FeedbackType.THUMB,
        "conversion": FeedbackType.CONVERSION,
        "purchase": FeedbackType.CONVERSION,
        "click": FeedbackType.CLICK,
        "scroll": FeedbackType.SCROLL,
        "dwell": FeedbackType.DWELL,
        "time_on_page": FeedbackType.DWELL,
        "time_spent": FeedbackType.DWELL,
    }
)
"""What a signal's name begins with, as in scroll_depth_75."""


class FeedbackBody(ClientFacts):
    """One feedback; undeclared fields are dropped.

    Either ``feedback_type`` with its ``feedback_value``, or, as an event of a page, ``feedback_type``
    implicit or explicit with ``signal_type`` (thumbs_up, thumbs_down, conversion, click, scroll_depth_75,
    dwell) and ``signal_value`` in [0, 1].
    """

    feedback_id: Annotated[
        Id | None, Field(validation_alias=named("feedback_id", "feedbackId", "feedbackID"))
    ] = None
    """Made once by the client, so that a retry is known; needs ``timestamp``. Without it the same person
    saying the same of the same interaction at the same time is a retry."""
    log_id: Annotated[Id | None, Field(validation_alias=named("log_id", "logId", "logID"))] = None
    """The interaction; only a trust survey may be without."""
    user_id: Annotated[
        PersonId | None, Field(validation_alias=named("user_id", "userId", "userID"))
    ] = None
    """The product's own id, hashed at once; by default the interaction's person."""
    session_id: Annotated[
        PersonId | None, Field(validation_alias=named("session_id", "sessionId", "sessionID"))
    ] = None
    """Hashed at once; by default the interaction's session."""
    timestamp: Moment | None = None
    """When it was given, RFC 3339 with an offset; by default now."""
    feedback_type: Annotated[Kind, Field(validation_alias=named("feedback_type", "feedbackType"))]
    feedback_value: Annotated[
        Any, Field(validation_alias=named("feedback_value", "feedbackValue", "value"))
    ] = None
    signal_type: Annotated[
        Annotated[str, Field(max_length=64)] | None,
        Field(validation_alias=named("signal_type", "signalType")),
    ] = None
    signal_value: Annotated[
        float | bool | None, Field(validation_alias=named("signal_value", "signalValue"))
    ] = None
    interaction_duration: Annotated[
        float | None, Field(validation_alias=named("interaction_duration", "interactionDuration"))
    ] = None
    """Milliseconds that the person looked."""
    target_element: Annotated[
        Element, Field(validation_alias=named("target_element", "targetElement"))
    ] = "entire_response"
    target: Annotated[str, Field(max_length=20_000)] | None = None
    """Which sentence or word."""
    client: ClientFacts | None = None


class FeedbackBatchBody(BaseModel):
    """Many at once: all are stored, or none."""

    feedback: Annotated[
        list[FeedbackBody], Field(min_length=1, max_length=LARGEST_FEEDBACK_BATCH, fail_fast=True)
    ]


FEEDBACK = TypeAdapter(FeedbackBody)
FEEDBACK_BATCH = Batch(FeedbackBatchBody, "feedback", FEEDBACK, LARGEST_FEEDBACK_BATCH)


def sent_feedback(
    body: FeedbackBody, caller: Caller, pseudonyms: Pseudonyms, now: datetime
) -> SentFeedback:
    """What a request says, with pseudonyms for ids and the city for a location.

    Raises:
        ShouldFixFeedback: an id is no UUID or lacks its timestamp; a value is missing.
    """
    if body.feedback_id is not None and body.timestamp is None:
        raise ShouldFixFeedback(
            f"Feedback {body.feedback_id} has no timestamp, so a retry would be another one.",
            "Send the time at which it was given.",
        )
    kind, value = _said(body)
    made = None if body.timestamp is not None else str(uuid.uuid4())
    return SentFeedback(
        feedback_id=made
        if body.feedback_id is None
        else _canonical("feedback_id", body.feedback_id),
        log_id=None if body.log_id is None else _canonical("log_id", body.log_id),
        user_id=_person(body.user_id, "", caller, pseudonyms),
        session_id=_person(body.session_id, "session:", caller, pseudonyms),
        timestamp=body.timestamp or now,
        feedback_type=kind,
        raw_value=value,
        target_element=_element(body.target_element),
        target=body.target,
        client=facts_of(body, body.client),
        tenant=caller.tenant,
    )


def _said(body: FeedbackBody) -> tuple[FeedbackType, Json]:
    if body.feedback_type in {"implicit", "explicit"}:
        return _signalled(body)
    kind = _SPELLINGS.get(body.feedback_type) or FeedbackType(body.feedback_type)
    if "feedback_value" in body.model_fields_set:
        return kind, body.feedback_value
    if body.signal_type is not None and _kind_of_signal(body.signal_type)[0] is kind:
        return _signalled(body)
    raise ShouldFixFeedback(f"{kind.value} has no feedback_value.", "Send what the person said.")


def _signalled(body: FeedbackBody) -> tuple[FeedbackType, Json]:
    if body.signal_type is None:
        raise ShouldFixFeedback(
            f"feedback_type={body.feedback_type!r} has no signal_type.",
            "Name the signal, such as thumbs_up or scroll_depth_75.",
        )
    kind, implied = _kind_of_signal(body.signal_type)
    if kind is FeedbackType.DWELL:
        if body.interaction_duration is None:
            raise ShouldFixFeedback(
                f"signal_type={body.signal_type!r} has no interaction_duration.",
                "Send the milliseconds that the person looked.",
            )
        return kind, body.interaction_duration / 1000.0
    if implied is not None and kind in {FeedbackType.THUMB, FeedbackType.SCROLL}:
        return kind, implied
    value = implied if body.signal_value is None else body.signal_value
    if value is None:
        raise ShouldFixFeedback(
            f"signal_type={body.signal_type!r} has no signal_value.", "Send a number in [0, 1]."
        )
    return kind, value


def _kind_of_signal(name: str) -> tuple[FeedbackType, Json]:
    """The type that a signal's name stands for, and the value that the name implies."""
    key = name.strip().lower().replace("-", "_")
    if key in _THUMBS:
        return FeedbackType.THUMB, _THUMBS[key]
    for beginning, kind in _SIGNALS.items():
        if key == beginning or key.startswith(f"{beginning}_"):
            last = key.rsplit("_", 1)[-1]
            depth = kind is FeedbackType.SCROLL and last.isascii() and last.isdigit()
            whole = kind in {FeedbackType.CONVERSION, FeedbackType.CLICK}
            return kind, float(last[:4]) / 100.0 if depth else True if whole else None
    known = [*_THUMBS, *_SIGNALS, "scroll_depth_75"]
    near = difflib.get_close_matches(key, known, n=1)
    raise ShouldFixFeedback(
        f"signal_type={name!r} is unknown.",
        f"Did you mean {near[0]!r}?" if near else f"Send one of: {', '.join(known)}.",
    )


def _element(name: str) -> TargetElement:
    return TargetElement.VOICE if name.startswith("voice") else TargetElement(name)


def _person(
    product_id: str | int | None, prefix: str, caller: Caller, pseudonyms: Pseudonyms
) -> str | None:
    if product_id is None:
        return None
    return pseudonyms.of(f"{prefix}{product_id}", caller.tenant)


def _canonical(name: str, given: str) -> str:
    try:
        return canonical_uuid(given)
    except ValueError:
        raise ShouldFixFeedback(
            f"{name}={given!r} is not a UUID.", "Send a UUID made once."
        ) from None
