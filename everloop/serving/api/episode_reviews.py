"""``/api/ml/reviews``: episodes that wait for a person before anything learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.oversight import ReviewState
from everloop.serving.bodies import Body, Id, ShortReason
from everloop.serving.episode_reviewing import DECISIONS, LookedAt, decide, looked_at
from everloop.serving.models.finding import refuse_foreign
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["reviews"])

LARGEST_PAGE = 500
MOST_DECIDED = 500
"""Reviews that one request may decide."""

Decided = Literal["release", "reject", "reopen"]
Shown = Literal["open", "released", "rejected", "all"]


class EpisodeReviewBody(Body):
    """What a person decided; ``reason`` is kept with the decision, so it must name nobody."""

    decision: Decided
    reason: ShortReason


class EpisodeReviewsBody(Body):
    """One decision on several episodes."""

    review_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_DECIDED)]
    decision: Decided
    reason: ShortReason


BODIES = (EpisodeReviewBody, EpisodeReviewsBody)
_ONE, _MANY = TypeAdapter(EpisodeReviewBody), TypeAdapter(EpisodeReviewsBody)


class SignalRow(BaseModel):
    """Evidence of an episode; ``latency`` in seconds after the decision."""

    signal_type: str
    value: float
    confidence: float
    latency: int


class EpisodeReview(BaseModel):
    """A flagged episode with what is strange about it, and what was decided.

    Attributes:
        kind: ``anomaly`` (its signals contradict each other) or ``outlier_action`` (an action taken far
            more often than elsewhere).
        score: how strange, in robust standard deviations.
        state: ``open`` and ``rejected`` episodes teach nothing.
        person: tells people apart, names nobody.
        decided_by: empty while nobody has decided.
        timestamp, action, propensity, model_version, arm: of the decision; null where the episode is gone.
    """

    review_id: str
    kind: str
    state: str
    loop: str
    episode_id: str
    reason: str
    score: float
    flagged_at: datetime
    decided_by: str
    decided_at: datetime | None
    decision_reason: str
    person: str
    timestamp: datetime | None
    action: str | None
    propensity: float | None
    model_version: str | None
    arm: str | None
    signals: list[SignalRow]


class EpisodeReviews(BaseModel):
    """Reviews, oldest first; ``next_after`` asks for the next page, null on the last."""

    reviews: list[EpisodeReview]
    next_after: str | None


class DecidedReviews(BaseModel):
    """The reviews as they are now, in the order of the request."""

    reviews: list[EpisodeReview]


@router.get(
    "/api/ml/reviews",
    response_model=EpisodeReviews,
    responses=problems(404),
    summary="Episodes that wait for a person",
)
async def list_reviews(
    request: Request,
    loop: Annotated[str | None, Query(description="Of this loop alone.")] = None,
    state: Annotated[Shown, Query(description="In this state.")] = "open",
    after: Annotated[
        str | None, Query(description="The last review_id of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Reviews at most.")] = 100,
) -> EpisodeReviews:
    """Flagged episodes of the caller's tenant, oldest first. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)
    name = None if loop is None else service.loop(loop).name

    def read() -> EpisodeReviews:
        wanted = None if state == "all" else ReviewState(state)
        if after is not None:
            _refuse_foreign(service, caller, (after,))
        items = service.workspace.reviews.items(name, wanted, after or "", limit + 1, caller.tenant)
        rows = looked_at(service.workspace, items[:limit], caller.tenant)
        more = items[limit - 1].review_id if len(items) > limit else None
        return EpisodeReviews(reviews=[_row(each) for each in rows], next_after=more)

    return await run_in_threadpool(read)


@router.get(
    "/api/ml/reviews/{review_id}",
    response_model=EpisodeReview,
    responses=problems(404),
    summary="A flagged episode",
)
async def read_review(
    request: Request, review_id: Annotated[str, Path(description="The review's id.")]
) -> EpisodeReview:
    """What is strange about an episode, and what was decided. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)

    def read() -> EpisodeReview:
        _refuse_foreign(service, caller, (review_id,))
        item = service.workspace.reviews.item(review_id, caller.tenant)
        (row,) = looked_at(service.workspace, (item,), caller.tenant)
        return _row(row)

    return await run_in_threadpool(read)


@router.post(
    "/api/ml/reviews/{review_id}",
    response_model=EpisodeReview,
    responses=problems(404),
    openapi_extra=body_of(EpisodeReviewBody),
    summary="Release, reject or reopen a flagged episode",
)
async def decide_review(
    request: Request, review_id: Annotated[str, Path(description="The review's id.")]
) -> EpisodeReview:
    """A released episode teaches from the next run on, a rejected one never does. The same decision again
    changes nothing. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _ONE)
    (row,) = await run_in_threadpool(_decide, service, caller, (review_id,), body)
    return row


@router.post(
    "/api/ml/reviews",
    response_model=DecidedReviews,
    responses=problems(404),
    openapi_extra=body_of(EpisodeReviewsBody),
    summary="Decide several flagged episodes alike",
)
async def decide_reviews(request: Request) -> DecidedReviews:
    """One decision on several episodes: an unknown id is told before any is decided, and a request that
    broke off may be repeated. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    body = await read_body(request, _MANY)
    service.limits.admit(caller.tenant, len(body.review_ids))
    rows = await run_in_threadpool(_decide, service, caller, body.review_ids, body)
    return DecidedReviews(reviews=rows)


def _decide(
    service: Service,
    caller: Caller,
    review_ids: Sequence[str],
    body: EpisodeReviewBody | EpisodeReviewsBody,
) -> list[EpisodeReview]:
    _refuse_foreign(service, caller, review_ids)
    decided = decide(
        service.workspace,
        review_ids,
        DECISIONS[body.decision],
        body.reason,
        caller.actor,
        datetime.now(UTC),
        caller.tenant,
    )
    return [_row(each) for each in decided]


def _refuse_foreign(service: Service, caller: Caller, review_ids: Sequence[str]) -> None:
    for review_id in review_ids:
        try:
            service.workspace.reviews.item(review_id, caller.tenant)
        except ShouldNameKnownId:
            refuse_foreign(service.workspace, "review", review_id, caller.tenant)
            raise


def _row(found: LookedAt) -> EpisodeReview:
    item, episode = found.item, found.episode
    return EpisodeReview(
        review_id=item.review_id,
        kind=item.kind,
        state=item.state,
        loop=item.loop,
        episode_id=item.episode_id,
        reason=item.reason,
        score=item.score,
        flagged_at=item.flagged_at,
        decided_by=item.decided_by,
        decided_at=item.decided_at,
        decision_reason=item.decision_reason,
        person=found.person,
        timestamp=episode.timestamp if episode else None,
        action=episode.action_taken if episode else None,
        propensity=episode.propensity if episode else None,
        model_version=episode.model_version if episode else None,
        arm=episode.arm if episode else None,
        signals=[
            SignalRow(
                signal_type=signal.signal_type,
                value=signal.value,
                confidence=signal.confidence,
                latency=signal.latency,
            )
            for signal in found.signals
        ],
    )
