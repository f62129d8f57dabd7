"""``/api/ml/personas``: who speaks, how feedback moved it, and what a person may do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.voice_spec import VoiceSpec
from everloop.serving.bodies import Body, Number, ShortReason, Whole
from everloop.serving.openapi import body_of, problems
from everloop.serving.personas.changing import adjust, undo_change
from everloop.serving.personas.shown import (
    PersonaAnswer,
    Revisions,
    persona_answer,
    revision_answer,
)
from everloop.serving.personas.teaching import voices_of
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["personas"])

LARGEST_PAGE = 1000
Persona = Annotated[str, Path(description="Name of the persona, as the loop's voice says.")]


class UndoBody(Body):
    """Which revision to return to, and why; the reason is kept, so it must name nobody.

    Attributes:
        to: its number; absent: the last one that differs.
        seen: the newest revision that you have looked at; another one by now is a conflict.
    """

    reason: ShortReason
    to: Annotated[Whole, Field(ge=1)] | None = None
    seen: Annotated[Whole, Field(ge=1)] | None = None


class TraitBody(Body):
    """By how much a trait should move, and why; damped and capped as feedback is."""

    trait: Annotated[str, Field(min_length=1, max_length=63)]
    adjustment: Annotated[Number, Field(ge=-1, le=1)]
    reason: ShortReason


BODIES = (UndoBody, TraitBody)
_UNDO = TypeAdapter(UndoBody)
_TRAIT = TypeAdapter(TraitBody)


@router.get(
    "/api/ml/personas/{persona}",
    response_model=PersonaAnswer,
    responses=problems(404),
    summary="A persona as it speaks now",
)
async def read_persona(request: Request, persona: Persona) -> PersonaAnswer:
    """Traits, what it remembers of nobody in particular, and the prompt that they become. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    return await run_in_threadpool(_shown, service, _voice(service, persona), caller.tenant)


@router.get(
    "/api/ml/personas/{persona}/revisions",
    response_model=Revisions,
    responses=problems(404),
    summary="What changed a persona",
)
async def read_revisions(
    request: Request,
    persona: Persona,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Revisions at most.")] = 100,
) -> Revisions:
    """Every change with its cause, newest first. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    name = _voice(service, persona).persona

    def read() -> Revisions:
        found = service.workspace.personas.revisions(name, None, caller.tenant, limit)
        return Revisions(revisions=[revision_answer(each) for each in found])

    return await run_in_threadpool(read)


@router.post(
    "/api/ml/personas/{persona}/undo",
    response_model=PersonaAnswer,
    responses=problems(404, 409),
    openapi_extra=body_of(UndoBody),
    summary="Undo a change of a persona",
)
async def undo_revision(request: Request, persona: Persona) -> PersonaAnswer:
    """Return to an earlier revision, byte for byte; undoing that returns to the later one.
    Scope: deploy."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _UNDO)
    spec = _voice(service, persona)

    def undone() -> PersonaAnswer:
        now = datetime.now(UTC)
        undo_change(
            *(service.workspace, spec, body.to, caller.actor, body.reason, now, caller.tenant),
            body.seen,
        )
        return _shown(service, spec, caller.tenant)

    return await run_in_threadpool(undone)


@router.post(
    "/api/ml/personas/{persona}/traits",
    response_model=PersonaAnswer,
    responses=problems(404, 409),
    openapi_extra=body_of(TraitBody),
    summary="Move a trait of a persona",
)
async def adjust_trait(request: Request, persona: Persona) -> PersonaAnswer:
    """Adjust a trait by hand, damped and capped as feedback is. Scope: deploy."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _TRAIT)
    spec = _voice(service, persona)

    def moved() -> PersonaAnswer:
        now = datetime.now(UTC)
        told = (body.trait, body.adjustment, caller.actor, body.reason, now, caller.tenant)
        adjust(service.workspace, spec, *told)
        return _shown(service, spec, caller.tenant)

    return await run_in_threadpool(moved)


def _voice(service: Service, persona: str) -> VoiceSpec:
    known = voices_of(service.loops)
    if persona not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ShouldNameKnownId(
            f"No loop of this service has a persona {persona!r}.", f"It has: {names}."
        )
    return known[persona]


def _shown(service: Service, spec: VoiceSpec, tenant: str) -> PersonaAnswer:
    newest = service.workspace.personas.newest(spec.persona, None, tenant)
    return persona_answer(spec, newest, tenant)
