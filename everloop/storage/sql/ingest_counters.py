"""Numbers that rows get in commit order, without gaps."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from everloop.storage.schema import ingest_counters

EPISODES = "episodes"
SIGNALS = "signals"
REVISIONS = "revisions"
"""Consents and disputes share one: a revision says what people had said of their data by then."""


def advance(connection: Connection, tenant: str, counter: str, rows: int) -> int:
    """Take the next ``rows`` numbers (from 1); returns the first. Needs a write transaction."""
    table = ingest_counters
    counted = connection.execute(
        update(table)
        .where(table.c.tenant == tenant, table.c.counter == counter)
        .values(last=table.c.last + rows)
        .returning(table.c.last)
    ).scalar()
    if counted is None:
        connection.execute(insert(table).values(tenant=tenant, counter=counter, last=rows))
        return 1
    return int(counted) - rows + 1


def last_number(connection: Connection, tenant: str, counter: str) -> int:
    """The largest number that was given, 0 before the first."""
    last = connection.scalar(
        select(ingest_counters.c.last).where(
            ingest_counters.c.tenant == tenant, ingest_counters.c.counter == counter
        )
    )
    return int(last or 0)
