"""Jobs of any kind: one worker holds one while its heart beats, and everyone reads them alike.

A table of jobs has ``tenant``, ``job_id``, ``loop``, ``state``, ``worker``, ``attempts``, ``created_at``,
``started_at`` and ``heartbeat_at``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, Table, and_, or_, select, update
from sqlalchemy.sql import ColumnElement

from everloop.contracts.serving import JobState
from everloop.storage.sql.engine import reading, writing

OPEN = (JobState.QUEUED.value, JobState.RUNNING.value)
NOBODY = ""


def claim(
    engine: Engine,
    table: Table,
    worker: str,
    now: datetime,
    stale_after_s: float,
    loops: Sequence[str] | None = None,
    job_id: str | None = None,
) -> Mapping[str, Any] | None:
    """Take the oldest job that waits or whose worker is silent; its row as it is now.

    A heartbeat from the future is a stopped heart too: the clock stepped back.
    """
    query = _claimable(table, now, timedelta(seconds=stale_after_s), loops, job_id)
    with reading(engine) as connection:  # most polls find nothing and must not exclude writers
        if connection.execute(query).first() is None:
            return None
    with writing(engine) as connection:
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        taken = {
            "state": JobState.RUNNING.value,
            "worker": worker,
            "heartbeat_at": now,
            "started_at": row["started_at"] or now,
            "attempts": row["attempts"] + 1,
        }
        key = tuple(column == row[column.name] for column in table.primary_key.columns)
        connection.execute(update(table).where(*key).values(taken))
        return {**row, **taken}


def change(
    connection: Connection, table: Table, job_id: str, worker: str, values: Mapping[str, Any]
) -> bool:
    """Update a running job that this worker holds; False when it holds it no longer."""
    held = (
        table.c.job_id == job_id,
        table.c.worker == worker,
        table.c.state == JobState.RUNNING.value,
    )
    return connection.execute(update(table).where(*held).values(dict(values))).rowcount == 1


def beat(
    engine: Engine,
    table: Table,
    job_id: str,
    worker: str,
    now: datetime,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """A heartbeat, with what else is to be stored; False when the job is no longer this worker's."""
    with writing(engine) as connection:
        return change(connection, table, job_id, worker, {"heartbeat_at": now, **(values or {})})


def left_by(state: JobState, worker: str) -> dict[str, Any]:
    """State and holder of a job that a worker leaves; one that is given back is nobody's."""
    return {"state": state.value, "worker": NOBODY if state is JobState.QUEUED else worker}


def row_of(engine: Engine, table: Table, job_id: str, tenant: str) -> RowMapping | None:
    """A job's row; ``None`` when the tenant has none of it."""
    query = select(table).where(table.c.tenant == tenant, table.c.job_id == job_id)
    with reading(engine) as connection:
        return connection.execute(query).mappings().first()


def newest_rows(
    engine: Engine, table: Table, loop: str | None, limit: int, tenant: str
) -> Sequence[RowMapping]:
    """Rows of a tenant's jobs (of one loop), newest first."""
    query = select(table).where(table.c.tenant == tenant)
    if loop is not None:
        query = query.where(table.c.loop == loop)
    query = query.order_by(table.c.created_at.desc(), table.c.job_id).limit(limit)
    with reading(engine) as connection:
        return connection.execute(query).mappings().all()


def _claimable(
    table: Table,
    now: datetime,
    stale: timedelta,
    loops: Sequence[str] | None,
    job_id: str | None,
) -> Select[Any]:
    stopped = or_(table.c.heartbeat_at < now - stale, table.c.heartbeat_at > now + stale)
    waiting: ColumnElement[bool] = table.c.state == JobState.QUEUED.value
    abandoned = and_(table.c.state == JobState.RUNNING.value, stopped)
    query = select(table).where(or_(waiting, abandoned))
    if loops is not None:
        query = query.where(table.c.loop.in_(loops))
    if job_id is not None:
        query = query.where(table.c.job_id == job_id)
    return query.order_by(table.c.created_at, table.c.job_id).limit(1)
