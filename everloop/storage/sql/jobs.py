"""``JobStore`` in the workspace database: who trains what is decided in one exclusive transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Select,
    func,
    insert,
    select,
)
from sqlalchemy.sql import ColumnElement

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.ports import Clock
from everloop.contracts.serving import JobCause, JobState, TrainingJob
from everloop.storage.local.clock import SystemClock
from everloop.storage.schema import ingest_counters, training_episodes
from everloop.storage.service_tables import training_jobs
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql import leases
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing


class SqlJobStore:
    """Training jobs of one workspace.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the audit log.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def request(self, job: TrainingJob, last_seen: str | None = None) -> TrainingJob:
        """See ``JobStore``; ``ShouldFixArgument`` unless the job is queued."""
        if job.state is not JobState.QUEUED:
            raise ShouldFixArgument(f"Job {job.job_id} is {job.state}.", "Request a queued one.")
        of_loop = _of_loop(job.loop, job.tenant)
        open_one = select(training_jobs).where(*of_loop, training_jobs.c.state.in_(leases.OPEN))
        with writing(self._engine) as connection:
            found = connection.execute(open_one).mappings().first()
            if found is None and last_seen is not None:
                newest = connection.execute(_last(job.loop, job.tenant)).mappings().first()
                if newest is not None and newest["job_id"] != last_seen:
                    found = newest
            if found is not None:
                return _job(found)
            connection.execute(insert(training_jobs).values(worker=leases.NOBODY, **_values(job)))
            self._audit(connection, job, "training.request", job.requested_by)
        return job

    def claim(
        self, worker: str, now: datetime, stale_after_s: float, loops: Sequence[str] | None = None
    ) -> TrainingJob | None:
        """See ``JobStore``."""
        row = leases.claim(self._engine, training_jobs, worker, now, stale_after_s, loops)
        return None if row is None else _job(row)

    def heartbeat(self, job_id: str, worker: str, now: datetime) -> bool:
        """See ``JobStore``."""
        return leases.beat(self._engine, training_jobs, job_id, worker, now)

    def finish(self, job: TrainingJob, worker: str) -> bool:
        """See ``JobStore``; ``ShouldFixArgument`` for a job that is still running."""
        if job.state is JobState.RUNNING:
            raise ShouldFixArgument(f"Job {job.job_id} is running.", "Say how it ended.")
        left = {
            **leases.left_by(job.state, worker),
            "finished_at": job.finished_at,
            "attempts": job.attempts,
            "run_id": job.run_id,
            "error": job.error,
        }
        with writing(self._engine) as connection:
            if not leases.change(connection, training_jobs, job.job_id, worker, left):
                return False
            if job.state is not JobState.QUEUED:
                self._audit(connection, job, "training.finish", f"worker:{worker}")
        return True

    def job(self, job_id: str, tenant: str = "default") -> TrainingJob:
        """See ``JobStore``."""
        row = leases.row_of(self._engine, training_jobs, job_id, tenant)
        if row is None:
            raise ShouldNameKnownId(f"There is no training job {job_id!r}.", "List the jobs.")
        return _job(row)

    def jobs(
        self, loop: str | None = None, limit: int = 50, tenant: str = "default"
    ) -> tuple[TrainingJob, ...]:
        """See ``JobStore``."""
        rows = leases.newest_rows(self._engine, training_jobs, loop, limit, tenant)
        return tuple(_job(row) for row in rows)

    def last(self, loop: str, tenant: str = "default") -> TrainingJob | None:
        """See ``JobStore``. By watermark, because it never steps back and a clock does."""
        with reading(self._engine) as connection:
            row = connection.execute(_last(loop, tenant)).mappings().first()
        return None if row is None else _job(row)

    def new_episodes(
        self,
        loop: str,
        after: int,
        at_most: int,
        tenant: str = "default",
        until: int | None = None,
    ) -> int:
        """See ``JobStore``."""
        found = select(training_episodes.c.seq).where(*_between(loop, after, until, tenant))
        query = select(func.count()).select_from(found.limit(at_most).subquery())
        with reading(self._engine) as connection:
            return int(connection.scalar(query) or 0)

    def learnable_episodes(
        self,
        loop: str,
        after: int,
        until: int,
        closed_after: datetime | None,
        closed_until: datetime,
        tenant: str = "default",
    ) -> int:
        """See ``JobStore``. Two disjoint ranges, each of an index: an ``or`` would read the whole log."""
        table = training_episodes.c
        closed = table.timestamp <= closed_until
        came = (*_between(loop, after, until, tenant), closed)
        of_loop = (table.tenant == tenant, table.loop == loop)
        waited: tuple[ColumnElement[bool], ...] = (*of_loop, table.seq <= after, closed)
        if closed_after is not None:
            waited = (*waited, table.timestamp > closed_after)
        with reading(self._engine) as connection:
            return sum(
                int(connection.scalar(select(func.count()).where(*group)) or 0)
                for group in (came, waited)
            )

    def waiting_since(
        self, loop: str, after: int, until: int, tenant: str = "default"
    ) -> datetime | None:
        """See ``JobStore``."""
        table = training_episodes.c
        query = (
            select(table.ingested_at)
            .where(*_between(loop, after, until, tenant))
            .order_by(table.seq)
            .limit(1)
        )
        with reading(self._engine) as connection:
            return connection.scalar(query)

    def first_decided(self, loop: str, tenant: str = "default") -> datetime | None:
        """See ``JobStore``."""
        table = training_episodes.c
        query = (
            select(table.timestamp)
            .where(table.tenant == tenant, table.loop == loop)
            .order_by(table.timestamp)
            .limit(1)
        )
        with reading(self._engine) as connection:
            return connection.scalar(query)

    def last_episode(self, tenant: str = "default") -> int:
        """See ``JobStore``."""
        with reading(self._engine) as connection:
            return counters.last_number(connection, tenant, counters.EPISODES)

    def last_episodes(self) -> Mapping[str, int]:
        """See ``JobStore``."""
        table = ingest_counters.c
        query = select(table.tenant, table.last).where(table.counter == counters.EPISODES)
        with reading(self._engine) as connection:
            return {tenant: int(last) for tenant, last in connection.execute(query)}

    def _audit(self, connection: Connection, job: TrainingJob, action: str, actor: str) -> None:
        detail = {
            "loop": job.loop,
            "logical_date": job.logical_date.isoformat(),
            "cause": job.cause.value,
            "state": job.state.value,
            "run_id": job.run_id,
        }
        now = self._clock.now()
        append_audit(connection, job.tenant, actor, action, job.job_id, 1, detail, now)


