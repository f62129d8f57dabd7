"""``generate_profiles`` and ``augment_people``: synthetic people made in this process.

>>> from everloop import sdk
>>> made = sdk.generate_profiles("companion", 10_000, seed=7)          # doctest: +SKIP
>>> made.path, made.rows                                               # doctest: +SKIP
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldWaitForWorker
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ProfileSource
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import FileFormat, SyntheticJob
from everloop.loops import load
from everloop.sdk.synthetic.asking import (
    COPIES,
    DAYS,
    EDGE_SHARE,
    SEED,
    VARIANCE,
    ask_augment,
    ask_generate,
)
from everloop.sdk.synthetic.output import put, require_place
from everloop.sdk.synthetic.work import Tell, _silent, carry_out, working_on
from everloop.wiring import Workspace, open_workspace

ACTOR = "sdk:local"
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class GeneratedProfiles:
    """A finished generation.

    Attributes:
        job: what was asked for, from which releases, and when.
        path: the file: ``--output``, or a read-only one in the workspace's blob store.
        rows: profiles in it.
        sha256: its checksum; the same request gives the same.
    """

    job: SyntheticJob
    path: Path
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AugmentedPeople:
    """A finished augmentation; its profiles are in the workspace alone.

    Attributes:
        counts: source -> profiles of the loop.
    """

    job: SyntheticJob
    rows: int
    counts: dict[str, int]


def generate_profiles(
    loop: str,
    n: int,
    *,
    seed: int = SEED,
    edge_share: float = EDGE_SHARE,
    variance: float = VARIANCE,
    days: int = DAYS,
    format: Literal["parquet", "json"] = "parquet",  # noqa: A002  (as the service calls it)
    start: date | None = None,
    output: Path | str | None = None,
    overwrite: bool = False,
    home: Path | str | None = None,
    tenant: str = "default",
    actor: str = ACTOR,
    progress: Tell = _silent,
) -> GeneratedProfiles:
    """Make people who do not exist, each with days of simulated interactions.

    Drawn from the loop's newest private releases: it spends no privacy, and the same call gives the
    same file. A call that was killed goes on where it was when it is repeated.

    Args:
        loop: a shipped loop, or the path of a YAML file.
        n: how many people, up to 1,000,000.
        seed: of everything drawn.
        edge_share: share of marked edge cases, in [0, 1].
        variance: spread around the released distribution; 1 as released, above 1 more diverse.
        days: of interactions, up to 366.
        format: ``parquet`` (zstd) or ``json`` (lines).
        start: day 0; by default the day of the release.
        output: where to copy the file.
        overwrite: whether it may replace one that is there.
        home, tenant: the workspace and whose people.
        actor: whom the audit log names.
        progress: called with (profiles done, profiles in all).

    Raises:
        ShouldFixArgument: a parameter is out of range, or ``output`` cannot be written.
        ShouldCollectMoreData: the loop has no private releases yet.
        ShouldRestoreArtefact: a release is damaged or of another specification.
    """
    workspace, spec = open_workspace(home), load(loop)
    if output is not None:
        require_place(Path(output), overwrite)
    job = ask_generate(
        workspace,
        spec,
        tenant,
        actor,
        n,
        seed=seed,
        edge_share=edge_share,
        variance=variance,
        days=days,
        form=_format(format),
        start=start,
    )
    return generated(workspace, _ended(workspace, spec, job, progress), output)


def augment_people(
    loop: str,
    *,
    per_person: int = COPIES,
    seed: int = SEED,
    logical_date: date | None = None,
    home: Path | str | None = None,
    tenant: str = "default",
    actor: str = ACTOR,
    progress: Tell = _silent,
) -> AugmentedPeople:
    """Turn consenting people's data into profiles and variations, for use inside the boundary.

    Nothing of it is ever exported: there is no file, and the rows stay in the workspace. An earlier
    augmentation of the loop is replaced.

    Args:
        per_person: variations of each person, up to 100.
        logical_date: the day up to which episodes are read; by default that of the newest user model.
        loop, seed, home, tenant, actor, progress: as ``generate_profiles``.

    Raises:
        ShouldCollectMoreData: nobody's data may be used.
    """
    workspace, spec = open_workspace(home), load(loop)
    job = ask_augment(
        workspace,
        spec,
        tenant,
        actor,
        per_person=per_person,
        seed=seed,
        logical_date=logical_date,
    )
    ended = _ended(workspace, spec, job, progress)
    counts = workspace.profiles.counts(spec.name, tenant)
    named = {source.value: counts.get(source, 0) for source in ProfileSource}
    return AugmentedPeople(ended, ended.done, named)


def generated(
    workspace: Workspace, job: SyntheticJob, output: Path | str | None = None
) -> GeneratedProfiles:
    """A succeeded generation's file, copied to ``output`` where one is named.

    Raises:
        ShouldFixArgument: the job has not made a file, or ``output`` cannot be written.
        ShouldRestoreArtefact: the file is gone or damaged.
    """
    if not job.outputs:
        raise ShouldFixArgument(
            f"Synthetic job {job.job_id} ({job.kind}, {job.state}) has no file.",
            "Choose a generation that has succeeded.",
        )
    made = job.outputs[0]
    path = workspace.blobs.fetch(made.url, made.sha256)
    if output is not None:
        path = put(path, Path(output))
    return GeneratedProfiles(job, path, made.rows, made.sha256)


def work_on(
    workspace: Workspace, spec: LoopSpec, job: SyntheticJob, progress: Tell = _silent
) -> SyntheticJob:
    """Claim an open job and carry it out here; the job as it ended.

    The job's folder is held meanwhile, so whoever held it before on this machine has died.

    Raises:
        ShouldWaitForWorker: another process works on it.
        EverloopError: why it failed, which the job says too.
    """
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    jobs = workspace.synthetic_jobs
    with working_on(workspace, job.job_id):
        claimed = jobs.claim(name, datetime.now(UTC), 0.0, job_id=job.job_id)
        if claimed is None:
            found = jobs.job(job.job_id, job.tenant)
            if found.open:
                raise ShouldWaitForWorker(f"Synthetic job {job.job_id} is held.", "Wait for it.")
            return found
        try:
            return carry_out(workspace, spec, claimed, name, progress)
        except ShouldWaitForWorker:
            raise
        except EverloopError as problem:
            failed = replace(claimed, state=JobState.FAILED, error=str(problem))
            jobs.finish(replace(failed, finished_at=datetime.now(UTC)), name)
            raise
        except Exception:
            words = "It failed unexpectedly: the log of the process that worked on it says why."
            failed = replace(claimed, state=JobState.FAILED, error=words)
            jobs.finish(replace(failed, finished_at=datetime.now(UTC)), name)
            raise
        except KeyboardInterrupt:
            back = replace(claimed, state=JobState.QUEUED, attempts=claimed.attempts - 1)
            jobs.finish(back, name)
            raise


def _ended(workspace: Workspace, spec: LoopSpec, job: SyntheticJob, progress: Tell) -> SyntheticJob:
    """The job once it has ended: carried out here, or watched where another process has it."""
    while job.open:
        try:
            job = work_on(workspace, spec, job, progress)
        except ShouldWaitForWorker:
            job = workspace.synthetic_jobs.job(job.job_id, job.tenant)
            progress(job.done, job.total)
            if job.open:
                time.sleep(_POLL_S)
    if job.state is JobState.FAILED:
        raise ShouldFixArgument(
            f"Synthetic job {job.job_id} failed: {job.error}", "Ask for a new one."
        )
    return job


def _format(name: str) -> FileFormat:
    try:
        return FileFormat(name)
    except ValueError:
        raise ShouldFixArgument(
            f"format={name!r} is none of {', '.join(FileFormat)}.", "Choose one of them."
        ) from None
