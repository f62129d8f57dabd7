"""``/api/ml/voice``: text that people give a voice, its versions, and what was made of what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import Scope
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import worked_on
from everloop.serving.service import service_of
from everloop.serving.voice_bodies import (
    PACKAGES,
    PackagesBody,
    SourceInstances,
    StoredPackages,
    VoiceVersions,
    instance_row,
    package_of_body,
    version_row,
)

router = APIRouter(tags=["voice"])
BODIES = (PackagesBody,)


@router.post(
    "/api/ml/voice/packages",
    status_code=201,
    response_model=StoredPackages,
    responses=problems(409),
    openapi_extra=body_of(PackagesBody),
    summary="Give a person's own text: all is stored, or none",
)
async def give_packages(request: Request) -> StoredPackages:
    """Store up to two hundred packages; the same again changes nothing. Nobody's who refused training, or
    was erased and has not allowed it since: such a request is refused with 403. Scope: ingest."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.INGEST)
    bodies, large = await PACKAGES.received(request)
    service.limits.admit(caller.tenant, len(bodies))
    now, pseudonyms = datetime.now(UTC), service.workspace.pseudonyms
    packages = await worked_on(
        large, lambda: [package_of_body(each, caller, pseudonyms, now) for each in bodies]
    )
    new = await run_in_threadpool(service.workspace.voices.add_packages, packages, caller.actor)
    return StoredPackages(stored=sum(new), known=len(new) - sum(new))


@router.get(
    "/api/ml/voice/versions",
    response_model=VoiceVersions,
    responses=problems(),
    summary="The versions of a voice",
)
async def list_versions(
    request: Request,
    persona: Annotated[str, Query(min_length=1, max_length=256, description="Of this persona.")],
    user_id: Annotated[
        str | None,
        Query(min_length=1, max_length=256, description="Whose twin; the product's own id."),
    ] = None,
) -> VoiceVersions:
    """Every adapter of a persona, newest first, with its status and what it is to forget. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    workspace, tenant = service.workspace, caller.tenant
    person = None if user_id is None else workspace.pseudonyms.of(user_id, tenant)

    def read() -> VoiceVersions:
        found = workspace.voices.versions(persona, person, tenant, references=False)
        return VoiceVersions(versions=[version_row(each) for each in found])

    return await run_in_threadpool(read)


@router.get(
    "/api/ml/voice/sources/{source_id}/instances",
    response_model=SourceInstances,
    responses=problems(),
    summary="What a voice learned from a feedback or a package",
)
async def list_instances(
    request: Request,
    source_id: Annotated[
        str, Path(max_length=256, description="A feedback, package, corpus row or test run.")
    ],
) -> SourceInstances:
    """Every training instance that was made of a source, each with all its sources. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)

    def read() -> SourceInstances:
        found = service.workspace.voices.instances_of(source_id, caller.tenant)
        return SourceInstances(instances=[instance_row(each) for each in found])

    return await run_in_threadpool(read)