def _of_loop(loop: str, tenant: str) -> tuple[ColumnElement[bool], ...]:
    return training_jobs.c.tenant == tenant, training_jobs.c.loop == loop


def _last(loop: str, tenant: str) -> Select[Any]:
    table = training_jobs.c
    newest = (table.watermark.desc(), table.created_at.desc(), table.job_id)
    return select(training_jobs).where(*_of_loop(loop, tenant)).order_by(*newest).limit(1)


def _between(
    loop: str, after: int, until: int | None, tenant: str
) -> tuple[ColumnElement[bool], ...]:
    table = training_episodes.c
    # Both databases take the index of the ingest numbers: the cost is what is new, not the log's size.
    newer = (table.tenant == tenant, table.seq > after, table.loop == loop)
    return newer if until is None else (*newer, table.seq <= until)


def _values(job: TrainingJob) -> dict[str, Any]:
    return {
        "tenant": job.tenant,
        "job_id": job.job_id,
        "loop": job.loop,
        "logical_date": job.logical_date,
        "cause": job.cause.value,
        "state": job.state.value,
        "requested_by": job.requested_by,
        "watermark": job.watermark,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "heartbeat_at": job.heartbeat_at,
        "attempts": job.attempts,
        "run_id": job.run_id,
        "error": job.error,
    }


def _job(row: RowMapping | Mapping[str, Any]) -> TrainingJob:
    return TrainingJob(
        job_id=row["job_id"],
        tenant=row["tenant"],
        loop=row["loop"],
        logical_date=row["logical_date"],
        cause=JobCause(row["cause"]),
        state=JobState(row["state"]),
        requested_by=row["requested_by"],
        watermark=row["watermark"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        heartbeat_at=row["heartbeat_at"],
        attempts=row["attempts"],
        run_id=row["run_id"],
        error=row["error"],
    )
