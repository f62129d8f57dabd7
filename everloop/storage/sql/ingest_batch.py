"""Many submissions in one transaction: each is stored whole or refused, and none fails another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from everloop.contracts.episodes import Episode
from everloop.contracts.errors import EverloopError, ShouldFixEpisode, ShouldResolveConflict
from everloop.contracts.serving import Decision, Receipt, Submission
from everloop.storage.column_types import microseconds
from everloop.storage.service_tables import decisions as decisions_table
from everloop.storage.sql.bulk import Bulk, append_ingest_audit, bulk_of
from everloop.storage.sql.decision_rows import decision_of
from everloop.storage.sql.ingest_kinds import DECISIONS, EPISODES, KINDS, Kind
from everloop.storage.sql.storable import refuse_unstorable, storable_sha256

LARGEST_SKEW = timedelta(minutes=5)
"""How far ahead of the ingest clock an episode may be dated."""

_UNDATED = datetime.fromtimestamp(0).astimezone()
_Key = tuple[str, str]
"""(tenant, id)"""


@dataclass(slots=True)
class PreparedRecord:
    """A record as its row, but for the two columns that its commit gives it."""

    kind: Kind
    record: Any
    key: _Key
    sha256: bytes
    row: dict[str, Any]


@dataclass(slots=True)
class Prepared:
    """A submission whose rows are made: what can be done before the transaction is."""

    submission: Submission
    records: list[PreparedRecord]


def prepare(submission: Submission) -> Prepared:
    """Make the rows and checksums of a submission; takes most of an event's time, and no lock.

    Raises:
        ShouldFixInput: a record holds what a database would not keep as it is.
    """
    records = []
    for kind in KINDS:
        for record in kind.records(submission):
            what = f"{kind.key} {getattr(record, kind.key)}"
            sha256 = storable_sha256(kind.sha256, record, what, kind.error)
            row = kind.to_row(record, 0, _UNDATED, sha256)
            refuse_unstorable(kind.table, row, what, kind.error)
            key = (submission.tenant, row[kind.key])
            records.append(PreparedRecord(kind, record, key, sha256, row))
    return Prepared(submission, records)


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
        self._known = {kind.name: self._lookup(kind) for kind in KINDS}
        self._parents = {kind.name: self._lookup_parents(kind) for kind in KINDS if kind.parent}
        self._decided = self._lookup_decided()

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
        staged: dict[tuple[str, _Key], PreparedRecord] = {}
        for item in prepared.records:
            place = (item.kind.name, item.key)
            before = self._known[item.kind.name].get(item.key)
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
        for item in staged.values():
            self._known[item.kind.name][item.key] = item.sha256
        return list(staged.values())

    def _check(self, item: PreparedRecord, staged: dict[tuple[str, _Key], PreparedRecord]) -> None:
        kind = item.kind
        if kind is EPISODES:
            self._check_episode(item)
        if kind.parent is None or kind.orphan is None:
            return
        column, table, _ = kind.parent
        parent = item.row[column]
        if parent is None:
            return
        above = next(other.name for other in KINDS if other.table is table)
        key = (item.key[0], parent)
        if (
            key not in self._parents[kind.name]
            and key not in self._known[above]
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
        decided = self._decided.get(item.key)
        logged = (episode.user_id, episode.action_taken, episode.propensity, episode.model_version)
        if decided is not None and decided != logged:
            raise ShouldResolveConflict(
                f"Episode {episode.episode_id} is not what was decided under that id: person, "
                f"action, propensity or model differ (decided: {decided[1:]}, sent: {logged[1:]}).",
                "Confirm the decision as it was answered, or log another decision under its own id.",
            )

    def _lookup(self, kind: Kind) -> dict[_Key, bytes]:
        known: dict[_Key, bytes] = {}
        for tenant, ids in self._ids(kind, lambda item: item.key[1]).items():
            found = self._bulk.stored(kind.table, kind.key, ("payload_sha256",), tenant, ids)
            known.update({(tenant, row_id): bytes(row[0]) for row_id, row in found.items()})
        return known

    def _lookup_parents(self, kind: Kind) -> set[_Key]:
        if kind.parent is None:
            return set()
        column, table, key = kind.parent
        found: set[_Key] = set()
        for tenant, ids in self._ids(kind, lambda item: item.row[column]).items():
            found.update((tenant, row) for row in self._bulk.stored(table, key, (), tenant, ids))
        return found

    def _lookup_decided(self) -> dict[_Key, tuple[Any, ...]]:
        columns = ("user_id", "action_taken", "propensity", "model_version")
        decided: dict[_Key, tuple[Any, ...]] = {}
        for tenant, ids in self._ids(EPISODES, lambda item: item.key[1]).items():
            found = self._bulk.stored(decisions_table, "decision_id", columns, tenant, ids)
            decided.update({(tenant, row_id): row for row_id, row in found.items()})
        return decided

    def _ids(self, kind: Kind, of: Any) -> dict[str, list[str]]:
        ids: dict[str, list[str]] = defaultdict(list)
        for prepared in self._batch:
            for item in prepared.records:
                if item.kind is kind and (row_id := of(item)) is not None:
                    ids[item.key[0]].append(row_id)
        return ids

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
        # Sorted, so that each actor's rows get one range of numbers, which the audit log names.
        accepted.sort(key=lambda entry: (entry[0].submission.tenant, entry[0].submission.actor))
        at = microseconds(self._now)
        for kind in KINDS:
            groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
            for prepared, fresh in accepted:
                who = (prepared.submission.tenant, prepared.submission.actor)
                groups[who].extend(item.row for item in fresh if item.kind is kind)
            rows: list[dict[str, Any]] = []
            for (tenant, actor), group in groups.items():
                if not group:
                    continue
                first = self._bulk.advance(tenant, kind.counter, len(group))
                for seq, row in enumerate(group, first):
                    row["seq"] = seq
                    row["ingested_at"] = at
                rows.extend(group)
                numbers = range(first, first + len(group))
                append_ingest_audit(self._bulk, tenant, actor, kind.action, numbers, self._now)
            self._bulk.insert(kind.table, rows)


if DECISIONS.table is not decisions_table:
    raise RuntimeError("Decisions are stored in one table and looked up in another.")
