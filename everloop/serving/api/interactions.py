"""``/api/rlhf/interaction``: what was said to people, and how the answer was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import Caller, Scope
from everloop.contracts.feedback import Interaction
from everloop.contracts.serving import Submission
from everloop.serving.bodies import Stored, StoredMany
from everloop.serving.feedback_context import require_episodes
from everloop.serving.interaction_bodies import (
    INTERACTION,
    INTERACTIONS,
    InteractionBody,
    InteractionsBody,
    logged_interaction,
)
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import (
    read_body,
    worked_on,
)
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["feedback"])
BODIES = (InteractionBody, InteractionsBody)


@router.post(
    "/api/rlhf/interaction",
    status_code=201,
    response_model=Stored,
    responses=problems(409),
    openapi_extra=body_of(InteractionBody),
    summary="Log an interaction",
)
async def log_interaction(request: Request) -> Response:
    """Store one exchange between a person and a persona. Scope: ingest."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    service.limits.admit(caller.tenant)
    body = await read_body(request, INTERACTION)
    (interaction,) = await _store(service, caller, (body,))
    return Response(
        b'{"id":"%b","status":"stored"}' % interaction.log_id.encode(),
        201,
        media_type="application/json",
    )


@router.post(
    "/api/rlhf/interactions",
    status_code=201,
    response_model=StoredMany,
    responses=problems(409),
    openapi_extra=body_of(InteractionsBody),
    summary="Log many interactions: all, or none",
)
async def log_interactions(request: Request) -> StoredMany:
    """Store up to a thousand exchanges. Scope: ingest."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies, large = await INTERACTIONS.received(request)
    service.limits.admit(caller.tenant, len(bodies))
    return StoredMany(stored=len(await _store(service, caller, bodies, large)))


async def _store(
    service: Service, caller: Caller, bodies: Sequence[InteractionBody], large: bool = False
) -> tuple[Interaction, ...]:
    now = datetime.now(UTC)
    pseudonyms = service.workspace.pseudonyms
    interactions = await worked_on(
        large, lambda: tuple([logged_interaction(each, caller, pseudonyms, now) for each in bodies])
    )
    if any(interaction.episode_id is not None for interaction in interactions):
        await run_in_threadpool(require_episodes, service, interactions, caller.tenant)
    await service.door.store(Submission(caller.tenant, caller.actor, interactions=interactions))
    return interactions
