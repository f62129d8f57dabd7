"""``/api/rlhf/feedback``: what people say of outputs, and what all of it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import Caller, Scope
from everloop.contracts.errors import ShouldFixArgument
from everloop.feedback.analysis import FeedbackReport, Selection, analyse
from everloop.feedback.capture import SentFeedback
from everloop.serving.feedback_answers import (
    FeedbackAnalysis,
    FeedbackAnswer,
    FeedbackAnswers,
    analysis_of,
    answer_of,
)
from everloop.serving.feedback_bodies import (
    FEEDBACK,
    FEEDBACK_BATCH,
    FeedbackBatchBody,
    FeedbackBody,
    Moment,
    sent_feedback,
)
from everloop.serving.feedback_intake import take_feedback
from everloop.serving.openapi import body_of, problems
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["feedback"])
BODIES = (FeedbackBody, FeedbackBatchBody)

_DEFAULT_PERIOD = timedelta(days=28)

Filter = Annotated[str | None, Query(max_length=256)]


@router.post(
    "/api/rlhf/feedback",
    status_code=201,
    response_model=FeedbackAnswer,
    responses=problems(409),
    openapi_extra=body_of(FeedbackBody),
    summary="Give feedback",
)
async def give_feedback(request: Request) -> FeedbackAnswer:
    """Store what a person said of an output, and tell how it was understood. Scope: ingest."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    service.limits.admit(caller.tenant)
    body = FEEDBACK.validate_json(await request.body())
    (answer,) = await _take(service, caller, (body,))
    return answer


@router.post(
    "/api/rlhf/feedback/batch",
    status_code=201,
    response_model=FeedbackAnswers,
    responses=problems(409),
    openapi_extra=body_of(FeedbackBatchBody),
    summary="Give much feedback: all is stored, or none",
)
async def give_much_feedback(request: Request) -> FeedbackAnswers:
    """Store up to a thousand feedbacks; answers come in the same order. Scope: ingest."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies = FEEDBACK_BATCH.validate_json(await request.body()).feedback
    service.limits.admit(caller.tenant, len(bodies))
    return FeedbackAnswers(feedback=await _take(service, caller, bodies))


@router.get(
    "/api/rlhf/feedback/analysis",
    response_model=FeedbackAnalysis,
    responses=problems(),
    summary="What people say",
)
async def analyse_feedback(
    request: Request,
    since: Annotated[
        Moment | None, Query(description="RFC 3339; by default 28 days before `until`.")
    ] = None,
    until: Annotated[Moment | None, Query(description="RFC 3339; by default now.")] = None,
    persona: Filter = None,
    agent_id: Filter = None,
    task_type: Filter = None,
    model_version: Filter = None,
) -> FeedbackAnalysis:
    """Counts, mean value with its interval over people, and trait adjustments of the feedback dated in
    [since, until). Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    end = until or datetime.now(UTC)
    start = since or _before(end)
    if not start < end:
        raise ShouldFixArgument(
            f"since={start.isoformat()} is not before until={end.isoformat()}.", "Swap them."
        )
    selection = Selection(persona, agent_id, task_type, model_version)
    report = await run_in_threadpool(_analyse, service, caller.tenant, start, end, selection)
    return analysis_of(report, start, end)


def _before(end: datetime) -> datetime:
    try:
        return end - _DEFAULT_PERIOD
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _analyse(
    service: Service, tenant: str, since: datetime, until: datetime, selection: Selection
) -> FeedbackReport:
    return analyse(service.workspace.feedback.analysis(since, until, tenant), selection)


async def _take(
    service: Service, caller: Caller, bodies: Sequence[FeedbackBody]
) -> list[FeedbackAnswer]:
    now = datetime.now(UTC)
    pseudonyms = service.workspace.pseudonyms
    sent = [sent_feedback(body, caller, pseudonyms, now) for body in bodies]
    for session in _sessions(sent):
        service.limits.admit_session(caller.tenant, session)
    return [answer_of(taken) for taken in await take_feedback(service, caller, sent, now)]


def _sessions(sent: Sequence[SentFeedback]) -> list[Any]:
    """The sessions that a request counts against, each once: it is one sending."""
    return sorted({one.session_id or f"log:{one.log_id}" for one in sent})
