"""Requests about interactions and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from everloop.contracts.errors import ShouldUpdateClient
from everloop.sdk.client.answers.feedback import (
    FeedbackAnalysis,
    FeedbackAnswer,
    FeedbackAnswers,
    FeedbackReceipt,
    Quarantine,
    ReviewedFeedback,
)
from everloop.sdk.client.answers.learning import Receipt
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.calls.learning import stored
from everloop.sdk.client.reading import read_as
from everloop.sdk.client.records import FeedbackRecord, InteractionRecord


def log_interaction(record: InteractionRecord) -> Call[Receipt]:
    """``POST /api/rlhf/interaction``."""
    return stored("/api/rlhf/interaction", body_of(record), (record.log_id,))


def log_interactions(records: Sequence[InteractionRecord]) -> Call[Receipt]:
    """``POST /api/rlhf/interactions``."""
    body = body_of({"interactions": list(records)})
    return stored("/api/rlhf/interactions", body, tuple(each.log_id for each in records))


def give_feedback(record: FeedbackRecord) -> Call[FeedbackReceipt]:
    """``POST /api/rlhf/feedback``."""
    read = read_as(FeedbackAnswer)
    return Call(
        "POST",
        "/api/rlhf/feedback",
        "/api/rlhf/feedback",
        lambda answer: FeedbackReceipt(record.feedback_id, read(answer)),
        body=body_of(record),
        ids=(record.feedback_id,),
        kept=FeedbackReceipt(record.feedback_id),
    )


def give_much_feedback(records: Sequence[FeedbackRecord]) -> Call[tuple[FeedbackReceipt, ...]]:
    """``POST /api/rlhf/feedback/batch``."""
    ids = tuple(each.feedback_id for each in records)
    parse = read_as(FeedbackAnswers)

    def read(answer: bytes) -> tuple[FeedbackReceipt, ...]:
        answers = parse(answer).feedback
        if len(answers) != len(ids):
            raise ShouldUpdateClient(
                f"{len(ids)} feedbacks were answered with {len(answers)}.",
                "Install the client of the service's version.",
            )
        return tuple(map(FeedbackReceipt, ids, answers))

    return Call(
        "POST",
        "/api/rlhf/feedback/batch",
        "/api/rlhf/feedback/batch",
        read,
        body=body_of({"feedback": list(records)}),
        ids=ids,
        kept=tuple(map(FeedbackReceipt, ids)),
    )


def feedback_analysis(
    since: datetime | None,
    until: datetime | None,
    persona: str | None,
    agent_id: str | None,
    task_type: str | None,
    model_version: str | None,
) -> Call[FeedbackAnalysis]:
    """``GET /api/rlhf/feedback/analysis``."""
    route = "/api/rlhf/feedback/analysis"
    params = params_of(
        since=since,
        until=until,
        persona=persona,
        agent_id=agent_id,
        task_type=task_type,
        model_version=model_version,
    )
    return Call("GET", route, route, read_as(FeedbackAnalysis), params)


def quarantine(limit: int) -> Call[Quarantine]:
    """``GET /api/rlhf/feedback/quarantine``."""
    route = "/api/rlhf/feedback/quarantine"
    return Call("GET", route, route, read_as(Quarantine), params_of(limit=limit))


def review_feedback(feedback_id: str, status: str, reason: str) -> Call[ReviewedFeedback]:
    """``PUT /api/rlhf/feedback/{feedback_id}/review``."""
    route = "/api/rlhf/feedback/{feedback_id}/review"
    return Call(
        "PUT",
        route,
        path_of(route, feedback_id=feedback_id),
        read_as(ReviewedFeedback),
        body=body_of({"status": status, "reason": reason}),
    )
