"""Who was erased, outside the database: a restored backup does not bring anybody back.

A record holds a pseudonym, a tenant, a time and the fingerprint of the key that the pseudonym is of;
nothing else of a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from everloop.contracts import documents
from everloop.contracts.errors import EverloopError, ShouldRestoreArtefact
from everloop.contracts.ledger_ports import SpendJournal

_FOLDER = "erasures/"


@dataclass(frozen=True, slots=True)
class ErasedPerson:
    """One erasure. ``key``: fingerprint of the pseudonym's key."""

    erasure_id: str
    tenant: str
    person: str
    recorded_at: datetime
    key: str


class ErasureJournal:
    """The erasures that a journal knows.

    Args:
        records: where they are kept.
        key: fingerprint of the pseudonym key of this process.
    """

    def __init__(self, records: SpendJournal, key: str) -> None:
        self._records = records
        self.key = key

    def note(self, erasure_id: str, tenant: str, person: str, recorded_at: datetime) -> None:
        """Write an erasure down; one that is there already stays as it is."""
        name = f"{_FOLDER}{erasure_id}.json"
        if name not in self._records.names(name):
            told = ErasedPerson(erasure_id, tenant, person, recorded_at, self.key)
            self._records.write(name, documents.to_json(told))

    def known(self) -> frozenset[str]:
        """Ids of the erasures that were written down."""
        names = self._records.names(_FOLDER)
        return frozenset(name.removeprefix(_FOLDER).removesuffix(".json") for name in names)

    def erased(self, erasure_ids: Collection[str]) -> Iterator[ErasedPerson]:
        """What was written down of some erasures, oldest first.

        Raises:
            ShouldRestoreArtefact: a record is damaged.
        """
        yield from sorted(map(self._read, erasure_ids), key=lambda told: told.recorded_at)

    def _read(self, erasure_id: str) -> ErasedPerson:
        name = f"{_FOLDER}{erasure_id}.json"
        try:
            return documents.from_json(ErasedPerson, self._records.read(name))
        except EverloopError as problem:
            raise ShouldRestoreArtefact(
                f"{name} of the journal at {self._records.address}: {problem.message}",
                "Put it back from a copy: somebody was erased, and this workspace may still have them.",
            ) from problem
