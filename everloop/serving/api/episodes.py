"""``/api/ml/episode``: what was decided."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from everloop.contracts.access import Caller, Scope
from everloop.contracts.episodes import Episode
from everloop.contracts.errors import ShouldAskForScope, ShouldNameKnownId
from everloop.contracts.serving import Submission
from everloop.serving.bodies import (
    EPISODES,
    ConfirmedDecision,
    EpisodeBody,
    EpisodesBody,
    Stored,
    StoredMany,
    read_episode,
)
from everloop.serving.events import confirmed_episode, logged_episode
from everloop.serving.fast_lane import Body
from everloop.serving.openapi import body_of, problems
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["learning"])
BODIES = (EpisodeBody, ConfirmedDecision, EpisodesBody)
_MOST_LISTED = 1000


class ListedSignal(BaseModel):
    signal_id: str
    signal_type: str
    value: float
    latency: int
    confidence: float


class ListedEpisode(BaseModel):
    """An episode with its reward signals; the person is named by the pseudonym."""

    episode_id: str
    user_id: str
    loop: str
    context_snapshot: dict[str, Any]
    action_taken: str
    action_arguments: dict[str, Any]
    valid_actions: list[str]
    timestamp: str
    model_version: str
    propensity: float | None
    arm: str
    outcome: str | None
    reward_score: float | None
    signals: list[ListedSignal]


class EpisodePage(BaseModel):
    """Episodes of a person, oldest first; ``next_offset`` is absent on the last page."""

    episodes: list[ListedEpisode]
    next_offset: int | None = None


@router.post(
    "/api/ml/episode",
    status_code=201,
    response_model=Stored,
    responses=problems(404, 409),
    openapi_extra=body_of((EpisodeBody, ConfirmedDecision)),
    summary="Log a decision, or confirm one of ours",
)
async def log_episode(request: Request) -> Response:
    content = await answer_episode(service_of(request), request, request.body)
    return Response(content, 201, media_type="application/json")


async def answer_episode(service: Service, request: Request, read: Body) -> bytes:
    caller = await service.access.admit(request, Scope.INGEST)
    service.limits.admit(caller.tenant)
    episode = await _episode(service, caller, read_episode(await read()))
    await service.door.store(Submission(caller.tenant, caller.actor, episodes=(episode,)))
    return b'{"id":"%b","status":"stored"}' % episode.episode_id.encode()


FAST = {"/api/ml/episode": (201, answer_episode)}


@router.post(
    "/api/ml/episode/batch",
    status_code=201,
    response_model=StoredMany,
    responses=problems(404, 409),
    openapi_extra=body_of(EpisodesBody),
    summary="Log many decisions: all, or none",
)
async def log_episodes(request: Request) -> StoredMany:
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies = EPISODES.validate_json(await request.body()).episodes
    service.limits.admit(caller.tenant, len(bodies))
    episodes = tuple([await _episode(service, caller, body) for body in bodies])
    await service.door.store(Submission(caller.tenant, caller.actor, episodes=episodes))
    return StoredMany(stored=len(episodes))


@router.get(
    "/api/ml/episodes/{user_id}",
    response_model=EpisodePage,
    responses=problems(),
    summary="A person's episodes and signals",
)
async def episodes_of(
    request: Request,
    user_id: str,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> EpisodePage:
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    return await run_in_threadpool(_page, service, caller, user_id, limit, offset)


def _page(service: Service, caller: Caller, user_id: str, limit: int, offset: int) -> EpisodePage:
    workspace, tenant = service.workspace, caller.tenant
    person = workspace.pseudonyms.of(user_id, tenant)
    found: list[Episode] = []
    more = False
    for index, episode in enumerate(workspace.log.episodes_of(person, tenant)):
        if index < offset:
            continue
        if len(found) == limit:
            more = True
            break
        found.append(episode)
    signals = workspace.log.signals_of([e.episode_id for e in found], tenant)
    if found:
        workspace.audit.append(
            tenant, caller.actor, "health.read", "episodes of a person", len(found)
        )
    listed = [
        ListedEpisode(
            episode_id=e.episode_id,
            user_id=e.user_id,
            loop=e.loop,
            context_snapshot=dict(
                service.vault.open(tenant, e.episode_id, e.loop, e.context_snapshot)
            ),
            action_taken=e.action_taken,
            action_arguments=dict(e.action_arguments),
            valid_actions=list(e.valid_actions),
            timestamp=e.timestamp.isoformat(),
            model_version=e.model_version,
            propensity=e.propensity,
            arm=e.arm.value,
            outcome=None if e.outcome is None else e.outcome.value,
            reward_score=e.reward_score,
            signals=[
                ListedSignal(
                    signal_id=s.signal_id,
                    signal_type=s.signal_type,
                    value=s.value,
                    latency=s.latency,
                    confidence=s.confidence,
                )
                for s in signals.get(e.episode_id, ())
            ],
        )
        for e in found
    ]
    return EpisodePage(episodes=listed, next_offset=offset + limit if more else None)


async def _episode(
    service: Service, caller: Caller, body: EpisodeBody | ConfirmedDecision
) -> Episode:
    if isinstance(body, EpisodeBody):
        return logged_episode(service, caller, body)
    return await run_in_threadpool(_confirmed, service, caller, body)


def _confirmed(service: Service, caller: Caller, body: ConfirmedDecision) -> Episode:
    try:
        decision = service.workspace.decisions.decision(body.decision_id, caller.tenant)
    except ShouldNameKnownId:
        if service.workspace.tenancy.owner("decision", body.decision_id) is not None:
            raise ShouldAskForScope(
                f"Decision {body.decision_id} is another tenant's.", "Use that tenant's credential."
            ) from None
        raise
    return confirmed_episode(decision, body)
