"""Asking for synthetic people: what is checked before a job is queued."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime

from everloop.contracts.errors import ShouldCollectMoreData
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import (
    EARLIEST_DAY,
    AugmentParameters,
    FileFormat,
    GenerateParameters,
    Parameters,
    SyntheticJob,
    UsedRelease,
)
from everloop.sdk.synthetic.sources import releases_of
from everloop.wiring import Workspace

SEED = 0
EDGE_SHARE = 0.05
VARIANCE = 1.0
DAYS = 30
COPIES = 1


def ask_generate(
    workspace: Workspace,
    spec: LoopSpec,
    tenant: str,
    actor: str,
    n: int,
    *,
    seed: int = SEED,
    edge_share: float = EDGE_SHARE,
    variance: float = VARIANCE,
    days: int = DAYS,
    form: FileFormat = FileFormat.PARQUET,
    start: date | None = None,
    job_id: str | None = None,
) -> SyntheticJob:
    """Queue a generation from the newest private releases, or find the job that this repeats.

    Args:
        actor: whom the audit log names.
        start: day 0 of the simulated interactions; by default the day of the profiles' release.
        job_id: a UUID made by the caller; the same one again is the same job.
        n, seed, edge_share, variance, days, form: see ``GenerateParameters``.

    Raises:
        ShouldFixArgument: a parameter is out of range.
        ShouldCollectMoreData: there is no release to draw from.
        ShouldResolveConflict: ``job_id`` asked for something else.
        ShouldSlowDown: too many jobs wait.
    """
    known = start or _start_of(workspace, tenant, job_id)
    parameters = GenerateParameters(
        n=n,
        seed=seed,
        edge_share=edge_share,
        variance=variance,
        days=days,
        format=form,
        start=known or EARLIEST_DAY,
    )
    releases = releases_of(workspace, spec, tenant)
    if known is None:
        parameters = replace(parameters, start=releases[0].logical_date)
    return _request(workspace, spec, tenant, actor, parameters, releases, n, job_id)


def ask_augment(
    workspace: Workspace,
    spec: LoopSpec,
    tenant: str,
    actor: str,
    *,
    per_person: int = COPIES,
    seed: int = SEED,
    logical_date: date | None = None,
    job_id: str | None = None,
) -> SyntheticJob:
    """Queue an augmentation of consenting people's data, which stays in the workspace.

    Args:
        logical_date: the day up to which episodes are read; by default that of the newest user model.

    Raises:
        ShouldFixArgument, ShouldResolveConflict, ShouldSlowDown: as ``ask_generate``.
        ShouldCollectMoreData: no day is given and nothing was ever released.
    """
    day = logical_date
    if day is None:
        latest = workspace.ledger.latest_release(f"{spec.name}/{tenant}", "user_model", date.max)
        if latest is None:
            raise ShouldCollectMoreData(
                f"Loop {spec.name} of tenant {tenant} has learned for no day yet.",
                "Name a day whose log is to be read, or run the daily graph first.",
            )
        day = latest[0].logical_date
    parameters = AugmentParameters(per_person=per_person, seed=seed, logical_date=day)
    return _request(workspace, spec, tenant, actor, parameters, (), 0, job_id)


def _start_of(workspace: Workspace, tenant: str, job_id: str | None) -> date | None:
    """Day 0 of the job that an id repeats: a release made since must not make it another request."""
    if job_id is None or workspace.tenancy.owner("synthetic_job", job_id) != tenant:
        return None
    parameters = workspace.synthetic_jobs.job(job_id, tenant).parameters
    return parameters.start if isinstance(parameters, GenerateParameters) else None


def _request(
    workspace: Workspace,
    spec: LoopSpec,
    tenant: str,
    actor: str,
    parameters: Parameters,
    releases: tuple[UsedRelease, ...],
    total: int,
    job_id: str | None,
) -> SyntheticJob:
    return workspace.synthetic_jobs.request(
        SyntheticJob(
            job_id=job_id or str(uuid.uuid4()),
            tenant=tenant,
            loop=spec.name,
            state=JobState.QUEUED,
            requested_by=actor,
            parameters=parameters,
            spec_sha256=spec.checksum,
            created_at=datetime.now(UTC),
            releases=releases,
            total=total,
        )
    )
