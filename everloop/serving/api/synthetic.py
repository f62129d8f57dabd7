"""``/api/ml/synthetic``: people who do not exist, made from private releases by jobs.

What may be downloaded was drawn from private releases alone. Augmentations hold real people's data: they
stay in the workspace, and no route gives them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import Field, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldStayInside,
)
from everloop.contracts.synthetic_jobs import (
    LARGEST_SEED,
    LARGEST_VARIANCE,
    MOST_COPIES,
    MOST_JOURNEY_DAYS,
    MOST_PROFILES,
    FileFormat,
    SyntheticJob,
    SyntheticKind,
)
from everloop.sdk.synthetic import asking
from everloop.sdk.synthetic.people import generated
from everloop.sdk.synthetic.stats import stats_of
from everloop.serving import bodies
from everloop.serving.jobs.finding import JobFinder
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of
from everloop.serving.synthetic.shown import (
    SyntheticJobState,
    SyntheticJobStates,
    SyntheticStatsShown,
    job_shown,
    stats_shown,
)

router = APIRouter(tags=["synthetic people"])

MOST_JOBS = 500
_JOBS: JobFinder[SyntheticJob] = JobFinder(
    "synthetic_job",
    "synthetic job",
    "/api/ml/synthetic/jobs",
    lambda place, known, tenant: place.synthetic_jobs.job(known, tenant),
)
_MEDIA = {
    FileFormat.PARQUET: "application/vnd.apache.parquet",
    FileFormat.JSON: "application/x-ndjson",
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the file: Parquet (zstd), or one JSON object a line",
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}} for media in _MEDIA.values()
        },
    }
}
Day = date
Seed = Annotated[bodies.Whole, Field(ge=0, le=LARGEST_SEED)]
JobId = Annotated[
    str,
    Field(
        min_length=32,
        max_length=45,
        description="a UUID, made once: the same request sent twice is one job",
    ),
]


class GenerateBody(bodies.Body):
    """Which people to make."""

    n: Annotated[bodies.Whole, Field(ge=1, le=MOST_PROFILES)]
    """How many."""
    loop: bodies.Word | None = None
    """The loop; may be left out where the service has one."""
    seed: Seed = asking.SEED
    """The same request gives the same file; drawing spends no privacy."""
    edge_share: Annotated[bodies.Number, Field(ge=0, le=1)] = asking.EDGE_SHARE
    """Share of diverse edge cases; the file marks them."""
    variance: Annotated[bodies.Number, Field(gt=0, le=LARGEST_VARIANCE)] = asking.VARIANCE
    """Spread around the released distribution; 1: as released."""
    days: Annotated[bodies.Whole, Field(ge=1, le=MOST_JOURNEY_DAYS)] = asking.DAYS
    """Days of simulated interactions."""
    format: FileFormat = FileFormat.PARQUET
    start: Day | None = None
    """Day 0 of the interactions; by default the day of the release."""
    job_id: JobId | None = None


class AugmentBody(bodies.Body):
    """Whose data to vary: everybody's who allows training."""

    loop: bodies.Word | None = None
    """The loop; may be left out where the service has one."""
    per_person: Annotated[bodies.Whole, Field(ge=1, le=MOST_COPIES)] = asking.COPIES
    """Variations of each person."""
    seed: Seed = asking.SEED
    date: Day | None = None
    """The day up to which the log is read; by default that of the newest user model."""
    job_id: JobId | None = None


BODIES = (GenerateBody, AugmentBody)
_GENERATE = TypeAdapter(GenerateBody)
_AUGMENT = TypeAdapter(AugmentBody)


@router.post(
    "/api/ml/synthetic/generate",
    status_code=202,
    response_model=SyntheticJobState,
    responses=problems(404, 409),
    openapi_extra=body_of(GenerateBody),
    summary="Make synthetic people",
)
async def generate(request: Request) -> SyntheticJobState:
    """Queue a job that draws people and simulates their days; the same request is the same job.

    A conflict where the loop has no private releases yet: run the daily graph first. Scope: train.
    """
    service, caller = await _admitted(request, Scope.TRAIN)
    asked = await read_body(request, _GENERATE)
    return await run_in_threadpool(_generate, service, caller, asked)


@router.post(
    "/api/ml/synthetic/augment",
    status_code=202,
    response_model=SyntheticJobState,
    responses=problems(404, 409),
    openapi_extra=body_of(AugmentBody, required=False),
    summary="Augment consenting people's data",
)
async def augment(request: Request) -> SyntheticJobState:
    """Queue a job that turns consenting people's data into profiles and variations of them.

    They are marked ``real`` and ``augmented``, stay inside the workspace, and replace those of an earlier
    augmentation of the loop; no route gives them. Scope: train.
    """
    service, caller = await _admitted(request, Scope.TRAIN)
    asked = await read_body(request, _AUGMENT, empty=AugmentBody())
    return await run_in_threadpool(_augment, service, caller, asked)


