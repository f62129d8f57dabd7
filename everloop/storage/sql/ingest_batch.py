"""Many submissions in one transaction: each is stored whole or refused, and none fails another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from everloop.contracts.episodes import Episode
from everloop.contracts.errors import (
    EverloopError,
    ShouldDecideAgain,
    ShouldFixEpisode,
    ShouldResolveConflict,
)
from everloop.contracts.serving import Decision, Receipt
from everloop.storage.column_types import microseconds
from everloop.storage.service_tables import audit_log
from everloop.storage.service_tables import decisions as decisions_table
from everloop.storage.sql.audit import AUDIT
from everloop.storage.sql.bulk import Bulk, bulk_of, ingest_audit
from everloop.storage.sql.decision_rows import decision_of
from everloop.storage.sql.ingest_kinds import DECISIONS, EPISODES, KINDS, Kind
from everloop.storage.sql.ingest_known import Known
from everloop.storage.sql.ingest_records import Key, Prepared, PreparedRecord

LARGEST_SKEW = timedelta(minutes=5)
"""How far ahead of the ingest clock an episode may be dated."""


def store(
    connection: Connection, batch: Sequence[Prepared], now: datetime
) -> list[Receipt | EverloopError]:
    """Store every submission that may be stored; one outcome each, in order.

    Args:
        connection: of a write transaction; the outcomes hold once it has committed.
        batch: prepared submissions, oldest first; a later one sees the earlier ones' rows.
        now: the ingest clock.
    """
    return _Batch(connection, bulk_of(connection), batch, now).run()


class _Batch:
    def __init__(
        self, connection: Connection, bulk: Bulk, batch: Sequence[Prepared], now: datetime
    ) -> None:
        self._connection = connection
        self._bulk = bulk
        self._batch = batch
        self._now = now
        self._known = Known(bulk, batch)

    def run(self) -> list[Receipt | EverloopError]:
        outcomes: list[Receipt | EverloopError] = []
        accepted: list[tuple[Prepared, list[PreparedRecord]]] = []
        for prepared in self._batch:
            try:
                fresh = self._admit(prepared)
            except EverloopError as refused:
                outcomes.append(refused)
                continue
            if fresh:
                accepted.append((prepared, fresh))
            replayed = len(prepared.records) - len(fresh)
            outcomes.append(Receipt(len(fresh), replayed, self._decisions(prepared, replayed)))
        self._insert(accepted)
        return outcomes

    def _admit(self, prepared: Prepared) -> list[PreparedRecord]:
        """The records that are new; nothing of a refused submission is remembered as stored."""
        staged: dict[tuple[str, Key], PreparedRecord] = {}
        for item in prepared.records:
            place = (item.kind.name, item.key)
            before = self._known.sha256[item.kind.name].get(item.key)
            if before is None and place in staged:
                before = staged[place].sha256
            if before is None:
                self._check(item, staged)
                staged[place] = item
            elif before != item.sha256:
                raise ShouldResolveConflict(
                    f"{type(item.record).__name__} {item.key[1]} was logged before with another "
                    "payload.",
                    "Send a new id for a new record, and a replay unchanged.",
                )
        self._require_present(prepared, staged.values())
        for item in staged.values():
            self._known.sha256[item.kind.name][item.key] = item.sha256
        return list(staged.values())

    def _require_present(self, prepared: Prepared, fresh: Iterable[PreparedRecord]) -> None:
        """Refuse new decisions of what has ceased to serve: whoever changes what serves excludes this
        transaction, so that its commit is the moment from which on everybody decides anew."""
        for loop, seen in prepared.submission.decided_under.items():
            present = self._known.revisions.get((prepared.submission.tenant, loop), 0)
            if seen != present and any(
                item.kind is DECISIONS and item.record.loop == loop for item in fresh
            ):
                raise ShouldDecideAgain(
                    f"What loop {loop!r} serves changed from revision {seen} to {present} before "
                    "the decision was stored.",
                    "Decide again under what serves now.",
                )

    def _check(self, item: PreparedRecord, staged: dict[tuple[str, Key], PreparedRecord]) -> None:
        kind = item.kind
        if kind is EPISODES:
            self._check_episode(item)
        if kind.parent is None or kind.orphan is None:
            return
        parent = item.row[kind.parent[0]]
        if parent is None:
            return
        above = _ABOVE[kind.name]
        key = (item.key[0], parent)
        if (
            key not in self._known.parents[kind.name]
            and key not in self._known.sha256[above]
            and (above, key) not in staged
        ):
            raise kind.orphan(item.record)

    def _check_episode(self, item: PreparedRecord) -> None:
        episode: Episode = item.record
        if episode.timestamp > self._now + LARGEST_SKEW:
            raise ShouldFixEpisode(
                f"Episode {episode.episode_id}: timestamp={episode.timestamp.isoformat()} is more "
                f"than {LARGEST_SKEW.seconds // 60} minutes ahead of the ingest clock, "
                f"{self._now.isoformat()}.",
                "Correct the sender's clock or time zone.",
            )
        decided = self._known.decided.get(item.key)
        logged = (episode.user_id, episode.action_taken, episode.propensity, episode.model_version)
        if decided is not None and decided != logged:
            raise ShouldResolveConflict(
                f"Episode {episode.episode_id} is not what was decided under that id: person, "
                f"action, propensity or model differ (decided: {decided[1:]}, sent: {logged[1:]}).",
                "Confirm the decision as it was answered, or log another decision under its own id.",
            )

    def _decisions(self, prepared: Prepared, replayed: int) -> tuple[Decision, ...]:
        asked = prepared.submission.decisions
        if not replayed or not asked:
            return asked
        columns = decisions_table.c
        wanted = [decision.decision_id for decision in asked]
        rows = self._connection.execute(
            select(decisions_table).where(
                columns.tenant == prepared.submission.tenant, columns.decision_id.in_(wanted)
            )
        ).mappings()
        stored = {row["decision_id"]: decision_of(row) for row in rows}
        return tuple(stored.get(decision.decision_id, decision) for decision in asked)

    def _insert(self, accepted: list[tuple[Prepared, list[PreparedRecord]]]) -> None:
        """Number the rows, each actor's of a kind as one range, and write all of a kind at once."""
        by_tenant: dict[str, dict[tuple[Kind, str], list[dict[str, Any]]]] = {}
        for prepared, fresh in accepted:
            groups = by_tenant.setdefault(prepared.submission.tenant, defaultdict(list))
            for item in fresh:
                groups[item.kind, prepared.submission.actor].append(item.row)
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        audited: list[dict[str, Any]] = []
        for tenant, groups in sorted(by_tenant.items()):
            self._number(tenant, groups, audited)
            for (kind, _), group in groups.items():
                rows[kind.name].extend(group)
        for kind in KINDS:
            self._bulk.insert(kind.table, rows[kind.name])
        self._bulk.insert(audit_log, audited)

    def _number(
        self,
        tenant: str,
        groups: Mapping[tuple[Kind, str], list[dict[str, Any]]],
        audited: list[dict[str, Any]],
    ) -> None:
        counts = Counter({AUDIT: len(groups)})
        for (kind, _), group in groups.items():
            counts[kind.counter] += len(group)
        following = dict(self._bulk.advance(tenant, counts))
        at = microseconds(self._now)
        for (kind, actor), group in groups.items():
            first = following[kind.counter]
            for seq, row in enumerate(group, first):
                row["seq"] = seq
                row["ingested_at"] = at
            numbers = range(first, first + len(group))
            sequence = following[AUDIT]
            audited.append(ingest_audit(tenant, actor, kind.action, numbers, self._now, sequence))
            following[kind.counter] += len(group)
            following[AUDIT] += 1


_ABOVE = {
    kind.name: next(above.name for above in KINDS if above.table is kind.parent[1])
    for kind in KINDS
    if kind.parent
}
"""Kind -> the kind of what it speaks of."""
