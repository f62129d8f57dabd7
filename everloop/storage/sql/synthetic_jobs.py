"""``SyntheticJobStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select

from everloop.contracts.episodes import Json
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldSlowDown,
)
from everloop.contracts.ports import Clock
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import (
    MOST_OPEN_JOBS,
    AugmentParameters,
    GenerateParameters,
    JobOutput,
    Parameters,
    SyntheticJob,
    SyntheticKind,
    UsedRelease,
)
from everloop.storage.local.clock import SystemClock
from everloop.storage.service_tables import synthetic_jobs
from everloop.storage.sql import leases
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import writing

_RETRY_S = 30.0
_PARAMETERS: Mapping[SyntheticKind, TypeAdapter[Any]] = {
    SyntheticKind.GENERATE: TypeAdapter(GenerateParameters),
    SyntheticKind.AUGMENT: TypeAdapter(AugmentParameters),
}
_RELEASES = TypeAdapter(tuple[UsedRelease, ...])
_OUTPUTS = TypeAdapter(tuple[JobOutput, ...])


class SqlSyntheticJobStore:
    """Jobs for synthetic people of one workspace.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the audit log.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def request(self, job: SyntheticJob) -> SyntheticJob:
        """See ``SyntheticJobStore``; ``ShouldFixArgument`` unless the job is queued."""
        if job.state is not JobState.QUEUED:
            raise ShouldFixArgument(f"Job {job.job_id} is {job.state}.", "Request a queued one.")
        with writing(self._engine) as connection:
            known = _same_id(connection, job) or _same_open(connection, job)
            if known is not None:
                return known
            connection.execute(insert(synthetic_jobs).values(worker=leases.NOBODY, **_values(job)))
            self._audit(connection, job, "synthetic.request", job.requested_by)
        return job

    def claim(
        self,
        worker: str,
        now: datetime,
        stale_after_s: float,
        loops: Sequence[str] | None = None,
        job_id: str | None = None,
    ) -> SyntheticJob | None:
        """See ``SyntheticJobStore``."""
        row = leases.claim(self._engine, synthetic_jobs, worker, now, stale_after_s, loops, job_id)
        return None if row is None else _job(row)

    def heartbeat(self, job_id: str, worker: str, now: datetime) -> bool:
        """See ``SyntheticJobStore``."""
        return leases.beat(self._engine, synthetic_jobs, job_id, worker, now)

    def progress(self, job_id: str, worker: str, done: int, total: int, now: datetime) -> bool:
        """See ``SyntheticJobStore``."""
        told = {"done": done, "total": total}
        return leases.beat(self._engine, synthetic_jobs, job_id, worker, now, told)

    def finish(self, job: SyntheticJob, worker: str) -> bool:
        """See ``SyntheticJobStore``; ``ShouldFixArgument`` for a job that is still running."""
        if job.state is JobState.RUNNING:
            raise ShouldFixArgument(f"Job {job.job_id} is running.", "Say how it ended.")
        left = {
            **leases.left_by(job.state, worker),
            "finished_at": job.finished_at,
            "attempts": job.attempts,
            "outputs": _OUTPUTS.dump_python(job.outputs, mode="json"),
            "error": job.error,
        }
        if job.state is JobState.SUCCEEDED:  # otherwise what was done last is better known here
            left |= {"done": job.done, "total": job.total}
        with writing(self._engine) as connection:
            if not leases.change(connection, synthetic_jobs, job.job_id, worker, left):
                return False
            if job.state is not JobState.QUEUED:
                self._audit(connection, job, "synthetic.finish", f"worker:{worker}")
        return True

    def job(self, job_id: str, tenant: str = "default") -> SyntheticJob:
        """See ``SyntheticJobStore``."""
        row = leases.row_of(self._engine, synthetic_jobs, job_id, tenant)
        if row is None:
            raise ShouldNameKnownId(f"There is no synthetic job {job_id!r}.", "List the jobs.")
        return _job(row)

    def jobs(
        self, loop: str | None = None, limit: int = 50, tenant: str = "default"
    ) -> tuple[SyntheticJob, ...]:
        """See ``SyntheticJobStore``."""
        rows = leases.newest_rows(self._engine, synthetic_jobs, loop, limit, tenant)
        return tuple(_job(row) for row in rows)

    def _audit(self, connection: Connection, job: SyntheticJob, action: str, actor: str) -> None:
        detail: dict[str, Json] = {
            "loop": job.loop,
            "kind": job.kind.value,
            "state": job.state.value,
            "parameters": _plain(job.parameters),
            "releases": [used.release_id for used in job.releases],
        }
        append_audit(
            connection, job.tenant, actor, action, job.job_id, 1, detail, self._clock.now()
        )


