"""``DecisionStore`` in the workspace database."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine, delete, func, select, tuple_

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import Decision, RecentDecision
from everloop.storage.service_tables import decisions
from everloop.storage.sql.decision_rows import decision_of
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.recent_decisions import recent_rows

_PAGE = 500
_AT_ONCE = 2_000
"""Decisions deleted in one transaction: who stores events waits no longer than that takes."""


class SqlDecisionStore:
    """The decisions of one workspace; the ingest queue writes them.

    Args:
        engine: from ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def decision(self, decision_id: str, tenant: str = "default") -> Decision:
        """See ``DecisionStore``."""
        unknown = ShouldNameKnownId(
            f"Tenant {tenant!r} has no decision {decision_id!r}.",
            "Give an id that decide answered.",
        )
        try:
            wanted = canonical_uuid(decision_id)
        except ValueError:
            raise unknown from None
        query = select(decisions).where(
            decisions.c.tenant == tenant, decisions.c.decision_id == wanted
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise unknown
        return decision_of(row)

    def decisions(
        self, decision_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Decision]:
        """See ``DecisionStore``."""
        given: dict[str, list[str]] = {}
        for decision_id in dict.fromkeys(decision_ids):
            with contextlib.suppress(ValueError):
                given.setdefault(canonical_uuid(decision_id), []).append(decision_id)
        wanted = list(given)
        found: dict[str, Decision] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(wanted), _PAGE):
                query = select(decisions).where(
                    decisions.c.tenant == tenant,
                    decisions.c.decision_id.in_(wanted[start : start + _PAGE]),
                )
                for row in connection.execute(query).mappings():
                    decision = decision_of(row)
                    found.update(dict.fromkeys(given[decision.decision_id], decision))
        return found

    def served(
        self,
        loop: str,
        model_version: str,
        since: datetime,
        at_most: int,
        tenant: str = "default",
    ) -> int:
        """See ``DecisionStore``. Reads every decision since then until it has found enough."""
        table = decisions.c
        found = select(table.seq).where(
            table.tenant == tenant,
            table.loop == loop,
            table.timestamp >= since,
            table.model_version == model_version,
        )
        query = select(func.count()).select_from(found.limit(at_most).subquery())
        with reading(self._engine) as connection:
            return int(connection.scalar(query) or 0)

    def recent(
        self,
        loop: str,
        people: Sequence[str],
        actions: Sequence[str],
        since: datetime,
        tenant: str = "default",
    ) -> Mapping[str, tuple[RecentDecision, ...]]:
        """See ``DecisionStore``."""
        found: dict[str, dict[tuple[str, str], RecentDecision]] = {}
        for of, made, person, at, action in recent_rows(
            self._engine, tenant, people, actions, since
        ):
            if of == loop:
                found.setdefault(person, {})[made, action] = RecentDecision(made, at, action)
        return {person: tuple(made.values()) for person, made in found.items()}

    def forget_unconfirmed(self, before: datetime, tenant: str | None = None) -> int:
        """See ``DecisionStore``; a few thousand a transaction, so that ingest goes on meanwhile."""
        key = (decisions.c.tenant, decisions.c.decision_id)
        old = select(*key).where(decisions.c.timestamp < before)
        if tenant is not None:
            old = old.where(decisions.c.tenant == tenant)
        forget = delete(decisions).where(tuple_(*key).in_(old.limit(_AT_ONCE)))
        forgotten = 0
        while True:
            with writing(self._engine) as connection:
                deleted = connection.execute(forget).rowcount
            forgotten += deleted
            if deleted < _AT_ONCE:
                return forgotten
