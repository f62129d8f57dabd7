"""Events of deployments and trials: numbered within a loop, audited, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, func, insert, select

from everloop.contracts.rollouts import EventKind, RolloutEvent
from everloop.storage.rollout_tables import rollout_events
from everloop.storage.sql.audit import append_audit

OURSELVES = "everloop"
"""The actor of what nobody asked for."""


def append_event(connection: Connection, event: RolloutEvent) -> RolloutEvent:
    """Number an event, keep it, and put it in the audit log; inside the caller's transaction.

    The audit entry names the event, not its reason: a text that looks like a pseudonym would be refused
    there, and with it what has to happen.
    """
    table = rollout_events.c
    last = connection.scalar(
        select(func.max(table.sequence)).where(
            table.tenant == event.tenant, table.loop == event.loop
        )
    )
    event = replace(event, sequence=(last or 0) + 1, actor=event.actor or OURSELVES)
    connection.execute(
        insert(rollout_events).values(
            tenant=event.tenant,
            loop=event.loop,
            sequence=event.sequence,
            kind=event.kind,
            at=event.at,
            actor=event.actor,
            reason=event.reason,
            deployment_id=event.deployment_id,
            rollout_id=event.rollout_id,
            evidence=dict(event.evidence),
        )
    )
    resource = event.rollout_id or event.deployment_id or event.loop
    detail = {
        "loop": event.loop,
        "event": event.sequence,
        "deployment": event.deployment_id,
    }
    append_audit(
        *(connection, event.tenant, event.actor, f"rollout.{event.kind}", resource, 1),
        detail,
        event.at,
    )
    return event


def events_after(
    connection: Connection, loop: str, after: int, limit: int, tenant: str
) -> tuple[RolloutEvent, ...]:
    """A loop's events with a larger sequence, oldest first."""
    table = rollout_events.c
    query = (
        select(rollout_events)
        .where(table.tenant == tenant, table.loop == loop, table.sequence > after)
        .order_by(table.sequence)
        .limit(limit)
    )
    return tuple(_event(row) for row in connection.execute(query).mappings())


def newest_event(
    connection: Connection, rollout_id: str, kinds: Sequence[EventKind], tenant: str
) -> RolloutEvent | None:
    """A rollout's newest event, of some kinds where any are named."""
    table = rollout_events.c
    query = select(rollout_events).where(table.tenant == tenant, table.rollout_id == rollout_id)
    if kinds:
        query = query.where(table.kind.in_(kinds))
    row = connection.execute(query.order_by(table.sequence.desc()).limit(1)).mappings().first()
    return None if row is None else _event(row)


def _event(row: RowMapping) -> RolloutEvent:
    return RolloutEvent(
        loop=row["loop"],
        kind=row["kind"],
        at=row["at"],
        actor=row["actor"],
        reason=row["reason"],
        deployment_id=row["deployment_id"],
        rollout_id=row["rollout_id"],
        evidence=row["evidence"],
        tenant=row["tenant"],
        sequence=row["sequence"],
    )
