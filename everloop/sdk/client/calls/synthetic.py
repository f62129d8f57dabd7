"""Requests about synthetic people, and what waits for them and fetches them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.sdk.client.answers.synthetic import SyntheticJob, SyntheticJobs, SyntheticStats
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.delivery import Delivery
from everloop.sdk.client.reading import read_as
from everloop.sdk.client.retry import Blocking, Pause, Steps

_JOBS = "/api/ml/synthetic/jobs"


def generate_people(
    n: int,
    loop: str | None,
    seed: int | None,
    edge_share: float | None,
    variance: float | None,
    days: int | None,
    form: str | None,
    start: date | None,
    job_id: str,
) -> Call[SyntheticJob]:
    """``POST /api/ml/synthetic/generate``; what is left out is as the service has it."""
    route = "/api/ml/synthetic/generate"
    asked = {
        "n": n,
        "loop": loop,
        "seed": seed,
        "edge_share": edge_share,
        "variance": variance,
        "days": days,
        "format": form,
        "start": start,
        "job_id": job_id,
    }
    return Call("POST", route, route, read_as(SyntheticJob), body=body_of(asked), ids=(job_id,))


def augment_people(
    loop: str | None, per_person: int | None, seed: int | None, day: date | None, job_id: str
) -> Call[SyntheticJob]:
    """``POST /api/ml/synthetic/augment``."""
    route = "/api/ml/synthetic/augment"
    asked = {"loop": loop, "per_person": per_person, "seed": seed, "date": day, "job_id": job_id}
    return Call("POST", route, route, read_as(SyntheticJob), body=body_of(asked), ids=(job_id,))


def synthetic_job(job_id: str) -> Call[SyntheticJob]:
    """``GET /api/ml/synthetic/jobs/{job_id}``."""
    route = f"{_JOBS}/{{job_id}}"
    return Call("GET", route, path_of(route, job_id=job_id), read_as(SyntheticJob))


def synthetic_jobs(loop: str | None, limit: int) -> Call[SyntheticJobs]:
    """``GET /api/ml/synthetic/jobs``."""
    return Call("GET", _JOBS, _JOBS, read_as(SyntheticJobs), params_of(loop=loop, limit=limit))


def synthetic_stats(loop: str | None) -> Call[SyntheticStats]:
    """``GET /api/ml/synthetic/stats``."""
    route = "/api/ml/synthetic/stats"
    return Call("GET", route, route, read_as(SyntheticStats), params_of(loop=loop))


def synthetic_file(job_id: str, into: Path) -> Call[None]:
    """``GET /api/ml/synthetic/jobs/{job_id}/file``, written to a file as it comes."""
    route = f"{_JOBS}/{{job_id}}/file"
    return Call("GET", route, path_of(route, job_id=job_id), lambda _: None, into=into)


def waited(
    delivery: Delivery,
    job_id: str,
    timeout: float,
    poll: float,
    progress: Callable[[SyntheticJob], None] | None,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[SyntheticJob]:
    """The job once it has ended.

    Raises:
        ShouldRetryLater: ``timeout`` seconds have passed; the job goes on.
    """
    give_up = clock() + timeout
    while True:
        job: SyntheticJob = yield from delivery.ask(synthetic_job(job_id))
        if progress is not None:
            progress(job)
        if job.ended:
            return job
        if clock() + poll > give_up:
            raise ShouldRetryLater(
                f"Synthetic job {job_id} is {job.state} after {timeout:g} s{_so_far(job)}. "
                f"{job.note}".strip(),
                "Wait for it again.",
            )
        yield Pause(poll)


def downloaded(delivery: Delivery, job_id: str, path: Path) -> Steps[Path]:
    """A finished generation's file at ``path``, once its checksum is right.

    Raises:
        ShouldFixArgument: the job has no file (yet, or because it is an augmentation).
        ShouldRestoreArtefact: what came is not what the job says.
    """
    job: SyntheticJob = yield from delivery.ask(synthetic_job(job_id))
    if not job.files:
        raise ShouldFixArgument(
            f"Synthetic job {job_id} ({job.kind}, {job.state}) has no file.",
            "Download a generation that has succeeded.",
        )
    partial = path.with_name(f".{path.name}.{job_id}")
    try:
        yield from delivery.ask(synthetic_file(job_id, partial))
        found: str = yield Blocking(lambda: _sha256_of(partial))
        if found != job.files[0].sha256:
            raise ShouldRestoreArtefact(
                f"The file of synthetic job {job_id} has SHA-256 {found}, not "
                f"{job.files[0].sha256}.",
                "Download it again.",
            )
        yield Blocking(lambda: partial.replace(path))
    finally:
        partial.unlink(missing_ok=True)
    return path


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _so_far(job: SyntheticJob) -> str:
    return "" if job.done is None else f", {job.done} of {job.total or '?'} profiles done"
