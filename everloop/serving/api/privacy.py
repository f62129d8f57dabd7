"""``/api/rlhf/privacy``: what a person allows, what is kept of them, and forgetting them.

A product id in a query string ends up in the logs of proxies; the service itself writes no access log.
``POST /api/rlhf/privacy/export`` takes it in the body instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.episodes import Consent
from everloop.contracts.errors import ShouldAskForScope, ShouldFixArgument
from everloop.privacy.naming import names_person
from everloop.serving.bodies import Body, Person
from everloop.serving.consents import PURPOSES
from everloop.serving.openapi import body_of, problems
from everloop.serving.privacy_export import exported
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["privacy"])

_JSON_LINES = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": 'one row a line: `{"table": name, "row": {...}}`',
        "content": {_JSON_LINES: {"schema": {"type": "string"}}},
    }
}
PersonQuery = Annotated[
    str, Query(min_length=1, max_length=256, description="the product's own id; hashed at once")
]


class ConsentBody(Body):
    """What a person came to allow, or withdrew from."""

    user_id: Person
    purpose: Literal["serve", "train"]
    granted: bool


class PersonBody(Body):
    user_id: Person


class ErasureBody(Body):
    """Whom to forget; ``reason`` goes into the audit log, so it must not name the person."""

    user_id: Person
    reason: Annotated[str, Field(max_length=200)] = ""


BODIES = (ConsentBody, PersonBody, ErasureBody)
_CONSENT = TypeAdapter(ConsentBody)
_PERSON = TypeAdapter(PersonBody)
_ERASURE = TypeAdapter(ErasureBody)


class ConsentRow(BaseModel):
    purpose: str
    granted: bool
    recorded_at: datetime


class ConsentState(BaseModel):
    """What a person allows now, and what they said, newest first; silence allows both."""

    serve: bool
    train: bool
    history: list[ConsentRow]


class ErasureAnswer(BaseModel):
    """What an erasure deleted and marked.

    Attributes:
        deleted: table -> rows; ``mentions``: decisions of others that named the person.
        datasets: versions that held the person; they are never used again.
        checkpoints: models that the person's data fed; they serve until the next one replaces them.
    """

    erasure_id: str
    recorded_at: datetime
    deleted: dict[str, int]
    datasets: list[str]
    checkpoints: list[str]


@router.get(
    "/api/rlhf/privacy/consent",
    response_model=ConsentState,
    responses=problems(),
    summary="What a person allows",
)
async def read_consent(request: Request, user_id: PersonQuery) -> ConsentState:
    """Scope: admin."""
    service, caller = await _admitted(request)
    return await run_in_threadpool(_consents, service, caller, user_id)


@router.put(
    "/api/rlhf/privacy/consent",
    response_model=ConsentState,
    responses=problems(),
    openapi_extra=body_of(ConsentBody),
    summary="Record that a person withdraws or allows",
)
async def record_consent(request: Request) -> ConsentState:
    """Scope: admin; a withdrawal needs ``ingest`` alone, so that products pass on what people say.

    It counts at once here, within a second in other processes, and in every dataset from now on.
    """
    service = service_of(request)
    refused = None
    try:
        caller = await service.access.admit(request, Scope.ADMIN)
    except ShouldAskForScope as problem:
        refused = problem
        caller = await service.access.admit(request, Scope.INGEST)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _CONSENT)
    if refused is not None and body.granted:
        raise refused
    return await run_in_threadpool(_record, service, caller, body)


@router.get(
    "/api/rlhf/privacy/export",
    response_class=StreamingResponse,
    responses=_LINES | problems(),
    summary="Everything that is kept of a person",
)
async def export_person(request: Request, user_id: PersonQuery) -> StreamingResponse:
    """JSON lines, streamed, with health fields opened; the reading is audited. Scope: admin."""
    service, caller = await _admitted(request)
    return _export(service, caller, user_id)


@router.post(
    "/api/rlhf/privacy/export",
    response_class=StreamingResponse,
    responses=_LINES | problems(),
    openapi_extra=body_of(PersonBody),
    summary="Everything that is kept of a person, without an id in the address",
)
async def export_named_person(request: Request) -> StreamingResponse:
    """As the GET form. Scope: admin."""
    service, caller = await _admitted(request)
    return _export(service, caller, (await read_body(request, _PERSON)).user_id)


@router.post(
    "/api/rlhf/privacy/erase",
    response_model=ErasureAnswer,
    responses=problems(),
    openapi_extra=body_of(ErasureBody),
    summary="Forget a person",
)
async def erase_person(request: Request) -> ErasureAnswer:
    """Delete the person's rows everywhere and mark what their data fed. Scope: admin.

    Whoever is erased again, with nothing left to delete, is answered with the first erasure. Refusals
    go on counting, and so does what the person's privacy has cost.
    """
    service, caller = await _admitted(request)
    body = await read_body(request, _ERASURE)
    return await run_in_threadpool(_erase, service, caller, body)


async def _admitted(request: Request) -> tuple[Service, Caller]:
    service = service_of(request)
    caller = await service.access.admit(request, Scope.ADMIN)
    service.limits.admit(caller.tenant)
    return service, caller


def _consents(service: Service, caller: Caller, user_id: str) -> ConsentState:
    person = service.workspace.pseudonyms.of(user_id, caller.tenant)
    rows = service.workspace.log.consents(person, caller.tenant)
    newest = dict.fromkeys(PURPOSES, True) | {row.purpose: row.granted for row in reversed(rows)}
    return ConsentState(
        serve=newest["serve"],
        train=newest["train"],
        history=[
            ConsentRow(purpose=row.purpose, granted=row.granted, recorded_at=row.recorded_at)
            for row in rows
        ],
    )


def _record(service: Service, caller: Caller, body: ConsentBody) -> ConsentState:
    person = service.workspace.pseudonyms.of(body.user_id, caller.tenant)
    consent = Consent(person, body.purpose, body.granted, datetime.now(UTC), caller.tenant)
    service.consents.record(consent, caller.actor)
    return _consents(service, caller, body.user_id)


def _export(service: Service, caller: Caller, user_id: str) -> StreamingResponse:
    person = service.workspace.pseudonyms.of(user_id, caller.tenant)
    return StreamingResponse(
        exported(service.workspace, caller, person),
        media_type=_JSON_LINES,
        headers={"Content-Disposition": 'attachment; filename="person.jsonl"'},
    )


def _erase(service: Service, caller: Caller, body: ErasureBody) -> ErasureAnswer:
    workspace = service.workspace
    if names_person(body.reason, body.user_id):
        raise ShouldFixArgument("The reason names the person.", "Say why without naming them.")
    person = workspace.pseudonyms.of(body.user_id, caller.tenant)
    record = workspace.people.erase(
        person, caller.actor, datetime.now(UTC), caller.tenant, body.reason
    )
    service.consents.refresh()
    return ErasureAnswer(
        erasure_id=record.erasure_id,
        recorded_at=record.recorded_at,
        deleted=dict(record.deleted),
        datasets=list(record.datasets),
        checkpoints=list(record.checkpoints),
    )
