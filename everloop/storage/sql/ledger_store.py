"""``LedgerStore`` in the workspace database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.ledger_ports import JournalMark
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.storage.ledger_tables import (
    privacy_charges,
    privacy_journal,
    privacy_ledger,
    privacy_people,
    privacy_releases,
)
from everloop.storage.person_sets import Bits, among, packed, unpacked
from everloop.storage.sql.engine import reading, writing

_BATCH = 500
"""Values per IN list; SQLite before 3.32 allows 999 in a statement."""

_WRITTEN_OUT = 10_000
"""Numbers written into one statement: far below the megabyte that SQLite reads."""


def keeps_journal(engine: Engine) -> bool:
    """Whether a journal outside the database was started for its ledger."""
    with reading(engine) as connection:
        return bool(connection.scalar(select(privacy_journal.c.journal_id)))


class SqlLedgerStore:
    """The ledger's tables behind an engine of ``open_workspace_database``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[SqlLedgerTransaction]:
        """Exclusive from its first statement, so that what was read holds until it commits."""
        with writing(self._engine) as connection:
            yield SqlLedgerTransaction(connection)


class JoinedLedgerStore:
    """The ledger's tables within a write transaction that somebody else began and ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[SqlLedgerTransaction]:
        """What is done here holds once the transaction that it is part of commits."""
        yield SqlLedgerTransaction(self._connection)


class SqlLedgerTransaction:
    """``LedgerTransaction`` on a connection whose transaction the store owns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._people: dict[str, tuple[int, float, str | None]] | None = None

    def rows(self) -> Iterator[LedgerRow]:
        query = select(privacy_ledger).order_by(privacy_ledger.c.sequence)
        for row in self._connection.execute(query).mappings():
            yield _row(dict(row))

    def last_row(self) -> LedgerRow | None:
        query = select(privacy_ledger).order_by(privacy_ledger.c.sequence.desc()).limit(1)
        found = self._connection.execute(query).mappings().first()
        return None if found is None else _row(dict(found))

    def append(self, row: LedgerRow) -> None:
        values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        values["mechanism"] = dict(row.mechanism)
        values["rdp"] = None if row.rdp is None else list(row.rdp)
        values["status"] = str(row.status)
        try:
            self._connection.execute(insert(privacy_ledger), values)
        except IntegrityError as problem:
            raise ShouldResolveConflict(
                f"Privacy ledger row {row.sequence} ({row.status} release {row.release_id}) "
                f"repeats one that is stored.",
                "Read the ledger again.",
            ) from problem

    def spent(
        self, people: Sequence[str], after: date, until: date
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        known = self._known()
        met = [person for person in people if person in known]
        on = privacy_releases.c.charged_on
        inside = self._connection.execute(
            select(privacy_releases.c.release_id, privacy_releases.c.mu_squared).where(
                on > after, on <= until
            )
        ).all()
        window = np.zeros(len(met))
        took_part = self.participation(met, [release_id for release_id, _ in inside])
        for (_, mu_squared), charged in zip(inside, took_part, strict=True):
            window += charged * mu_squared
        return (
            dict(zip(met, window.tolist(), strict=True)),
            {person: known[person][1] for person in met},
        )

    def participation(self, people: Sequence[str], release_ids: Sequence[str]) -> Iterator[Bits]:
        known = self._known()
        numbers = np.array([known[p][0] if p in known else -1 for p in people], dtype=np.int64)
        for batch in _batches(release_ids):
            sets = self._sets(batch)
            for release_id in batch:
                if release_id in sets:
                    yield among(sets[release_id], numbers)
                else:
                    yield np.zeros(len(people), dtype=np.bool_)

    def first_known_as(self, people: Sequence[str]) -> Mapping[str, str]:
        known = self._known()
        return {
            person: (known[person][2] or person) if person in known else person for person in people
        }

    def rename(self, pseudonyms: Mapping[str, str]) -> None:
        known = self._known()
        taken = known.keys() & set(pseudonyms.values())
        if taken:
            raise ShouldResolveConflict(
                f"{len(taken)} of the new pseudonyms have spent something of their own.",
                "Rename nobody twice.",
            )
        moved = [
            {"found": old, "told": new, "first": known[old][2] or old}
            for old, new in pseudonyms.items()
            if old in known
        ]
        if moved:
            self._connection.execute(
                update(privacy_people)
                .where(privacy_people.c.person == bindparam("found"))
                .values(person=bindparam("told"), first_known_as=bindparam("first")),
                moved,
            )
        self._people = None

    def charge(self, people: Sequence[str], release_id: str, on: date, mu_squared: float) -> None:
        release = self._release(release_id, charged_on=on, mu_squared=mu_squared)
        numbers = self._numbers(people)
        for start in range(0, len(numbers), _WRITTEN_OUT):
            some = ",".join(map(str, numbers[start : start + _WRITTEN_OUT]))
            self._connection.execute(
                text(
                    "UPDATE privacy_people SET mu_squared = mu_squared + :cost "  # noqa: S608
                    f"WHERE number IN ({some})"  # whole numbers, which bind at a cost each
                ),
                {"cost": mu_squared},
            )
        known = self._known()
        for person in set(people):
            number, total, first = known[person]
            known[person] = (number, total + mu_squared, first)
        try:
            self._connection.execute(
                insert(privacy_charges), {"release": release, "people": packed(numbers)}
            )
        except IntegrityError as problem:
            raise ShouldResolveConflict(
                f"Release {release_id} was charged before.", "Read the ledger again."
            ) from problem

    def charged(self, release_id: str) -> tuple[str, ...]:
        found = self._sets([release_id]).get(release_id)
        if found is None:
            return ()
        bits = unpacked(found)
        return tuple(
            sorted(
                person
                for person, (number, _, _) in self._known().items()
                if number < len(bits) and bits[number]
            )
        )

    def charges_by_release(self) -> Mapping[str, tuple[int, float]]:
        query = select(
            privacy_releases.c.release_id, privacy_releases.c.mu_squared, privacy_charges.c.people
        ).join(privacy_charges, privacy_charges.c.release == privacy_releases.c.number)
        counted = (
            (release_id, int(unpacked(people).sum()), cost)
            for release_id, cost, people in self._connection.execute(query)
        )
        return {release_id: (count, count * cost) for release_id, count, cost in counted}

    def people(self) -> tuple[str, ...]:
        query = select(privacy_people.c.person).order_by(privacy_people.c.person)
        return tuple(self._connection.execute(query).scalars())

    def seal(self, release_id: str, noise_seed: bytes) -> None:
        self._set(self._release(release_id), sealed_seed=noise_seed)

    def sealed(self, release_id: str) -> bytes | None:
        query = select(privacy_releases.c.sealed_seed).where(
            privacy_releases.c.release_id == release_id
        )
        return self._connection.execute(query).scalar_one_or_none()

    def unseal(self, release_id: str) -> None:
        self._set(self._release(release_id), sealed_seed=None)

    def store_output(self, release_id: str, url: str, sha256: str) -> None:
        self._set(self._release(release_id), output_url=url, output_sha256=sha256)

    def output(self, release_id: str) -> tuple[str, str] | None:
        query = select(privacy_releases.c.output_url, privacy_releases.c.output_sha256).where(
            privacy_releases.c.release_id == release_id,
            privacy_releases.c.output_url.is_not(None),
        )
        found = self._connection.execute(query).first()
        return None if found is None else (found[0], found[1])

    def finished(self) -> frozenset[str]:
        query = select(privacy_releases.c.release_id).where(
            privacy_releases.c.output_url.is_not(None)
        )
        return frozenset(self._connection.execute(query).scalars())

    def numbers(self, people: Sequence[str]) -> Mapping[str, int]:
        known = self._known()
        return {person: known[person][0] for person in people if person in known}

    def journal(self) -> JournalMark:
        query = select(
            privacy_journal.c.journal_id, privacy_journal.c.renames, privacy_journal.c.pseudonym_key
        )
        found = self._connection.execute(query).first()
        return JournalMark() if found is None else JournalMark(*found)

    def note_journal(self, mark: JournalMark) -> None:
        self._connection.execute(delete(privacy_journal))
        self._connection.execute(insert(privacy_journal), {"one": 1, **dataclasses.asdict(mark)})

    def _release(
        self, release_id: str, charged_on: date | None = None, mu_squared: float | None = None
    ) -> int:
        """Number of a release, made on first use; a charge fixes its date and price for ever."""
        query = select(privacy_releases).where(privacy_releases.c.release_id == release_id)
        found = self._connection.execute(query).mappings().first()
        if found is None:
            made = self._connection.execute(
                insert(privacy_releases),
                {"release_id": release_id, "charged_on": charged_on, "mu_squared": mu_squared},
            )
            return int(made.inserted_primary_key[0])  # type: ignore[index]
        number = int(found["number"])
        if charged_on is None:
            return number
        if found["charged_on"] is None:
            self._set(number, charged_on=charged_on, mu_squared=mu_squared)
        elif (found["charged_on"], found["mu_squared"]) != (charged_on, mu_squared):
            raise ShouldFixArgument(
                f"Release {release_id} costs mu^2 {found['mu_squared']:g} on {found['charged_on']}, "
                f"not {mu_squared:g} on {charged_on}.",
                "Charge everyone of a release the same.",
            )
        return number

    def _set(self, number: int, **values: Any) -> None:
        self._connection.execute(
            update(privacy_releases).where(privacy_releases.c.number == number).values(**values)
        )

    def _known(self) -> dict[str, tuple[int, float, str | None]]:
        """(number, total, first known as) of everyone who was ever charged, by pseudonym.

        Kept for as long as this transaction lasts; nobody else writes meanwhile.
        """
        if self._people is None:
            query = select(
                privacy_people.c.person,
                privacy_people.c.number,
                privacy_people.c.mu_squared,
                privacy_people.c.first_known_as,
            )
            self._people = {
                person: (number, total, first)
                for person, number, total, first in self._connection.execute(query).all()
            }
        return self._people

    def _sets(self, release_ids: Sequence[str]) -> dict[str, bytes]:
        """The packed numbers of each release's people, of those that were charged."""
        query = (
            select(privacy_releases.c.release_id, privacy_charges.c.people)
            .join(privacy_charges, privacy_charges.c.release == privacy_releases.c.number)
            .where(privacy_releases.c.release_id.in_(release_ids))
        )
        return {row.release_id: row.people for row in self._connection.execute(query)}

    def _numbers(self, people: Sequence[str]) -> list[int]:
        """Number of each person; strangers are added with nothing spent."""
        known = self._known()
        last = max((number for number, _, _ in known.values()), default=0)
        new = [person for person in dict.fromkeys(people) if person not in known]
        strangers = [
            {"number": number, "person": person, "mu_squared": 0.0}
            for number, person in enumerate(new, last + 1)
        ]
        if strangers:
            self._connection.execute(insert(privacy_people), strangers)
            self._people = None
            known = self._known()
        return [known[person][0] for person in people]


def _row(values: Mapping[str, Any]) -> LedgerRow:
    rdp = values["rdp"]
    return LedgerRow(
        **{
            **values,
            "status": ReleaseStatus(values["status"]),
            "rdp": None if rdp is None else tuple(rdp),
        }
    )


def _batches(people: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(people), _BATCH):
        yield people[start : start + _BATCH]
