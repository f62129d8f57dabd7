"""Interactions, feedback and reviews as rows of their tables, and back.

Rows that are written in bulk hold what the SQLite driver stores as it is, like those of
``event_rows``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackReview,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
    InputType,
    Interaction,
    OutputType,
    TargetElement,
)
from everloop.storage.column_types import microseconds


def interaction_row(
    record: Interaction, seq: int, ingested_at: datetime, sha256: bytes
) -> dict[str, Any]:
    """A row of ``interactions``; ``sha256`` is the payload's."""
    return {
        "tenant": record.tenant,
        "log_id": record.log_id,
        "seq": seq,
        "user_id": record.user_id,
        "session_id": record.session_id,
        "timestamp": microseconds(record.timestamp),
        "input_type": str(record.input_type),
        "input_data": canonical_json(record.input_data),
        "output_type": str(record.output_type),
        "output_data": canonical_json(record.output_data),
        "context": canonical_json(dict(record.context)),
        "agent_id": record.agent_id,
        "task_type": record.task_type,
        "persona": record.persona,
        "model_version": record.model_version,
        "episode_id": record.episode_id,
        "response_ms": record.response_ms,
        "tokens_in": record.tokens_in,
        "tokens_out": record.tokens_out,
        "retries": record.retries,
        "tools": canonical_json(record.tools),
        "escalated": record.escalated,
        "client": canonical_json(dict(record.client)),
        "schema_version": record.schema_version,
        "ingested_at": microseconds(ingested_at),
        "payload_sha256": sha256,
    }


def interaction_of(row: RowMapping) -> Interaction:
    """The record that ``interaction_row`` stored."""
    return Interaction(
        log_id=row["log_id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        timestamp=row["timestamp"],
        input_type=InputType(row["input_type"]),
        input_data=row["input_data"],
        output_type=OutputType(row["output_type"]),
        output_data=row["output_data"],
        agent_id=row["agent_id"],
        task_type=row["task_type"],
        persona=row["persona"],
        model_version=row["model_version"],
        context=row["context"],
        episode_id=row["episode_id"],
        response_ms=row["response_ms"],
        tokens_in=row["tokens_in"],
        tokens_out=row["tokens_out"],
        retries=row["retries"],
        tools=tuple(row["tools"]),
        escalated=row["escalated"],
        client=row["client"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
    )


def feedback_row(
    record: FeedbackInstance, seq: int, ingested_at: datetime, sha256: bytes
) -> dict[str, Any]:
    """A row of ``feedback`` with its status at arrival; ``sha256`` is the payload's."""
    return {
        "tenant": record.tenant,
        "feedback_id": record.feedback_id,
        "seq": seq,
        "log_id": record.log_id,
        "user_id": record.user_id,
        "session_id": record.session_id,
        "timestamp": microseconds(record.timestamp),
        "feedback_type": str(record.feedback_type),
        "source": str(record.source),
        "target_element": str(record.target_element),
        "target": canonical_json(record.target),
        "raw_value": canonical_json(record.raw_value),
        "value": canonical_json(record.value),
        "clamped": record.clamped,
        "interpretations": canonical_json([_plain(each) for each in record.interpretations]),
        "weight": record.weight,
        "confidence": record.confidence,
        "quality": record.quality,
        "quality_reasons": canonical_json(record.quality_reasons),
        "status": str(record.status),
        "agent_id": record.agent_id,
        "task_type": record.task_type,
        "persona": record.persona,
        "model_version": record.model_version,
        "client": canonical_json(dict(record.client)),
        "received_at": _moment(record.received_at),
        "shown_at": _moment(record.shown_at),
        "output_chars": record.output_chars,
        "schema_version": record.schema_version,
        "ingested_at": microseconds(ingested_at),
        "payload_sha256": sha256,
    }


def feedback_of(row: RowMapping) -> FeedbackInstance:
    """The record that ``feedback_row`` stored, with the status that the column holds now."""
    return FeedbackInstance(
        feedback_id=row["feedback_id"],
        log_id=row["log_id"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        timestamp=row["timestamp"],
        feedback_type=FeedbackType(row["feedback_type"]),
        source=FeedbackSource(row["source"]),
        raw_value=row["raw_value"],
        value=row["value"],
        interpretations=tuple(_interpretation(each) for each in row["interpretations"]),
        weight=row["weight"],
        confidence=row["confidence"],
        quality=row["quality"],
        quality_reasons=tuple(row["quality_reasons"]),
        status=FeedbackStatus(row["status"]),
        agent_id=row["agent_id"],
        task_type=row["task_type"],
        persona=row["persona"],
        model_version=row["model_version"],
        target_element=TargetElement(row["target_element"]),
        target=row["target"],
        clamped=row["clamped"],
        client=row["client"],
        tenant=row["tenant"],
        schema_version=row["schema_version"],
        received_at=row["received_at"],
        shown_at=row["shown_at"],
        output_chars=row["output_chars"],
    )


def review_of(row: RowMapping) -> FeedbackReview:
    """The record of a row of ``feedback_reviews``."""
    return FeedbackReview(
        feedback_id=row["feedback_id"],
        status=FeedbackStatus(row["status"]),
        reason=row["reason"],
        reviewer=row["reviewer"],
        recorded_at=row["recorded_at"],
        tenant=row["tenant"],
    )


def _moment(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)


def _plain(interpretation: AIInterpretation) -> dict[str, Json]:
    return {
        "intent": interpretation.intent,
        "trait": interpretation.trait,
        "adjustment": interpretation.adjustment,
        "value": interpretation.value,
        "preference": interpretation.preference,
    }


def _interpretation(stored: dict[str, Json]) -> AIInterpretation:
    preference = stored["preference"]
    return AIInterpretation(
        intent=stored["intent"],
        trait=stored["trait"],
        adjustment=stored["adjustment"],
        value=stored["value"],
        preference=None if preference is None else (preference[0], preference[1]),
    )
