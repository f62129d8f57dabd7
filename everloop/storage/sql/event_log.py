"""``EventLog`` in the workspace database: durable, idempotent, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, func, insert, select
from sqlalchemy.sql import Select

from everloop.contracts.episodes import (
    Consent,
    Dispute,
    Episode,
    RewardSignal,
    canonical_uuid,
)
from everloop.contracts.errors import (
    ShouldFixEpisode,
    ShouldFixInput,
    ShouldFixSignal,
    ShouldResolveConflict,
)
from everloop.contracts.ports import Appended, Clock
from everloop.storage.local.clock import SystemClock
from everloop.storage.payloads import payload_sha256
from everloop.storage.schema import consents, disputes, reward_signals, training_episodes
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.bulk import bulk_of
from everloop.storage.sql.consent_states import consents_changed
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.event_rows import (
    consent_of,
    dispute_of,
    episode_of,
    episode_row,
    signal_of,
    signal_row,
)
from everloop.storage.sql.lookups import Lookup
from everloop.storage.sql.storable import refuse_unstorable, storable_sha256

LARGEST_SKEW = timedelta(minutes=5)
"""How far ahead of the ingest clock an episode may be dated."""

PURPOSES = ("serve", "train")
STATUSES = ("open", "upheld", "rejected")

_CHUNK = 1000
_IDS = 500
_Record = TypeVar("_Record", Episode, RewardSignal)


class SqlEventLog:
    """The log of one workspace.

    Args:
        engine: from ``open_workspace_database``.
        clock: says when records arrive.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def append_episodes(self, episodes: Sequence[Episode]) -> Appended:
        """See ``EventLog``; ``ShouldFixEpisode`` when one is dated in the future."""
        return self.append_batch(episodes, ())[0]

    def append_signals(self, signals: Sequence[RewardSignal]) -> Appended:
        """See ``EventLog``."""
        return self.append_batch((), signals)[1]

    def append_batch(
        self, episodes: Iterable[Episode], signals: Iterable[RewardSignal]
    ) -> tuple[Appended, Appended]:
        """See ``EventLog``; ``ShouldFixEpisode`` when one is dated in the future."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            append = _Append(connection, now)
            return append.episodes(episodes), append.signals(signals)

    def record_consent(self, consent: Consent, actor: str | None = None) -> None:
        """See ``EventLog``; ``ShouldFixInput`` for an unknown purpose or a malformed person."""
        _check_consent(consent)
        row = {
            "tenant": consent.tenant,
            "user_id": consent.user_id,
            "purpose": consent.purpose,
            "granted": consent.granted,
            "recorded_at": consent.recorded_at,
        }
        refuse_unstorable(consents, row, f"Consent of {consent.user_id}")
        with writing(self._engine) as connection:
            if _append_revision(connection, consents, row) and actor is not None:
                append_audit(
                    connection,
                    consent.tenant,
                    actor,
                    "consent.record",
                    consent.purpose,
                    1,
                    {"granted": consent.granted},
                    self._clock.now(),
                )

    def record_dispute(self, dispute: Dispute) -> None:
        """See ``EventLog``; ``ShouldFixInput`` for an unknown status."""
        if dispute.status not in STATUSES:
            raise ShouldFixInput(
                f"Dispute of signal {dispute.signal_id}: status={dispute.status!r} is unknown.",
                f"Use one of {', '.join(STATUSES)}.",
            )
        _check_moment(dispute.recorded_at, f"Dispute of signal {dispute.signal_id}")
        row = {
            "tenant": dispute.tenant,
            "signal_id": dispute.signal_id,
            "status": dispute.status,
            "reason": dispute.reason,
            "recorded_at": dispute.recorded_at,
        }
        refuse_unstorable(disputes, row, f"Dispute of signal {dispute.signal_id}")
        with writing(self._engine) as connection:
            wanted = Lookup(reward_signals, "signal_id", (), dispute.tenant, [dispute.signal_id])
            if not bulk_of(connection).stored([wanted])[0]:
                raise ShouldFixSignal(
                    f"Signal {dispute.signal_id} is unknown to tenant {dispute.tenant!r}.",
                    "Dispute a signal that was logged.",
                )
            _append_revision(connection, disputes, row)

    def consents(self, user_id: str, tenant: str = "default") -> tuple[Consent, ...]:
        """See ``EventLog``."""
        query = select(consents).where(consents.c.tenant == tenant, consents.c.user_id == user_id)
        with reading(self._engine) as connection:
            return tuple(consent_of(row) for row in _newest_first(connection, query, consents))

    def consents_changed(
        self, after: Mapping[str, int]
    ) -> tuple[Mapping[str, int], tuple[Consent, ...]]:
        """See ``EventLog``."""
        with reading(self._engine) as connection:
            return consents_changed(connection, after)

    def disputes(self, tenant: str = "default") -> tuple[Dispute, ...]:
        """See ``EventLog``."""
        newest: dict[str, Dispute] = {}
        with reading(self._engine) as connection:
            query = select(disputes).where(disputes.c.tenant == tenant)
            for row in _newest_first(connection, query, disputes):
                newest.setdefault(row["signal_id"], dispute_of(row))
        return tuple(newest.values())

    def episodes_of(self, user_id: str, tenant: str = "default") -> Iterator[Episode]:
        """See ``EventLog``."""
        query = (
            select(training_episodes)
            .where(training_episodes.c.tenant == tenant, training_episodes.c.user_id == user_id)
            .order_by(training_episodes.c.timestamp, training_episodes.c.episode_id)
        )
        with reading(self._engine) as connection:
            result = connection.execution_options(yield_per=_CHUNK).execute(query)
            for row in result.mappings():
                yield episode_of(row)

    def episodes(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, Episode]:
        """See ``EventLog``."""
        columns = training_episodes.c
        found: dict[str, Episode] = {}
        with reading(self._engine) as connection:
            for some in batched_ids(episode_ids):
                query = select(training_episodes).where(
                    columns.tenant == tenant, columns.episode_id.in_(some)
                )
                for row in connection.execute(query).mappings():
                    found[row["episode_id"]] = episode_of(row)
        return found

    def loops_of(self, episode_ids: Sequence[str], tenant: str = "default") -> Mapping[str, str]:
        """See ``EventLog``."""
        columns = training_episodes.c
        found: dict[str, str] = {}
        with reading(self._engine) as connection:
            for some in batched_ids(episode_ids):
                query = select(columns.episode_id, columns.loop).where(
                    columns.tenant == tenant, columns.episode_id.in_(some)
                )
                found.update({row[0]: row[1] for row in connection.execute(query)})
        return found

    def decided_at(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, tuple[str, datetime]]:
        """See ``EventLog``."""
        columns = training_episodes.c
        found: dict[str, tuple[str, datetime]] = {}
        with reading(self._engine) as connection:
            for some in batched_ids(episode_ids):
                query = select(columns.episode_id, columns.loop, columns.timestamp).where(
                    columns.tenant == tenant, columns.episode_id.in_(some)
                )
                found.update({row[0]: (row[1], row[2]) for row in connection.execute(query)})
        return found

    def signals_of(
        self, episode_ids: Sequence[str], tenant: str = "default"
    ) -> Mapping[str, tuple[RewardSignal, ...]]:
        """See ``EventLog``."""
        columns = reward_signals.c
        found: dict[str, list[RewardSignal]] = {}
        with reading(self._engine) as connection:
            for some in batched_ids(episode_ids):
                query = (
                    select(reward_signals)
                    .where(columns.tenant == tenant, columns.episode_id.in_(some))
                    .order_by(columns.seq)
                )
                for row in connection.execute(query).mappings():
                    found.setdefault(row["episode_id"], []).append(signal_of(row))
        return {episode_id: tuple(signals) for episode_id, signals in found.items()}

    def counts(self, loop: str, tenant: str = "default") -> tuple[int, int]:
        """See ``EventLog``."""
        of_loop = (training_episodes.c.tenant == tenant, training_episodes.c.loop == loop)
        joined = training_episodes.join(reward_signals)
        with reading(self._engine) as connection:
            episodes = connection.scalar(
                select(func.count()).select_from(training_episodes).where(*of_loop)
            )
            signals = connection.scalar(select(func.count()).select_from(joined).where(*of_loop))
        return int(episodes or 0), int(signals or 0)


class _Append:
    """One append within its transaction."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._bulk = bulk_of(connection)
        self._now = now

    def episodes(self, episodes: Iterable[Episode]) -> Appended:
        return self._append(
            episodes,
            training_episodes,
            counters.EPISODES,
            "episode_id",
            episode_row,
            self._refuse_future,
            ShouldFixEpisode,
        )

    def signals(self, signals: Iterable[RewardSignal]) -> Appended:
        return self._append(
            signals,
            reward_signals,
            counters.SIGNALS,
            "signal_id",
            signal_row,
            self._refuse_orphans,
            ShouldFixSignal,
        )

    def _append(
        self,
        records: Iterable[_Record],
        table: Table,
        counter: str,
        key: str,
        to_row: Callable[[_Record, int, datetime, bytes], dict[str, Any]],
        refuse: Callable[[str, Sequence[_Record]], None],
        error: type[ShouldFixInput],
    ) -> Appended:
        new = replayed = 0
        for tenant, chunk in _chunks(records):
            refuse(tenant, chunk)
            ids = [getattr(record, key) for record in chunk]
            (stored,) = self._bulk.stored([Lookup(table, key, ("payload_sha256",), tenant, ids)])
            known = {row_id: bytes(sha256) for row_id, (sha256,) in stored.items()}
            fresh: list[dict[str, Any]] = []
            for record in chunk:
                what = f"{key} {getattr(record, key)}"
                sha256 = storable_sha256(payload_sha256, record, what, error)
                before = known.setdefault(getattr(record, key), sha256)
                if before is sha256:
                    row = to_row(record, 0, self._now, sha256)
                    refuse_unstorable(table, row, what, error)
                    fresh.append(row)
                elif before != sha256:
                    raise ShouldResolveConflict(
                        f"{type(record).__name__} {getattr(record, key)} was logged before with "
                        "another payload.",
                        "Send a new id for a new record, and a replay unchanged.",
                    )
            if fresh:
                first = self._bulk.advance(tenant, {counter: len(fresh)})[counter]
                for seq, row in enumerate(fresh, first):
                    row["seq"] = seq
                self._bulk.insert(table, fresh)
            new += len(fresh)
            replayed += len(chunk) - len(fresh)
        return Appended(new=new, replayed=replayed)

    def _refuse_future(self, _: str, chunk: Sequence[Episode]) -> None:
        for episode in chunk:
            if episode.timestamp > self._now + LARGEST_SKEW:
                raise ShouldFixEpisode(
                    f"Episode {episode.episode_id}: timestamp={episode.timestamp.isoformat()} is "
                    f"more than {LARGEST_SKEW.seconds // 60} minutes ahead of the ingest clock, "
                    f"{self._now.isoformat()}.",
                    "Correct the sender's clock or time zone.",
                )

    def _refuse_orphans(self, tenant: str, chunk: Sequence[RewardSignal]) -> None:
        wanted = list({signal.episode_id for signal in chunk})
        lookup = Lookup(training_episodes, "episode_id", (), tenant, wanted)
        (known,) = self._bulk.stored([lookup])
        for signal in chunk:
            if signal.episode_id not in known:
                raise ShouldFixSignal(
                    f"Signal {signal.signal_id}: episode_id={signal.episode_id!r} is unknown to "
                    f"tenant {tenant!r}.",
                    "Log the episode first.",
                )


