"""``RolloutStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, Engine

from everloop.contracts.episodes import Json
from everloop.contracts.ports import Clock
from everloop.contracts.rollouts import (
    OVER,
    EventKind,
    RolloutEvent,
    RolloutRecord,
    RolloutState,
    Stay,
)
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.head_rows import raise_revision
from everloop.storage.sql.rollout_events import OURSELVES, append_event
from everloop.storage.sql.rollout_rows import (
    add_rollout,
    change_rollout,
    find_rollout,
    follow_candidate,
    live_rollout,
    rollout_row,
    rollouts_of,
)

_BEGUN: Mapping[RolloutState, EventKind] = {
    "waiting": "waiting",
    "awaiting_approval": "hold",
    "shadow": "shadow",
    "started": "step",
    "paused": "paused",
    "promoted": "promoted",
    "rolled_back": "rolled_back",
    "ended": "ended",
    "refused": "refused",
}
"""The event that tells of a rollout which begins in a state."""


class SqlRolloutStore:
    """Trials of one workspace; a unique index keeps a second one from being live.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the events.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def start(self, record: RolloutRecord) -> RolloutRecord:
        """See ``RolloutStore``. One that must wait serves no traffic and names whom it waits for; one
        without a history begins it at ``recorded_at``."""
        with writing(self._engine) as connection:
            stored = find_rollout(connection, record.rollout_id, record.tenant)
            if stored is not None:
                return stored
            trial = live_rollout(connection, record.loop, record.tenant) if record.live else None
            if trial is not None:
                reason = f"candidate {trial.candidate} is on trial ({trial.rollout_id})"
                record = replace(
                    record,
                    state="waiting",
                    traffic_percent=0.0,
                    reasons=(*record.reasons, reason),
                    history=(),
                )
            if not record.history:
                begun = Stay(record.state, record.traffic_percent, record.recorded_at)
                record = replace(record, history=(begun,))
            add_rollout(connection, record)
            reason = record.reasons[-1] if record.reasons else ""
            self._tell(connection, None, record, _BEGUN[record.state], reason, record.approved_by)
            return record

    def advance(
        self,
        record: RolloutRecord,
        kind: EventKind,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
    ) -> RolloutRecord:
        """See ``RolloutStore``. What is over can't be advanced: ``ShouldResolveConflict``."""
        with writing(self._engine) as connection:
            before, after = change_rollout(connection, record)
            self._tell(connection, before, after, kind, reason, actor, evidence)
            return after

    def end(self, rollout_id: str, reason: str, tenant: str = "default") -> RolloutRecord:
        """See ``RolloutStore``. The reason goes before those of its start."""
        with writing(self._engine) as connection:
            stored = rollout_row(connection, rollout_id, tenant)
            if stored.state in OVER:
                return stored
            ended = replace(
                stored,
                state="ended",
                traffic_percent=0.0,
                reasons=(reason, *stored.reasons),
                history=(*stored.history, Stay("ended", 0.0, self._clock.now())),
            )
            before, after = change_rollout(connection, ended)
            self._tell(connection, before, after, "ended", reason, OURSELVES)
            return after

    def rollout(self, rollout_id: str, tenant: str = "default") -> RolloutRecord:
        """See ``RolloutStore``."""
        with reading(self._engine) as connection:
            return rollout_row(connection, rollout_id, tenant)

    def rollouts(self, loop: str, tenant: str = "default") -> tuple[RolloutRecord, ...]:
        """See ``RolloutStore``."""
        with reading(self._engine) as connection:
            return rollouts_of(connection, loop, tenant)

    def _tell(
        self,
        connection: Connection,
        before: RolloutRecord | None,
        after: RolloutRecord,
        kind: EventKind,
        reason: str,
        actor: str,
        evidence: Mapping[str, Json] | None = None,
    ) -> None:
        now = self._clock.now()
        follow_candidate(connection, before, after, now)
        raise_revision(connection, after.loop, after.tenant)
        append_event(
            connection,
            RolloutEvent(
                loop=after.loop,
                kind=kind,
                at=now,
                actor=actor,
                reason=reason,
                deployment_id=after.deployment_id,
                rollout_id=after.rollout_id,
                evidence=evidence or {},
                tenant=after.tenant,
            ),
        )
