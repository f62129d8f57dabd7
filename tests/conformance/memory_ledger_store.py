"""A ``LedgerStore`` in memory: the second adapter of the suite, and fast enough for state machines."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.ledger_ports import JournalMark
from everloop.contracts.privacy import LedgerRow


@dataclass
class MemoryLedgerTransaction:
    """The whole state; a transaction works on a copy that replaces it at the end."""

    stored: list[LedgerRow] = field(default_factory=list)
    charges: dict[tuple[str, str], tuple[date, float]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, bytes] = field(default_factory=dict)
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    numbered: dict[str, int] = field(default_factory=dict)
    mark: list[JournalMark] = field(default_factory=lambda: [JournalMark()])

    def rows(self) -> Iterator[LedgerRow]:
        return iter(list(self.stored))

    def last_row(self) -> LedgerRow | None:
        return self.stored[-1] if self.stored else None

    def append(self, row: LedgerRow) -> None:
        for old in self.stored:
            if row.sequence == old.sequence or (row.release_id, row.status) == (
                old.release_id,
                old.status,
            ):
                raise ShouldResolveConflict(f"Row {row.sequence} repeats one that is stored.")
        self.stored.append(row)

    def spent(
        self, people: Sequence[str], after: date, until: date
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        wanted = set(people) & set(self.totals)
        window = dict.fromkeys(wanted, 0.0)
        for (person, _), (on, cost) in self.charges.items():
            if person in wanted and after < on <= until:
                window[person] += cost
        return window, {person: self.totals[person] for person in wanted}

    def charge(self, people: Sequence[str], release_id: str, on: date, mu_squared: float) -> None:
        for (_, release), terms in self.charges.items():
            if release == release_id and terms != (on, mu_squared):
                raise ShouldFixArgument("Charge everyone of a release the same.")
        if any(release == release_id for _, release in self.charges):
            raise ShouldResolveConflict(f"Release {release_id} was charged before.")
        for person in people:
            self.numbered.setdefault(person, len(self.numbered) + 1)
            self.charges[person, release_id] = (on, mu_squared)
            self.totals[person] = self.totals.get(person, 0.0) + mu_squared

    def participation(
        self, people: Sequence[str], release_ids: Sequence[str]
    ) -> Iterator[NDArray[np.bool_]]:
        for release_id in release_ids:
            yield np.array([(person, release_id) in self.charges for person in people], dtype=bool)

    def first_known_as(self, people: Sequence[str]) -> Mapping[str, str]:
        return {person: self.names.get(person, person) for person in people}

    def rename(self, pseudonyms: Mapping[str, str]) -> None:
        if set(pseudonyms.values()) & set(self.totals):
            raise ShouldResolveConflict("A new pseudonym has spent something of its own.")
        moved = {old: new for old, new in pseudonyms.items() if old in self.totals}
        for old, new in moved.items():
            self.names[new] = self.names.pop(old, old)
            self.totals[new] = self.totals.pop(old)
            self.numbered[new] = self.numbered.pop(old)
        self.charges = {
            (moved.get(person, person), release): terms
            for (person, release), terms in self.charges.items()
        }

    def charged(self, release_id: str) -> tuple[str, ...]:
        return tuple(sorted(p for p, release in self.charges if release == release_id))

    def charges_by_release(self) -> Mapping[str, tuple[int, float]]:
        found: dict[str, tuple[int, float]] = {}
        for (_, release), (_, cost) in self.charges.items():
            count, total = found.get(release, (0, 0.0))
            found[release] = (count + 1, total + cost)
        return found

    def people(self) -> tuple[str, ...]:
        return tuple(sorted(self.totals))

    def seal(self, release_id: str, noise_seed: bytes) -> None:
        self.seeds[release_id] = noise_seed

    def sealed(self, release_id: str) -> bytes | None:
        return self.seeds.get(release_id)

    def unseal(self, release_id: str) -> None:
        self.seeds.pop(release_id, None)

    def store_output(self, release_id: str, url: str, sha256: str) -> None:
        self.outputs[release_id] = (url, sha256)

    def output(self, release_id: str) -> tuple[str, str] | None:
        return self.outputs.get(release_id)

    def finished(self) -> frozenset[str]:
        return frozenset(self.outputs)

    def numbers(self, people: Sequence[str]) -> Mapping[str, int]:
        return {person: self.numbered[person] for person in people if person in self.numbered}

    def journal(self) -> JournalMark:
        return self.mark[0]

    def note_journal(self, mark: JournalMark) -> None:
        self.mark = [mark]


class MemoryLedgerStore:
    """``die_before_commit`` makes the next transaction fail at its very end."""

    def __init__(self) -> None:
        self.state = MemoryLedgerTransaction()
        self.die_before_commit = False
        self._lock = RLock()

    @contextmanager
    def transaction(self) -> Iterator[MemoryLedgerTransaction]:
        with self._lock:
            work = MemoryLedgerTransaction(
                **{
                    f.name: copy.copy(getattr(self.state, f.name))
                    for f in dataclasses.fields(self.state)
                }
            )
            yield work
            if self.die_before_commit:
                self.die_before_commit = False
                raise KeyboardInterrupt("the process died")
            self.state = work
