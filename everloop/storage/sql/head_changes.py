"""One change of what serves: its aliases, its trial, its event and what it withdraws, or nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from everloop.contracts.access import without_people
from everloop.contracts.rollouts import Head, RolloutEvent, RolloutRecord, Serves, role_of
from everloop.storage.sql.aliases import move_alias
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.deployment_rows import end_service
from everloop.storage.sql.head_rows import raise_revision, read_head
from everloop.storage.sql.rollout_events import OURSELVES, append_event
from everloop.storage.sql.rollout_rows import change_rollout, follow_candidate, rollouts_of


def change_head(
    connection: Connection,
    head: Head,
    moves: Mapping[str, str | None],
    told: RolloutEvent,
    rollout: RolloutRecord | None,
) -> Head:
    """Move aliases, advance a rollout and append the event; what serves then.

    Args:
        connection: of ``writing(engine)``, in which ``head`` was read.
        moves: alias -> checkpoint that serves under it from now on, None for nothing.
        told: the event, with what serves then as its deployment; one that withdraws a deployment without
            changing a rollout gets the rollout that promoted it.
        rollout: its next state, over its generation.
    """
    loop, tenant = head.loop, head.tenant
    if not moves and rollout is None and head.deployment_id == told.deployment_id:
        return head
    if rollout is not None:
        follow_candidate(connection, *change_rollout(connection, rollout), told.at)
    for alias, checkpoint_id in moves.items():
        move_alias(connection, loop, alias, checkpoint_id, told.reason, tenant, told.at)
    raise_revision(connection, loop, tenant, told.deployment_id)
    withdrawn = str(told.evidence.get("withdrawn", ""))
    end_service(connection, withdrawn, tenant)
    about = _promoted(connection, withdrawn, head) if rollout is None else rollout
    told = replace(told, rollout_id="" if about is None else about.rollout_id)
    append_event(connection, told)
    after = read_head(connection, loop, tenant)
    _audit(connection, head, after, moves, told)
    return after


def _promoted(connection: Connection, withdrawn: str, head: Head) -> RolloutRecord | None:
    """The newest rollout that promoted what is withdrawn; None for one that was deployed by hand."""
    known = rollouts_of(connection, head.loop, head.tenant) if withdrawn else ()
    found = (r for r in known if r.state == "promoted" and r.deployment_id == withdrawn)
    return next(found, None)


def _audit(
    connection: Connection,
    before: Head,
    after: Head,
    moves: Mapping[str, str | None],
    told: RolloutEvent,
) -> None:
    for alias, checkpoint_id in moves.items():
        role = role_of(alias) or ""
        detail = {
            "loop": told.loop,
            "alias": alias,
            "generation": after.serves[role].generation,
            "previous": before.serves.get(role, Serves(None, 0)).checkpoint_id,
            "reason": without_people(told.reason),
        }
        append_audit(
            *(connection, told.tenant, told.actor or OURSELVES, "model.deploy"),
            *(checkpoint_id or "none", 1, detail, told.at),
        )
