"""``/api/rlhf/feedback``: what waits in quarantine, and a person's decision on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.errors import ShouldAskForScope, ShouldNameKnownId
from everloop.contracts.feedback import FeedbackInstance, FeedbackReview, FeedbackStatus
from everloop.serving.bodies import Body, ShortReason
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.reviewing import review
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["feedback"])

LARGEST_PAGE = 1000


class ReviewBody(Body):
    """What a person decided; ``reason`` is kept with the decision, so it must not name the sender."""

    status: Literal["released", "rejected", "quarantined"]
    reason: ShortReason


BODIES = (ReviewBody,)
_REVIEW = TypeAdapter(ReviewBody)


class ReviewRow(BaseModel):
    """One decision on a feedback."""

    status: str
    reason: str
    reviewer: str
    recorded_at: datetime


class Reviewed(BaseModel):
    """A feedback with how human its sending looked, what lowered that, and what was decided.

    Attributes:
        session: the sender's session, hashed; feedback of one session is often decided together.
        raw_value, value: as sent, and clamped to its declared range.
        quality: in [0, 1]; one half or less is quarantined.
        reviews: newest first.
    """

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
    quality_reasons: list[str]
    persona: str
    agent_id: str
    reviews: list[ReviewRow]


class Quarantine(BaseModel):
    """Feedback that waits for a person, oldest first."""

    feedback: list[Reviewed]


@router.get(
    "/api/rlhf/feedback/quarantine",
    response_model=Quarantine,
    responses=problems(),
    summary="What waits in quarantine",
)
async def read_quarantine(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Feedback at most.")] = 100,
) -> Quarantine:
    """Quarantined feedback of the caller's tenant, oldest first, with what raised suspicion.
    Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)
    rows = await run_in_threadpool(_waiting, service, limit, caller.tenant)
    return Quarantine(feedback=rows)


@router.put(
    "/api/rlhf/feedback/{feedback_id}/review",
    response_model=Reviewed,
    responses=problems(404, 409),
    openapi_extra=body_of(ReviewBody),
    summary="Release, reject or quarantine a feedback",
)
async def decide_on_feedback(
    request: Request,
    feedback_id: Annotated[str, Path(description="The feedback's id.")],
) -> Reviewed:
    """Released feedback teaches from now on; rejected feedback never does, and what was learned from is
    disputed. The same decision again changes nothing. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _REVIEW)
    return await run_in_threadpool(_decide, service, feedback_id, body, caller.actor, caller.tenant)


def _waiting(service: Service, limit: int, tenant: str) -> list[Reviewed]:
    store = service.workspace.feedback
    return [
        _row(feedback, store.reviews(feedback.feedback_id, tenant))
        for feedback in store.quarantined(limit, tenant)
    ]


def _decide(
    service: Service, feedback_id: str, body: ReviewBody, reviewer: str, tenant: str
) -> Reviewed:
    try:
        decided = review(
            service,
            feedback_id,
            FeedbackStatus(body.status),
            body.reason,
            reviewer,
            datetime.now(UTC),
            tenant,
        )
    except ShouldNameKnownId:
        if service.workspace.tenancy.owner("feedback", feedback_id) is not None:
            raise ShouldAskForScope(
                f"Feedback {feedback_id} is another tenant's.", "Use that tenant's credential."
            ) from None
        raise
    return _row(decided, service.workspace.feedback.reviews(decided.feedback_id, tenant))


def _row(feedback: FeedbackInstance, reviews: tuple[FeedbackReview, ...]) -> Reviewed:
    return Reviewed(
        feedback_id=feedback.feedback_id,
        log_id=feedback.log_id,
        session=feedback.session_id,
        status=feedback.status,
        feedback_type=feedback.feedback_type,
        timestamp=feedback.timestamp,
        received_at=feedback.received_at,
        raw_value=feedback.raw_value,
        value=feedback.value,
        clamped=feedback.clamped,
        quality=feedback.quality,
        quality_reasons=list(feedback.quality_reasons),
        persona=feedback.persona,
        agent_id=feedback.agent_id,
        reviews=[
            ReviewRow(
                status=each.status,
                reason=each.reason,
                reviewer=each.reviewer,
                recorded_at=each.recorded_at,
            )
            for each in reviews
        ],
    )
