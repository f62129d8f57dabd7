"""``RunStore`` in the workspace database."""

from __future__ import annotations

import difflib

from sqlalchemy import Engine, select

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import RunRecord
from everloop.storage.schema import runs
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.upsert import upsert

_NEAREST = 3
_RECENT = 1000


class SqlRunStore:
    """Runs of one workspace, kept whole as JSON beside the columns that are searched.

    Args:
        engine: from ``open_workspace_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, run: RunRecord) -> None:
        """See ``RunStore``."""
        values = {
            "loop": run.loop,
            "pipeline": run.pipeline,
            "logical_date": run.logical_date,
            "status": run.status,
            "started_at": run.started_at,
            "record": to_json(run).decode(),
        }
        with writing(self._engine) as connection:
            upsert(connection, runs, {"tenant": run.tenant, "run_id": run.run_id}, values)

    def run(self, run_id: str) -> RunRecord:
        """See ``RunStore``. Of two tenants' runs with this id, the newest."""
        newest = runs.c.started_at.desc()
        with reading(self._engine) as connection:
            record = connection.scalar(
                select(runs.c.record).where(runs.c.run_id == run_id).order_by(newest).limit(1)
            )
            if record is not None:
                return from_json(RunRecord, record.encode())
            known = list(connection.scalars(select(runs.c.run_id).order_by(newest).limit(_RECENT)))
        near = [name for name in known if run_id and name.startswith(run_id)][:_NEAREST]
        near = near or difflib.get_close_matches(run_id, known, n=_NEAREST, cutoff=0.5)
        remedy = f"Did you mean {' or '.join(near)}?" if near else "List them: everloop runs list."
        raise ShouldFixArgument(f"There is no run {run_id!r}.", remedy)

    def runs(self, loop: str | None = None, limit: int = 50) -> tuple[RunRecord, ...]:
        """See ``RunStore``."""
        query = select(runs.c.record).order_by(runs.c.started_at.desc(), runs.c.run_id).limit(limit)
        if loop is not None:
            query = query.where(runs.c.loop == loop)
        with reading(self._engine) as connection:
            return tuple(
                from_json(RunRecord, record.encode()) for record in connection.scalars(query)
            )
