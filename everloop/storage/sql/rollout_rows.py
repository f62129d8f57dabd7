"""Rows of rollouts, and their changes inside a caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.sql import ColumnElement

from everloop.contracts.errors import ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.rollouts import LIVE, OVER, RolloutRecord, Stay
from everloop.storage.schema import rollouts
from everloop.storage.sql.aliases import CANDIDATE, checkpoint_row, move_alias, read_alias

_HISTORY = TypeAdapter(tuple[Stay, ...])
_PLAIN = (
    "deployment_id",
    "previous_deployment",
    "step",
    "holdout_percent",
    "approved_by",
    "approval_reason",
    "subject",
)


def add_rollout(connection: Connection, record: RolloutRecord) -> None:
    """Insert a record."""
    key = {"tenant": record.tenant, "rollout_id": record.rollout_id, "loop": record.loop}
    connection.execute(
        insert(rollouts).values(**key, recorded_at=record.recorded_at, **_changing(record))
    )


def change_rollout(
    connection: Connection, record: RolloutRecord
) -> tuple[RolloutRecord, RolloutRecord]:
    """Put a record over the generation that it names; what was stored, and what is now.

    Whose rollout it is, and of which candidate, stays as it was recorded.

    Raises:
        ShouldNameKnownId: there is no such rollout.
        ShouldResolveConflict: it is over, it has another generation, or another one is live.
    """
    before = rollout_row(connection, record.rollout_id, record.tenant)
    if before.state in OVER:
        raise ShouldResolveConflict(
            f"Rollout {record.rollout_id} is over ({before.state}) and can't become {record.state}.",
            "Start a rollout of another candidate.",
        )
    if before.generation != record.generation:
        raise ShouldResolveConflict(
            f"Rollout {record.rollout_id} is at generation {before.generation}, not "
            f"{record.generation}: somebody changed it meanwhile.",
            "Read it again and decide anew.",
        )
    after = replace(
        record,
        generation=before.generation + 1,
        loop=before.loop,
        candidate=before.candidate,
        subject=before.subject,
        recorded_at=before.recorded_at,
    )
    other = live_rollout(connection, before.loop, before.tenant)
    if after.live and other is not None and other.rollout_id != after.rollout_id:
        raise ShouldResolveConflict(
            f"Rollout {after.rollout_id} can't become {after.state}: rollout {other.rollout_id} of "
            f"loop {other.loop!r} is live.",
            "Wait until it is over.",
        )
    connection.execute(
        update(rollouts)
        .where(rollouts.c.tenant == after.tenant, rollouts.c.rollout_id == after.rollout_id)
        .values(**_changing(after))
    )
    return before, after


def follow_candidate(
    connection: Connection, before: RolloutRecord | None, after: RolloutRecord, at: datetime
) -> None:
    """Let the alias ``candidate`` point at a rollout's checkpoint from when it goes live until it is not.

    In between it is left alone: an operator who cleared it is not overruled. A candidate that no registry
    knows gets no alias.
    """
    was_live = before is not None and before.live
    if after.live == was_live:
        return
    pointed_at, _ = read_alias(connection, after.loop, CANDIDATE, after.tenant)
    wanted = after.candidate if after.live else None
    if after.live:
        found = checkpoint_row(connection, after.candidate)
        if found is None or (found["loop"], found["tenant"]) != (after.loop, after.tenant):
            return
    elif pointed_at != after.candidate:
        return
    if pointed_at != wanted:
        reason = f"rollout {after.rollout_id} is {after.state}"
        move_alias(connection, after.loop, CANDIDATE, wanted, reason, after.tenant, at)


def rollout_row(connection: Connection, rollout_id: str, tenant: str) -> RolloutRecord:
    """A tenant's rollout; ``ShouldNameKnownId`` where it has none of that id."""
    found = find_rollout(connection, rollout_id, tenant)
    if found is None:
        raise ShouldNameKnownId(
            f"There is no rollout {rollout_id!r}.",
            "List them: everloop rollout list, or GET /api/ml/deployments.",
        )
    return found


def find_rollout(connection: Connection, rollout_id: str, tenant: str) -> RolloutRecord | None:
    """A tenant's rollout, if it has one of that id."""
    return _first(connection, rollouts.c.tenant == tenant, rollouts.c.rollout_id == rollout_id)


def live_rollout(connection: Connection, loop: str, tenant: str) -> RolloutRecord | None:
    """The one that is live, if any."""
    table = rollouts.c
    return _first(connection, table.tenant == tenant, table.loop == loop, table.state.in_(LIVE))


def rollouts_of(connection: Connection, loop: str, tenant: str) -> tuple[RolloutRecord, ...]:
    """A loop's rollouts, newest first."""
    table = rollouts.c
    query = (
        select(rollouts)
        .where(table.tenant == tenant, table.loop == loop)
        .order_by(table.recorded_at.desc(), table.rollout_id)
    )
    return tuple(_record(row) for row in connection.execute(query).mappings())


def _first(connection: Connection, *conditions: ColumnElement[bool]) -> RolloutRecord | None:
    row = connection.execute(select(rollouts).where(*conditions)).mappings().first()
    return None if row is None else _record(row)


def _changing(record: RolloutRecord) -> dict[str, Any]:
    document: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN}
    document["history"] = _HISTORY.dump_python(record.history, mode="json")
    return {
        "candidate": record.candidate,
        "active": record.active,
        "state": record.state,
        "traffic_percent": record.traffic_percent,
        "reasons": record.reasons,
        "generation": record.generation,
        "document": document,
    }


def _record(row: RowMapping) -> RolloutRecord:
    kept: Mapping[str, Any] | None = row["document"]
    if kept is None:  # written before there were stays: all that is known is where it is
        here = Stay(row["state"], row["traffic_percent"], row["recorded_at"])
        more: dict[str, Any] = {"history": (here,)}
    else:
        more = {name: kept[name] for name in _PLAIN if name in kept}
        more["history"] = _HISTORY.validate_python(kept.get("history", ()))
    return RolloutRecord(
        rollout_id=row["rollout_id"],
        loop=row["loop"],
        candidate=row["candidate"],
        active=row["active"],
        state=row["state"],
        traffic_percent=row["traffic_percent"],
        reasons=tuple(row["reasons"]),
        recorded_at=row["recorded_at"],
        tenant=row["tenant"],
        generation=row["generation"],
        **more,
    )
