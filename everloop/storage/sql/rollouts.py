"""``RolloutStore`` in the workspace database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update
from sqlalchemy.sql import ColumnElement

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.rollouts import RolloutRecord
from everloop.storage.schema import rollouts
from everloop.storage.sql.engine import reading, writing


class SqlRolloutStore:
    """Trials of one workspace; a unique index keeps a second one from starting.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, record: RolloutRecord) -> RolloutRecord:
        """See ``RolloutStore``. One that must wait serves no traffic and names whom it waits for."""
        table = rollouts.c
        with writing(self._engine) as connection:
            stored = _first(
                connection, table.tenant == record.tenant, table.rollout_id == record.rollout_id
            )
            if stored is not None:
                return stored
            if record.state == "started":
                trial = _first(
                    connection,
                    table.tenant == record.tenant,
                    table.loop == record.loop,
                    table.state == "started",
                )
                if trial is not None:
                    reason = f"candidate {trial.candidate} is on trial ({trial.rollout_id})"
                    record = replace(
                        record,
                        state="waiting",
                        traffic_percent=0.0,
                        reasons=(*record.reasons, reason),
                    )
            connection.execute(
                insert(rollouts).values(
                    tenant=record.tenant,
                    rollout_id=record.rollout_id,
                    loop=record.loop,
                    candidate=record.candidate,
                    active=record.active,
                    state=record.state,
                    traffic_percent=record.traffic_percent,
                    reasons=record.reasons,
                    recorded_at=record.recorded_at,
                )
            )
            return record

    def end(self, rollout_id: str, reason: str, tenant: str = "default") -> RolloutRecord:
        """See ``RolloutStore``. The reason goes before those of its start."""
        key = (rollouts.c.tenant == tenant, rollouts.c.rollout_id == rollout_id)
        with writing(self._engine) as connection:
            stored = _first(connection, *key)
            if stored is None:
                raise ShouldNameKnownId(
                    f"There is no rollout {rollout_id!r}.", "List the rollouts."
                )
            if stored.state not in ("started", "waiting"):
                return stored
            ended = replace(
                stored, state="ended", traffic_percent=0.0, reasons=(reason, *stored.reasons)
            )
            connection.execute(
                update(rollouts)
                .where(*key)
                .values(state=ended.state, traffic_percent=0.0, reasons=ended.reasons)
            )
            return ended

    def rollouts(self, loop: str, tenant: str = "default") -> tuple[RolloutRecord, ...]:
        """See ``RolloutStore``."""
        table = rollouts.c
        query = (
            select(rollouts)
            .where(table.tenant == tenant, table.loop == loop)
            .order_by(table.recorded_at.desc(), table.rollout_id)
        )
        with reading(self._engine) as connection:
            return tuple(_record(row) for row in connection.execute(query).mappings())


def _first(connection: Connection, *conditions: ColumnElement[bool]) -> RolloutRecord | None:
    row = connection.execute(select(rollouts).where(*conditions)).mappings().first()
    return None if row is None else _record(row)


def _record(row: RowMapping) -> RolloutRecord:
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
    )
