"""``/api/ml/reward``: what came of decisions."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import Caller, Scope
from everloop.contracts.episodes import RewardSignal
from everloop.contracts.errors import ShouldAskForScope, ShouldFixSignal
from everloop.contracts.serving import Submission
from everloop.serving.bodies import (
    REWARD,
    REWARDS,
    RewardBody,
    RewardsBody,
    Stored,
    StoredMany,
)
from everloop.serving.events import logged_signal
from everloop.serving.fast_lane import Body
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import worked_on
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["learning"])
BODIES = (RewardBody, RewardsBody)


@router.post(
    "/api/ml/reward",
    status_code=201,
    response_model=Stored,
    responses=problems(409),
    openapi_extra=body_of(RewardBody),
    summary="Submit a reward signal",
)
async def log_reward(request: Request) -> Response:
    content = await answer_reward(service_of(request), request, request.body)
    return Response(content, 201, media_type="application/json")


async def answer_reward(service: Service, request: Request, read: Body) -> bytes:
    caller = await service.access.admit(request, Scope.INGEST)
    service.limits.admit(caller.tenant)
    (signal,) = await _store(service, caller, (REWARD.validate_json(await read()),))
    return b'{"id":"%b","status":"stored"}' % signal.signal_id.encode()


FAST = {"/api/ml/reward": (201, answer_reward)}


@router.post(
    "/api/ml/reward/batch",
    status_code=201,
    response_model=StoredMany,
    responses=problems(409),
    openapi_extra=body_of(RewardsBody),
    summary="Submit many reward signals: all, or none",
)
async def log_rewards(request: Request) -> StoredMany:
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies, large = await REWARDS.received(request)
    service.limits.admit(caller.tenant, len(bodies))
    return StoredMany(stored=len(await _store(service, caller, bodies, large)))


async def _store(
    service: Service, caller: Caller, bodies: Sequence[RewardBody], large: bool = False
) -> tuple[RewardSignal, ...]:
    if len(service.loops) == 1:
        spec = next(iter(service.loops.values()))
        signals = await worked_on(
            large, lambda: tuple([logged_signal(spec, caller, body) for body in bodies])
        )
    else:
        signals = await run_in_threadpool(_by_loop, service, caller, bodies)
    try:
        await service.door.store(Submission(caller.tenant, caller.actor, signals=signals))
    except ShouldFixSignal:
        await run_in_threadpool(_refuse_foreign, service, caller, signals)
        raise
    return signals


def _by_loop(
    service: Service, caller: Caller, bodies: Sequence[RewardBody]
) -> tuple[RewardSignal, ...]:
    loops = service.workspace.log.loops_of([body.episode_id for body in bodies], caller.tenant)
    signals = []
    for body in bodies:
        loop = loops.get(body.episode_id.lower())
        if loop is None:
            _refuse_foreign(service, caller, [body])
            raise ShouldFixSignal(
                f"Signal {body.signal_id}: episode_id={body.episode_id!r} is unknown.",
                "Log the episode first.",
            )
        signals.append(logged_signal(service.loop(loop), caller, body))
    return tuple(signals)


def _refuse_foreign(
    service: Service, caller: Caller, signals: Sequence[RewardSignal | RewardBody]
) -> None:
    ids = [signal.episode_id for signal in signals]
    known = service.workspace.log.loops_of(ids, caller.tenant)
    for episode_id in ids:
        if episode_id not in known and service.workspace.tenancy.owner("episode", episode_id):
            raise ShouldAskForScope(
                f"Episode {episode_id} is another tenant's.", "Use that tenant's credential."
            )