def _same_id(connection: Connection, job: SyntheticJob) -> SyntheticJob | None:
    query = select(synthetic_jobs).where(synthetic_jobs.c.job_id == job.job_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    known = _job(row)
    # Releases may be newer by now: what was asked under the id stands.
    asked = (known.tenant, known.loop, known.parameters)
    if asked != (job.tenant, job.loop, job.parameters):
        raise ShouldResolveConflict(
            f"Synthetic job {job.job_id} was asked for with other parameters.",
            "Give a new request a new id.",
        )
    return known


def _same_open(connection: Connection, job: SyntheticJob) -> SyntheticJob | None:
    table = synthetic_jobs.c
    waiting = (table.tenant == job.tenant, table.state.in_(leases.OPEN))
    query = select(synthetic_jobs).where(*waiting, table.loop == job.loop)
    for row in connection.execute(query.order_by(table.created_at)).mappings():
        if (found := _job(row)).asks_for(job):
            return found
    count = connection.scalar(select(func.count()).select_from(synthetic_jobs).where(*waiting))
    if int(count or 0) >= MOST_OPEN_JOBS:
        raise ShouldSlowDown(
            f"{count} synthetic jobs wait or run already, and {MOST_OPEN_JOBS} may.",
            "Ask again when one of them has ended.",
            _RETRY_S,
        )
    return None


def _plain(parameters: Parameters) -> dict[str, Json]:
    generates = isinstance(parameters, GenerateParameters)
    kind = SyntheticKind.GENERATE if generates else SyntheticKind.AUGMENT
    plain: dict[str, Json] = _PARAMETERS[kind].dump_python(parameters, mode="json")
    return plain


def _values(job: SyntheticJob) -> dict[str, Any]:
    return {
        "tenant": job.tenant,
        "job_id": job.job_id,
        "loop": job.loop,
        "kind": job.kind.value,
        "state": job.state.value,
        "requested_by": job.requested_by,
        "parameters": _plain(job.parameters),
        "spec_sha256": job.spec_sha256,
        "releases": _RELEASES.dump_python(job.releases, mode="json"),
        "done": job.done,
        "total": job.total,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "heartbeat_at": job.heartbeat_at,
        "attempts": job.attempts,
        "outputs": _OUTPUTS.dump_python(job.outputs, mode="json"),
        "error": job.error,
    }


def _job(row: RowMapping | Mapping[str, Any]) -> SyntheticJob:
    return SyntheticJob(
        job_id=row["job_id"],
        tenant=row["tenant"],
        loop=row["loop"],
        state=JobState(row["state"]),
        requested_by=row["requested_by"],
        parameters=_PARAMETERS[SyntheticKind(row["kind"])].validate_python(row["parameters"]),
        spec_sha256=row["spec_sha256"],
        created_at=row["created_at"],
        releases=_RELEASES.validate_python(row["releases"]),
        done=row["done"],
        total=row["total"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        heartbeat_at=row["heartbeat_at"],
        attempts=row["attempts"],
        outputs=_OUTPUTS.validate_python(row["outputs"]),
        error=row["error"],
    )
