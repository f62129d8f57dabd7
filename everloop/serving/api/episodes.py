"""``/api/ml/episode``: what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor

from everloop.contracts.access import Caller, Scope
from everloop.contracts.contexts import SEALED
from everloop.contracts.episodes import Episode
from everloop.contracts.errors import ShouldAskForScope, ShouldNameKnownId
from everloop.contracts.serving import Decision, Submission
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
from everloop.serving.reading import worked_on
from everloop.serving.service import Service, service_of


class _Whole(StringConvertor):
    """The rest of an address: people's ids may hold slashes and line feeds."""

    regex = "(?s:.*)"


register_url_convertor("whole", _Whole())
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
    bodies, large = await EPISODES.received(request)
    service.limits.admit(caller.tenant, len(bodies))
    reads = any(isinstance(body, ConfirmedDecision) for body in bodies)
    episodes = await worked_on(large or reads, lambda: _episodes(service, caller, bodies))
    await service.door.store(Submission(caller.tenant, caller.actor, episodes=episodes))
    return StoredMany(stored=len(episodes))


@router.get(
    "/api/ml/episodes/{user_id:whole}",
    response_model=EpisodePage,
    responses=problems(),
    summary="A person's episodes and signals",
)
async def episodes_of(
    request: Request,
    user_id: Annotated[str, Path(min_length=1, max_length=256)],
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
    if any(SEALED in episode.context_snapshot for episode in found):
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
    return confirmed_episode(_decision(service, caller, body.decision_id), body)


def _decision(service: Service, caller: Caller, decision_id: str) -> Decision:
    try:
        return service.workspace.decisions.decision(decision_id, caller.tenant)
    except ShouldNameKnownId:
        if service.workspace.tenancy.owner("decision", decision_id) is not None:
            raise ShouldAskForScope(
                f"Decision {decision_id} is another tenant's.", "Use that tenant's credential."
            ) from None
        raise


def _episodes(
    service: Service, caller: Caller, bodies: Sequence[EpisodeBody | ConfirmedDecision]
) -> tuple[Episode, ...]:
    named = [body.decision_id for body in bodies if isinstance(body, ConfirmedDecision)]
    decisions = service.workspace.decisions.decisions(named, caller.tenant) if named else {}
    episodes = []
    for body in bodies:
        if isinstance(body, EpisodeBody):
            episodes.append(logged_episode(service, caller, body))
            continue
        decision = decisions.get(body.decision_id)
        if decision is None:
            decision = _decision(service, caller, body.decision_id)  # says why there is none
        episodes.append(confirmed_episode(decision, body))
    return tuple(episodes)
