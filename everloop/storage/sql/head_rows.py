"""What a loop serves, read as one state, and the revision that every change of it raises."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.rollouts import LIVE, Head, SafetyBreaker, Serves, role_of
from everloop.storage.rollout_tables import deployment_heads
from everloop.storage.schema import model_aliases, rollouts
from everloop.storage.sql.aliases import aliases_of
from everloop.storage.sql.rollout_rows import live_rollout
from everloop.storage.sql.upsert import upsert

_BREAKER = TypeAdapter(SafetyBreaker)


def read_head(connection: Connection, loop: str, tenant: str) -> Head:
    """A loop's head; the caller's transaction makes its parts one state."""
    row = _row(connection, loop, tenant)
    serves = {
        role: Serves(checkpoint_id, generation)
        for alias, (checkpoint_id, generation) in aliases_of(connection, loop, tenant).items()
        if (role := role_of(alias)) is not None
    }
    trial = live_rollout(connection, loop, tenant)
    if row is None:
        return Head(loop, tenant, serves=serves, trial=trial)
    revision, deployment_id, breaker = row
    return Head(
        loop, tenant, revision, deployment_id, serves, trial, _BREAKER.validate_python(breaker)
    )


def require_revision(connection: Connection, loop: str, tenant: str, expected: int) -> Head:
    """A loop's head; ``ShouldResolveConflict`` where it has another revision."""
    head = read_head(connection, loop, tenant)
    if head.revision != expected:
        raise ShouldResolveConflict(
            f"What loop {loop!r} serves is at revision {head.revision}, not {expected}: it was "
            "changed meanwhile.",
            "Read it again and decide anew.",
        )
    return head


def raise_revision(
    connection: Connection,
    loop: str,
    tenant: str,
    deployment_id: str | None = None,
    breaker: SafetyBreaker | None = None,
) -> int:
    """Tell whoever decided under the present revision that it is no longer the one; the new revision.

    Args:
        connection: of ``writing(engine)``, in which the change itself is made.
        deployment_id: the manifest that serves from now on, empty for none; None: as before.
        breaker: the safety breaker from now on; None: as before.
    """
    row = _row(connection, loop, tenant)
    revision, served, kept = row or (0, "", _written(SafetyBreaker()))
    values = {
        "revision": revision + 1,
        "deployment_id": served if deployment_id is None else deployment_id,
        "breaker": kept if breaker is None else _written(breaker),
    }
    upsert(connection, deployment_heads, {"tenant": tenant, "loop": loop}, values)
    return revision + 1


def loops_with_a_head(connection: Connection) -> tuple[tuple[str, str], ...]:
    """(tenant, loop) of whatever serves something, has a live rollout or a head, in order."""
    aliases = model_aliases.c
    serving = connection.execute(
        select(aliases.tenant, aliases.loop, aliases.alias).where(
            aliases.checkpoint_id.is_not(None)
        )
    )
    found = {(tenant, loop) for tenant, loop, alias in serving if role_of(alias) is not None}
    trials = select(rollouts.c.tenant, rollouts.c.loop).where(rollouts.c.state.in_(LIVE))
    heads = select(deployment_heads.c.tenant, deployment_heads.c.loop)
    for query in (trials, heads):
        found |= {(tenant, loop) for tenant, loop in connection.execute(query)}
    return tuple(sorted(found))


def _row(connection: Connection, loop: str, tenant: str) -> tuple[int, str, Any] | None:
    table = deployment_heads.c
    row = connection.execute(
        select(table.revision, table.deployment_id, table.breaker).where(
            table.tenant == tenant, table.loop == loop
        )
    ).first()
    return None if row is None else (row[0], row[1], row[2])


def _written(breaker: SafetyBreaker) -> Any:
    return _BREAKER.dump_python(breaker, mode="json")
