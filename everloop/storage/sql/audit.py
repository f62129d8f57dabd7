"""``AuditLog`` in the workspace database: numbered per tenant, refused to be changed by triggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, insert, select

from everloop.contracts.access import AuditEntry
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.ports import Clock
from everloop.storage.service_tables import audit_log
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.engine import reading, writing

AUDIT = "audit"
"""The counter that numbers a tenant's entries."""

LARGEST_PAGE = 1000


def append_audit(
    connection: Connection,
    tenant: str,
    actor: str,
    action: str,
    resource: str,
    rows: int,
    detail: Mapping[str, Json] | None,
    at: datetime,
) -> AuditEntry:
    """Append an entry inside the caller's write transaction: what it records and it are one.

    Args:
        connection: of ``writing(engine)``.
        tenant, actor, action, resource, rows, detail: see ``AuditEntry``.
        at: when it happened, with a time zone.

    Raises:
        ShouldFixArgument: as ``AuditEntry`` does, for instance when it would name a person; no
            number is taken then.
    """
    entry = AuditEntry(
        tenant=tenant,
        sequence=0,
        at=at,
        actor=actor,
        action=action,
        resource=resource,
        rows=rows,
        detail=dict(detail or {}),
    )
    sequence = counters.advance(connection, tenant, AUDIT, 1)
    connection.execute(
        insert(audit_log).values(
            tenant=tenant,
            sequence=sequence,
            at=entry.at,
            actor=actor,
            action=action,
            resource=resource,
            rows=rows,
            detail=entry.detail,
        )
    )
    return replace(entry, sequence=sequence)


class SqlAuditLog:
    """The audit log of one workspace.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the entries.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def append(
        self,
        tenant: str,
        actor: str,
        action: str,
        resource: str,
        rows: int = 1,
        detail: Mapping[str, Json] | None = None,
    ) -> AuditEntry:
        """See ``AuditLog``."""
        with writing(self._engine) as connection:
            return append_audit(
                connection, tenant, actor, action, resource, rows, detail, self._clock.now()
            )

    def entries(self, tenant: str, after: int = 0, limit: int = 100) -> tuple[AuditEntry, ...]:
        """See ``AuditLog``; ``ShouldFixArgument`` unless 1 ≤ ``limit`` ≤ 1000."""
        if not 1 <= limit <= LARGEST_PAGE:
            raise ShouldFixArgument(
                f"limit={limit} is not within 1 to {LARGEST_PAGE}.",
                "Read page by page: after=<last sequence>.",
            )
        query = (
            select(audit_log)
            .where(audit_log.c.tenant == tenant, audit_log.c.sequence > after)
            .order_by(audit_log.c.sequence)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple(_entry(row) for row in connection.execute(query).mappings())


def _entry(row: RowMapping) -> AuditEntry:
    return AuditEntry(
        tenant=row["tenant"],
        sequence=row["sequence"],
        at=row["at"],
        actor=row["actor"],
        action=row["action"],
        resource=row["resource"],
        rows=row["rows"],
        detail=row["detail"],
    )
