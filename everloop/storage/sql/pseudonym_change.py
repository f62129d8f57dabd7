"""What a change of everyone's pseudonym needs besides the rows: no work under way, no dataset known."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from everloop.contracts.serving import JobState
from everloop.storage.schema import dataset_pins, ingest_counters
from everloop.storage.service_tables import synthetic_jobs, training_jobs
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.erasure_marks import ERASURES

BEATS_WITHIN = timedelta(minutes=1)
"""A worker whose heart beat within this time is at work."""


def jobs_at_work(connection: Connection, now: datetime) -> int:
    """Training and synthetic jobs, of every tenant, that a worker is at."""
    return sum(
        connection.scalar(
            select(func.count())
            .select_from(table)
            .where(
                table.c.state == JobState.RUNNING.value, table.c.heartbeat_at > now - BEATS_WITHIN
            )
        )
        or 0
        for table in (training_jobs, synthetic_jobs)
    )


def forget_datasets(connection: Connection) -> tuple[str, ...]:
    """Let every date be extracted anew, also where an extraction is under way; the tenants."""
    connection.execute(update(dataset_pins).values(dataset_id=None))
    tenants = tuple(
        connection.scalars(
            select(ingest_counters.c.tenant).distinct().order_by(ingest_counters.c.tenant)
        )
    )
    for tenant in tenants:
        counters.advance(connection, tenant, ERASURES, 1)
    return tenants
