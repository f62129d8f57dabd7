"""Small interactions, feedback and decisions for tests: valid by default, each field easy to change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from everloop.contracts.episodes import Arm, Episode, RewardSignal
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackReview,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
    InputType,
    Interaction,
    OutputType,
)
from everloop.contracts.serving import Decision, Receipt, Submission
from everloop.storage.sql.engine import writing
from everloop.storage.sql.ingest_batch import store
from everloop.storage.sql.ingest_records import prepare
from tests.log_records import ANN, NOON, uuid_of

SESSION = "5" * 64
Record = Episode | RewardSignal | Decision | Interaction | FeedbackInstance


def interaction(number: int = 1, at: datetime = NOON, **changes: Any) -> Interaction:
    values: dict[str, Any] = {
        "log_id": uuid_of(number, "interaction"),
        "user_id": ANN,
        "session_id": SESSION,
        "timestamp": at,
        "input_type": InputType.USER_QUERY,
        "input_data": "how are you?",
        "output_type": OutputType.TEXT,
        "output_data": "well, thank you",
        "agent_id": "agent",
        "task_type": "chat",
        "persona": "friend",
        "model_version": "v1",
    }
    return Interaction(**(values | changes))


def feedback(
    number: int = 1, of: int | None = 1, at: datetime = NOON, **changes: Any
) -> FeedbackInstance:
    values: dict[str, Any] = {
        "feedback_id": uuid_of(number, "feedback"),
        "log_id": None if of is None else uuid_of(of, "interaction"),
        "user_id": ANN,
        "session_id": SESSION,
        "timestamp": at,
        "feedback_type": FeedbackType.THUMB,
        "source": FeedbackSource.RATING,
        "raw_value": True,
        "value": True,
        "interpretations": (),
        "weight": 0.5,
        "confidence": 0.75,
        "quality": 1.0,
        "quality_reasons": (),
        "status": FeedbackStatus.ACCEPTED,
        "agent_id": "agent",
        "task_type": "chat",
        "persona": "friend",
        "model_version": "v1",
    }
    return FeedbackInstance(**(values | changes))


def survey(number: int, answer: float, at: datetime = NOON, **changes: Any) -> FeedbackInstance:
    said = {"feedback_type": FeedbackType.TRUST_SURVEY, "raw_value": answer, "value": answer}
    return feedback(number, None, at, **(said | changes))


def review(
    number: int = 1,
    status: FeedbackStatus = FeedbackStatus.RELEASED,
    at: datetime = NOON,
    **changes: Any,
) -> FeedbackReview:
    values: dict[str, Any] = {
        "feedback_id": uuid_of(number, "feedback"),
        "status": status,
        "reason": "looks human",
        "reviewer": "key:rita",
        "recorded_at": at,
    }
    return FeedbackReview(**(values | changes))


def decision(number: int = 1, at: datetime = NOON, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "decision_id": uuid_of(number),
        "user_id": ANN,
        "loop": "walk",
        "context_snapshot": {"mood": "calm", "hour": 12.5},
        "action_taken": "left",
        "propensity": 0.25,
        "valid_actions": ("left", "right"),
        "timestamp": at,
        "model_version": "v1",
        "arm": Arm.ACTIVE,
        "epsilon": 0.05,
        "request_sha256": f"{number:064x}",
    }
    return Decision(**(values | changes))


_FIELDS = {
    Episode: "episodes",
    RewardSignal: "signals",
    Decision: "decisions",
    Interaction: "interactions",
    FeedbackInstance: "feedback",
}


def submission(
    records: Sequence[Record], actor: str = "key:test", tenant: str | None = None
) -> Submission:
    """One request with the records, which are one tenant's."""
    sorted_out: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
    for record in records:
        sorted_out[_FIELDS[type(record)]].append(record)
    return Submission(
        tenant=tenant or records[0].tenant,
        actor=actor,
        **{name: tuple(found) for name, found in sorted_out.items()},
    )


def put(engine: Engine, *records: Record, now: datetime = NOON) -> None:
    """Store records as the ingest queue does, each tenant's in a submission; all, or an error."""
    tenants = {record.tenant: None for record in records}
    batch = [prepare(submission([r for r in records if r.tenant == tenant])) for tenant in tenants]
    with writing(engine) as connection:
        for outcome in store(connection, batch, now):
            if not isinstance(outcome, Receipt):
                raise outcome
