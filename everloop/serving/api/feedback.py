"""``/api/rlhf/feedback``: what people say of outputs, and what all of it amounts to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

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
from everloop.serving.feedback_context import Spoken, spoken_of
from everloop.serving.feedback_intake import take_feedback
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import (
    read_body,
    worked_on,
)
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
    body = await read_body(request, FEEDBACK)
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
    """Store up to a thousand feedbacks; answers come in the same order. Scope: ingest.

    Each counts against its session's limit: a request with more of one session than that admits at once
    is refused.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies, large = await FEEDBACK_BATCH.received(request)
    service.limits.admit(caller.tenant, len(bodies))
    return FeedbackAnswers(feedback=await _take(service, caller, bodies, large))


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
    service: Service, caller: Caller, bodies: Sequence[FeedbackBody], large: bool = False
) -> list[FeedbackAnswer]:
    now = datetime.now(UTC)
    pseudonyms = service.workspace.pseudonyms
    sent = await worked_on(
        large, lambda: [sent_feedback(each, caller, pseudonyms, now) for each in bodies]
    )
    sessions = await _sessions(service, caller, sent)
    service.limits.admit_sessions(caller.tenant, Counter(sessions))
    return [answer_of(taken) for taken in await take_feedback(service, caller, sent, now)]


async def _sessions(service: Service, caller: Caller, sent: Sequence[SentFeedback]) -> list[str]:
    """The session of each feedback: its own, or its interaction's."""
    unnamed = {one.log_id for one in sent if one.session_id is None}
    if not unnamed:
        return [one.session_id for one in sent if one.session_id is not None]
    spoken = await run_in_threadpool(spoken_of, service, unnamed, caller.tenant)
    return [
        session
        for one in sent
        if (session := one.session_id or _session_of(spoken.get(one.log_id)))
    ]


def _session_of(spoken: Spoken | None) -> str | None:
    if spoken is None or spoken.interaction is None:
        return None
    return spoken.interaction.session_id
