"""``TallyStore`` in the workspace database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, select

from everloop.contracts.episodes import Json
from everloop.contracts.rollouts import TrialTally
from everloop.storage.rollout_tables import trial_tallies
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.upsert import upsert

_NUMBERS = ("asked", "failed", "invalid", "dropped", "agreed")
_COUNTS = ("actions", "active_actions", "latency")


class SqlTallyStore:
    """Tallies of one workspace's workers; a row per rollout, phase and worker.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, tally: TrialTally, at: datetime) -> None:
        """See ``TallyStore``."""
        counts: dict[str, Json] = {name: getattr(tally, name) for name in _NUMBERS}
        counts.update({name: dict(getattr(tally, name)) for name in _COUNTS})
        key = {
            "tenant": tally.tenant,
            "rollout_id": tally.rollout_id,
            "phase": tally.phase,
            "worker": tally.worker,
        }
        with writing(self._engine) as connection:
            upsert(connection, trial_tallies, key, {"counts": counts, "counted_at": at})

    def tallies(
        self, rollout_id: str, phase: str, tenant: str = "default"
    ) -> tuple[TrialTally, ...]:
        """See ``TallyStore``. By worker."""
        table = trial_tallies.c
        query = (
            select(table.worker, table.counts)
            .where(table.tenant == tenant, table.rollout_id == rollout_id, table.phase == phase)
            .order_by(table.worker)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(_tally(rollout_id, phase, tenant, row.worker, row.counts) for row in rows)


def _tally(
    rollout_id: str,
    phase: str,
    tenant: str,
    worker: str,
    counts: Mapping[str, int | Mapping[str, int]],
) -> TrialTally:
    numbers = {name: counts[name] for name in _NUMBERS}
    many = {name: counts[name] for name in _COUNTS}
    return TrialTally(rollout_id, phase, worker, tenant, **numbers, **many)  # type: ignore[arg-type]
