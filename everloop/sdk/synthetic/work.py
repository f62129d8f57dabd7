"""A job's work: chunk after chunk, each stored before the next, continued by whoever holds the job."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from everloop.contracts.errors import ShouldResolveConflict, ShouldWaitForWorker
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource, SyntheticProfile
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import (
    AugmentParameters,
    GenerateParameters,
    JobOutput,
    SyntheticJob,
)
from everloop.sdk.synthetic.sources import consented_episodes, released_file, user_model_of
from everloop.wiring import Workspace

FOLDER = "synthetic"
"""Within the workspace: a folder of parts for each job that is not finished."""
_ROWS = 100
"""Rows of a transaction: while one is open, a service that shares the file stores nothing."""

Tell = Callable[[int, int], None]
"""Called with (profiles done, profiles in all; 0 while unknown)."""


def _silent(_: int, __: int) -> None:
    """Report nothing."""


@contextlib.contextmanager
def working_on(workspace: Workspace, job_id: str) -> Iterator[None]:
    """Hold a job against other processes of this machine; a process that dies lets it go.

    Raises:
        ShouldWaitForWorker: another process works on it.
    """
    folder = workspace.home / FOLDER / job_id
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ShouldWaitForWorker(
                f"Another process works on synthetic job {job_id}.", "Wait for it."
            ) from None
        yield


def carry_out(
    workspace: Workspace, spec: LoopSpec, job: SyntheticJob, worker: str, tell: Tell = _silent
) -> SyntheticJob:
    """Do what is left of a claimed job and store its end; within ``working_on``.

    Args:
        spec: the loop as it was when the job was asked for.
        job: claimed by ``worker``.
        tell: hears how far it is.

    Returns:
        The job as it is stored: succeeded, with the files of a generation.

    Raises:
        ShouldResolveConflict: the loop has changed.
        ShouldWaitForWorker: another worker took the job over.
        EverloopError: what else went wrong; the job is still this worker's.
    """
    if job.spec_sha256 != spec.checksum:
        raise ShouldResolveConflict(
            f"Loop {spec.name} has changed since synthetic job {job.job_id} was asked for.",
            "Ask for a new job.",
        )
    folder = workspace.home / FOLDER / job.job_id
    if isinstance(job.parameters, GenerateParameters):
        outputs, done = _generate(workspace, spec, job, job.parameters, worker, folder, tell)
    else:
        outputs, done = (), _augment(workspace, spec, job, job.parameters, worker, tell)
    ended = replace(
        job,
        state=JobState.SUCCEEDED,
        finished_at=datetime.now(UTC),
        outputs=outputs,
        done=done,
        total=done,
        error="",
    )
    if not workspace.synthetic_jobs.finish(ended, worker):
        raise _taken_over(job)
    _sweep(workspace)
    return workspace.synthetic_jobs.job(job.job_id, job.tenant)


def _generate(
    workspace: Workspace,
    spec: LoopSpec,
    job: SyntheticJob,
    asked: GenerateParameters,
    worker: str,
    folder: Path,
    tell: Tell,
) -> tuple[tuple[JobOutput, ...], int]:
    from rl.encoders import layout
    from synthetic.generation.chunks import Generation
    from synthetic.generation.files import PartFiles
    from synthetic.profiles.augmentation import require_generated
    from synthetic.profiles.statistics import load_statistics

    encoding = layout(spec)
    statistics = load_statistics(released_file(workspace, spec, job, "profiles"), encoding)
    model = user_model_of(workspace, spec, job)
    generation = Generation(spec, encoding, statistics, model, asked)
    release_id = statistics.facts.release_id
    parts = PartFiles(folder, asked.format, release_id)
    done = 0
    for number in range(generation.chunks):
        if parts.rows(number) is None:
            rows = list(generation.make(number))
            # The table first: a part that is there says that its rows are in the table too.
            for start in range(0, len(rows), _ROWS):
                some = (row.profile for row in rows[start : start + _ROWS])
                checked = require_generated(some, release_id)
                workspace.profiles.append(checked, spec.name, job.tenant)
            parts.write(number, rows)
        done += generation.size_of(number)
        _advance(workspace, job, worker, done, asked.n, tell)
    whole = parts.join(generation.chunks)
    url, sha256 = workspace.blobs.put(whole)
    return (JobOutput(whole.name, url, sha256, done, whole.stat().st_size),), done


def _augment(
    workspace: Workspace,
    spec: LoopSpec,
    job: SyntheticJob,
    asked: AugmentParameters,
    worker: str,
    tell: Tell,
) -> int:
    from rl.encoders import layout
    from synthetic.profiles.augmentation import augment

    episodes = consented_episodes(workspace, spec, job.tenant, asked.logical_date)
    workspace.profiles.remove(spec.name, (ProfileSource.AUGMENTED, ProfileSource.REAL), job.tenant)
    rows: Iterator[SyntheticProfile] = iter(
        augment(spec, layout(spec), episodes, asked.per_person, asked.seed)
    )
    done = 0
    while chunk := list(islice(rows, _ROWS)):
        workspace.profiles.append(chunk, spec.name, job.tenant)
        done += len(chunk)
        _advance(workspace, job, worker, done, 0, tell)
    return done


def _sweep(workspace: Workspace) -> None:
    """Remove the parts of jobs that have ended; nobody continues those."""
    for folder in (workspace.home / FOLDER).iterdir():
        tenant = workspace.tenancy.owner("synthetic_job", folder.name)
        if tenant is None or not workspace.synthetic_jobs.job(folder.name, tenant).open:
            shutil.rmtree(folder, ignore_errors=True)


def _advance(
    workspace: Workspace, job: SyntheticJob, worker: str, done: int, total: int, tell: Tell
) -> None:
    now = datetime.now(UTC)
    if not workspace.synthetic_jobs.progress(job.job_id, worker, done, total, now):
        raise _taken_over(job)
    tell(done, total)


def _taken_over(job: SyntheticJob) -> ShouldWaitForWorker:
    return ShouldWaitForWorker(
        f"Synthetic job {job.job_id} was taken over by another worker.", "Wait for it."
    )
