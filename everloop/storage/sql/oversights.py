"""``OversightStore`` in the workspace database; its rows are never changed, triggers refuse it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

from sqlalchemy import Engine, RowMapping, Select, insert, select

from everloop.contracts.canonical import canonical_json
from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldResolveConflict
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.ports import Clock
from everloop.storage.local.clock import SystemClock
from everloop.storage.rollout_tables import oversights
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.storable import refuse_unstorable


class SqlOversightStore:
    """What people said of one workspace's models.

    Args:
        engine: from ``open_workspace_database``.
        clock: dates the audit log.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def add(self, oversight: Oversight) -> Oversight:
        """See ``OversightStore``.

        Raises:
            ShouldFixArgument: the id is no UUID, the time has no zone or the evidence is no finite JSON.
            ShouldFixInput: a text that one of the databases would not keep.
            ShouldResolveConflict: the id is stored with other words.
        """
        said = _storable(oversight)
        row = _row(said)
        known = select(oversights).where(oversights.c.oversight_id == said.oversight_id)
        with writing(self._engine) as connection:
            found = connection.execute(known).mappings().first()
            if found is not None:
                return _same(_oversight(found), said)
            connection.execute(insert(oversights).values(**row))
            append_audit(
                *(connection, said.tenant, said.actor, f"oversight.{said.kind}"),
                *(said.oversight_id, 1),
                {
                    "loop": said.loop,
                    "subject": said.subject_id,
                    "passed": said.passed,
                    "reason": said.reason,
                },
                self._clock.now(),
            )
        return said

    def latest(
        self, loop: str, kind: OversightKind, subject_id: str = "", tenant: str = "default"
    ) -> Oversight | None:
        """See ``OversightStore``. Of several at one moment, one that did not pass comes first."""
        query = _newest_first(loop, tenant).where(oversights.c.kind == str(kind)).limit(1)
        if subject_id:
            query = query.where(oversights.c.subject_id == subject_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _oversight(row)

    def all(self, loop: str, limit: int = 100, tenant: str = "default") -> tuple[Oversight, ...]:
        """See ``OversightStore``; ``ShouldFixArgument`` unless ``limit`` is at least 1."""
        if limit < 1:
            raise ShouldFixArgument(f"limit={limit} is below 1.", "Ask for at least one.")
        query = _newest_first(loop, tenant).limit(limit)
        with reading(self._engine) as connection:
            return tuple(_oversight(row) for row in connection.execute(query).mappings())


def _newest_first(loop: str, tenant: str) -> Select[Any]:
    table = oversights.c
    return (
        select(oversights)
        .where(table.tenant == tenant, table.loop == loop)
        .order_by(table.at.desc(), table.passed, table.oversight_id)
    )


def _storable(oversight: Oversight) -> Oversight:
    """The same with its id in one form and its time in UTC."""
    try:
        oversight_id = canonical_uuid(oversight.oversight_id)
    except ValueError:
        raise ShouldFixArgument(
            f"oversight_id={oversight.oversight_id!r:.80} is no UUID.", "Make one with uuid4."
        ) from None
    if oversight.at.tzinfo is None:
        raise ShouldFixArgument(
            f"{oversight.kind} of {oversight.subject_id}: {oversight.at.isoformat()} has no time zone.",
            "Give it in UTC.",
        )
    try:
        canonical_json(oversight.evidence)
    except (ValueError, TypeError) as problem:
        raise ShouldFixArgument(
            f"{oversight.kind} of {oversight.subject_id}: its evidence is no finite JSON ({problem}).",
            "Leave out what is not known.",
        ) from None
    return replace(oversight, oversight_id=oversight_id, at=oversight.at.astimezone(UTC))


def _row(oversight: Oversight) -> dict[str, Any]:
    row = {
        "tenant": oversight.tenant,
        "oversight_id": oversight.oversight_id,
        "kind": str(oversight.kind),
        "loop": oversight.loop,
        "subject_id": oversight.subject_id,
        "passed": oversight.passed,
        "actor": oversight.actor,
        "reason": oversight.reason,
        "at": oversight.at,
        "evidence": dict(oversight.evidence),
    }
    refuse_unstorable(oversights, row, f"Oversight {oversight.oversight_id}", ShouldFixInput)
    return row


def _same(stored: Oversight, said: Oversight) -> Oversight:
    evidence = (canonical_json(one.evidence) for one in (stored, said))
    if replace(stored, evidence={}) != replace(said, evidence={}) or len(set(evidence)) > 1:
        raise ShouldResolveConflict(
            f"Oversight {said.oversight_id} is stored with other words.",
            "Words about a model are never changed: add another under an id of its own.",
        )
    return stored


def _oversight(row: RowMapping) -> Oversight:
    return Oversight(
        oversight_id=row["oversight_id"],
        kind=OversightKind(row["kind"]),
        loop=row["loop"],
        subject_id=row["subject_id"],
        passed=row["passed"],
        actor=row["actor"],
        reason=row["reason"],
        at=row["at"],
        evidence=row["evidence"],
        tenant=row["tenant"],
    )
