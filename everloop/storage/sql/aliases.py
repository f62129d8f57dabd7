"""Aliases of a registry inside a caller's transaction: read, moved and logged."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.storage.schema import deployment_log, model_aliases, model_checkpoints
from everloop.storage.sql.upsert import upsert

ACTIVE = "active"
"""The alias that ``ModelCheckpoint.active`` follows."""
CANDIDATE = "candidate"
"""The alias of the checkpoint whose rollout is live."""


def read_alias(
    connection: Connection, loop: str, alias: str, tenant: str
) -> tuple[str | None, int]:
    """What an alias points at, and its generation; (None, 0) where it was never set."""
    table = model_aliases.c
    row = connection.execute(
        select(table.checkpoint_id, table.generation).where(
            table.tenant == tenant, table.loop == loop, table.alias == alias
        )
    ).first()
    return (None, 0) if row is None else (row[0], row[1])


def aliases_of(connection: Connection, loop: str, tenant: str) -> dict[str, tuple[str | None, int]]:
    """Every alias of a loop with what it points at and its generation."""
    table = model_aliases.c
    rows = connection.execute(
        select(table.alias, table.checkpoint_id, table.generation).where(
            table.tenant == tenant, table.loop == loop
        )
    )
    return {alias: (checkpoint_id, generation) for alias, checkpoint_id, generation in rows}


def move_alias(
    connection: Connection,
    loop: str,
    alias: str,
    checkpoint_id: str | None,
    reason: str,
    tenant: str,
    at: datetime,
) -> int:
    """Point an alias elsewhere, log it, and let ``ModelCheckpoint.active`` follow; its new generation.

    Args:
        connection: of ``writing(engine)``; the caller has compared what it decided on.
    """
    previous, generation = read_alias(connection, loop, alias, tenant)
    key = {"tenant": tenant, "loop": loop, "alias": alias}
    new = {"checkpoint_id": checkpoint_id, "generation": generation + 1}
    upsert(connection, model_aliases, key, new)
    connection.execute(
        insert(deployment_log).values(
            **key, **new, previous_checkpoint_id=previous, reason=reason, recorded_at=at
        )
    )
    if alias == ACTIVE:
        table = model_checkpoints.c
        connection.execute(
            update(model_checkpoints)
            .where(table.tenant == tenant, table.loop == loop)
            .values(active=table.checkpoint_id.is_not_distinct_from(checkpoint_id))
        )
    return generation + 1


def checkpoint_row(connection: Connection, checkpoint_id: str) -> RowMapping | None:
    """A checkpoint's row, whosever it is; None where there is none."""
    query = select(model_checkpoints).where(model_checkpoints.c.checkpoint_id == checkpoint_id)
    return connection.execute(query).mappings().first()


def require_checkpoint(connection: Connection, checkpoint_id: str) -> RowMapping:
    """A checkpoint's row, whosever it is; ``ShouldRestoreArtefact`` where there is none."""
    row = checkpoint_row(connection, checkpoint_id)
    if row is None:
        raise ShouldRestoreArtefact(
            f"There is no checkpoint {checkpoint_id}.", "Choose one that the registry lists."
        )
    return row


def require_checkpoint_of(
    connection: Connection, checkpoint_id: str, loop: str, tenant: str
) -> RowMapping:
    """A loop's checkpoint; ``ShouldRestoreArtefact`` where the loop of the tenant has no such one."""
    row = require_checkpoint(connection, checkpoint_id)
    if (row["loop"], row["tenant"]) != (loop, tenant):
        raise ShouldRestoreArtefact(
            f"Checkpoint {checkpoint_id} belongs to loop {row['loop']!r} of tenant "
            f"{row['tenant']!r}, not to {loop!r} of {tenant!r}.",
            "Choose a checkpoint of this loop.",
        )
    return row