@router.get(
    "/api/ml/synthetic/jobs",
    response_model=SyntheticJobStates,
    responses=problems(404),
    summary="Synthetic jobs",
)
async def synthetic_jobs(
    request: Request,
    loop: Annotated[str | None, Query(description="Of this loop alone.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS, description="Jobs at most.")] = 50,
) -> SyntheticJobStates:
    """Synthetic jobs of the caller's tenant, newest first. Scope: read."""
    service, caller = await _admitted(request, Scope.READ)
    name = None if loop is None else service.loop(loop).name
    store = service.workspace.synthetic_jobs
    found = await run_in_threadpool(store.jobs, name, limit, caller.tenant)
    return SyntheticJobStates(jobs=[job_shown(job, service.config.train) for job in found])


@router.get(
    "/api/ml/synthetic/jobs/{job_id}",
    response_model=SyntheticJobState,
    responses=problems(404),
    summary="How a synthetic job goes",
)
async def synthetic_job(request: Request, job_id: str) -> SyntheticJobState:
    """One synthetic job of the caller's tenant. Scope: read."""
    service, caller = await _admitted(request, Scope.READ)
    job = await run_in_threadpool(_JOBS.find, service.workspace, job_id, caller.tenant)
    return job_shown(job, service.config.train)


@router.get(
    "/api/ml/synthetic/jobs/{job_id}/file",
    response_class=FileResponse,
    responses=_FILE | problems(404, 409),
    summary="Download generated people",
)
async def synthetic_file(request: Request, job_id: str) -> FileResponse:
    """The file of a generation that has succeeded; the download is audited. Scope: read.

    A conflict before it has, and always for an augmentation, whose people are real.
    """
    service, caller = await _admitted(request, Scope.READ)
    return await run_in_threadpool(_file, service, caller, job_id)


@router.get(
    "/api/ml/synthetic/stats",
    response_model=SyntheticStatsShown,
    responses=problems(404),
    summary="What there is of synthetic people",
)
async def synthetic_stats(
    request: Request,
    loop: Annotated[
        str | None, Query(description="The loop; may be left out where the service has one.")
    ] = None,
) -> SyntheticStatsShown:
    """Profiles by source and release, the budget, and quality figures that were paid for. Scope: read."""
    service, caller = await _admitted(request, Scope.READ)
    spec = service.loop(loop)
    return stats_shown(await run_in_threadpool(stats_of, service.workspace, spec, caller.tenant))


async def _admitted(request: Request, scope: Scope) -> tuple[Service, Caller]:
    service = service_of(request)
    caller = await service.access.admit(request, scope)
    service.limits.admit(caller.tenant)
    return service, caller


def _generate(service: Service, caller: Caller, asked: GenerateBody) -> SyntheticJobState:
    job = asking.ask_generate(
        service.workspace,
        service.loop(asked.loop),
        caller.tenant,
        caller.actor,
        asked.n,
        seed=asked.seed,
        edge_share=asked.edge_share,
        variance=asked.variance,
        days=asked.days,
        form=asked.format,
        start=asked.start,
        job_id=_own_id(service, caller, asked.job_id),
    )
    return _queued(service, job)


def _augment(service: Service, caller: Caller, asked: AugmentBody) -> SyntheticJobState:
    job = asking.ask_augment(
        service.workspace,
        service.loop(asked.loop),
        caller.tenant,
        caller.actor,
        per_person=asked.per_person,
        seed=asked.seed,
        logical_date=asked.date,
        job_id=_own_id(service, caller, asked.job_id),
    )
    return _queued(service, job)


def _queued(service: Service, job: SyntheticJob) -> SyntheticJobState:
    service.synthetic.look()
    return job_shown(job, service.config.train)


def _own_id(service: Service, caller: Caller, job_id: str | None) -> str | None:
    """The canonical form of a job's id that is free or the caller's."""
    if job_id is None:
        return None
    try:
        known = canonical_uuid(job_id)
    except ValueError:
        raise ShouldFixArgument(f"job_id={job_id!r} is no UUID.", "Make one once.") from None
    if service.workspace.tenancy.owner("synthetic_job", known) not in (None, caller.tenant):
        raise _JOBS.of_another(known)
    return known


def _file(service: Service, caller: Caller, job_id: str) -> FileResponse:
    job = _JOBS.find(service.workspace, job_id, caller.tenant)
    if job.kind is SyntheticKind.AUGMENT:
        raise ShouldStayInside(
            f"Synthetic job {job.job_id} is an augmentation: real people's data stays inside.",
            "Generate people instead: POST /api/ml/synthetic/generate.",
        )
    if not job.outputs:
        raise ShouldResolveConflict(
            f"Synthetic job {job.job_id} is {job.state}: it has no file.",
            f"Ask again when GET /api/ml/synthetic/jobs/{job.job_id} says succeeded.",
        )
    made = generated(service.workspace, job)
    service.workspace.audit.append(
        caller.tenant, caller.actor, "synthetic.download", job.job_id, made.rows
    )
    form = FileFormat.PARQUET if job.outputs[0].name.endswith(".parquet") else FileFormat.JSON
    return FileResponse(
        made.path,
        media_type=_MEDIA[form],
        filename=f"{job.loop}-{job.outputs[0].name}",
        headers={"ETag": f'"{made.sha256}"', "X-Everloop-SHA256": made.sha256},
    )
