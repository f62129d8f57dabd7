"""``/api/ml/train``: start training, and see how it goes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.serving import JobCause, JobState, TrainingJob
from everloop.serving import bodies
from everloop.serving.jobs.finding import JobFinder
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["training"])

MOST_JOBS = 500
_NO_TRAINING = (
    "This service was started with --no-train: the job waits for one that trains in this workspace."
)
Day = date


class TrainBody(bodies.Body):
    """What to train, and of which day."""

    loop: bodies.Word | None = None
    """The loop; may be left out where the service has one."""
    date: Day | None = None
    """The day to learn for, UTC; today when left out: what has happened so far is learned from."""


_JOBS: JobFinder[TrainingJob] = JobFinder(
    "job",
    "training job",
    "/api/ml/train",
    lambda place, known, tenant: place.jobs.job(known, tenant),
)
BODIES = (TrainBody,)
_TRAIN = TypeAdapter(TrainBody)


class Job(BaseModel):
    """One start of the daily graph."""

    job_id: str
    loop: str
    logical_date: date
    cause: JobCause
    """``episodes``: enough new ones; ``day``: time enough since the last; ``manual``: asked for."""
    state: JobState
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    """Last sign of life of the run; one that stays silent is taken over."""
    attempts: int
    run_id: str
    """The run's id, empty until it has ended."""
    error: str
    """Why the last attempt failed; empty when none did."""
    verdict: str
    """What the run ended in, from its record: ``continue: …`` or ``hold: …`` with the first reason."""
    note: str = ""
    """What whoever asked should know, such as that this service trains nothing itself."""


class Jobs(BaseModel):
    """Training jobs of the caller's tenant, newest first."""

    jobs: list[Job]


@router.post(
    "/api/ml/train",
    status_code=202,
    response_model=Job,
    responses=problems(404, 409),
    openapi_extra=body_of(TrainBody, required=False),
    summary="Start training",
)
async def train(request: Request) -> Job:
    """Ask for one run of the daily graph; the open one of that day is answered where there is one.

    A conflict while one of another day is open. Scope: train.

    The service does this by itself after 1,000 new episodes or a day (the loop's ``serving`` section).
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.TRAIN)
    service.limits.admit(caller.tenant)
    asked = await read_body(request, _TRAIN, empty=TrainBody())
    loop = service.loop(asked.loop).name
    day = asked.date or datetime.now(UTC).date()
    job = await run_in_threadpool(service.training.request, loop, caller.tenant, day, caller.actor)
    return await run_in_threadpool(_shown, service, job)


@router.get(
    "/api/ml/train/{job_id}",
    response_model=Job,
    responses=problems(404),
    summary="How a training job goes",
)
async def training_job(request: Request, job_id: str) -> Job:
    """One training job of the caller's tenant. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    job = await run_in_threadpool(_JOBS.find, service.workspace, job_id, caller.tenant)
    return await run_in_threadpool(_shown, service, job)


@router.get(
    "/api/ml/train",
    response_model=Jobs,
    responses=problems(404),
    summary="Training jobs",
)
async def training_jobs(
    request: Request,
    loop: Annotated[str | None, Query(description="Of this loop alone.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS, description="Jobs at most.")] = 50,
) -> Jobs:
    """Training jobs of the caller's tenant, newest first. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    name = None if loop is None else service.loop(loop).name
    found = await run_in_threadpool(_jobs, service, name, limit, caller.tenant)
    return Jobs(jobs=found)


def _jobs(service: Service, loop: str | None, limit: int, tenant: str) -> list[Job]:
    return [_shown(service, job) for job in service.workspace.jobs.jobs(loop, limit, tenant)]


def _verdict(service: Service, job: TrainingJob) -> str:
    if job.finished_at is None or not job.run_id:
        return ""
    try:
        record = service.workspace.runs.run(job.run_id)
    except ShouldFixArgument:
        return ""
    return record.verdict if record.tenant == job.tenant else ""


def _shown(service: Service, job: TrainingJob) -> Job:
    waits = job.state is JobState.QUEUED and not service.config.train
    return Job(
        job_id=job.job_id,
        loop=job.loop,
        logical_date=job.logical_date,
        cause=job.cause,
        state=job.state,
        requested_by=job.requested_by,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        heartbeat_at=job.heartbeat_at,
        attempts=job.attempts,
        run_id=job.run_id,
        error=job.error,
        verdict=_verdict(service, job),
        note=_NO_TRAINING if waits else "",
    )