def batched_ids(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in canonical form, in lists that fit a statement; what is no UUID is left out."""
    canonical: list[str] = []
    for row_id in ids:
        with suppress(ValueError, AttributeError, TypeError):
            canonical.append(canonical_uuid(row_id))
    for start in range(0, len(canonical), _IDS):
        yield canonical[start : start + _IDS]


def _chunks(records: Iterable[_Record]) -> Iterator[tuple[str, list[_Record]]]:
    stream = iter(records)
    while chunk := list(islice(stream, _CHUNK)):
        chunk.sort(key=attrgetter("tenant"))
        for tenant, group in groupby(chunk, key=attrgetter("tenant")):
            yield tenant, list(group)


def _append_revision(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Append a statement of a person; whether it was no repetition of a stored one."""
    same = select(table.c.revision).where(*(table.c[name] == value for name, value in row.items()))
    if connection.scalar(same.limit(1)) is not None:
        return False
    revision = counters.advance(connection, row["tenant"], counters.REVISIONS, 1)
    connection.execute(insert(table).values(revision=revision, **row))
    return True


def _newest_first(connection: Connection, query: Select[Any], table: Table) -> Iterator[Any]:
    ordered = query.order_by(table.c.recorded_at.desc(), table.c.revision.desc())
    return iter(connection.execute(ordered).mappings())


def _check_consent(consent: Consent) -> None:
    if consent.purpose not in PURPOSES:
        raise ShouldFixInput(
            f"Consent: purpose={consent.purpose!r} is unknown.",
            f"Use one of {', '.join(PURPOSES)}.",
        )
    if len(consent.user_id) != 64 or not set(consent.user_id) <= set("0123456789abcdef"):
        raise ShouldFixInput(
            f"Consent: user_id={consent.user_id!r} is not a pseudonym.",
            "Pass the product's id through Pseudonyms.",
        )
    _check_moment(consent.recorded_at, f"Consent of {consent.user_id}")


def _check_moment(moment: datetime, whose: str) -> None:
    if moment.tzinfo is None:
        raise ShouldFixInput(
            f"{whose}: recorded_at={moment} has no time zone.", "Send RFC 3339 with an offset."
        )
