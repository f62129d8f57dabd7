"""Ports of the privacy ledger: where its rows are, and where they are written down once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.privacy import LedgerRow


@dataclass(frozen=True, slots=True)
class JournalMark:
    """What a ledger says of its journal.

    Attributes:
        journal_id: of the journal that follows the ledger; empty where none was started.
        renames: how often everyone got another pseudonym.
        pseudonym_key: fingerprint of the key of the last of these renamings; empty before the first.
    """

    journal_id: str = ""
    renames: int = 0
    pseudonym_key: str = ""


class JournalStanding(StrEnum):
    """What a ledger is to the journal at the place that it is told: ``current`` has everything that the
    journal has, ``behind`` is an earlier state of it (an older backup, or an older copy), and ``other``
    is whatever is neither."""

    CURRENT = "current"
    BEHIND = "behind"
    OTHER = "other"


class SpendJournal(Protocol):
    """Immutable records outside the database: what was spent and who was erased.

    A name is parts of ``[a-z0-9-]`` and one extension, joined by ``/``.
    """

    @property
    def address(self) -> str:
        """Where it is, for messages."""

    def write(self, name: str, data: bytes) -> None:
        """Keep a record for ever. Constraints: durable when it returns, whole or absent when it does
        not; the same bytes again change nothing; other bytes are ``ShouldResolveConflict``."""

    def read(self, name: str) -> bytes:
        """``ShouldRestoreArtefact`` when there is no such record."""

    def names(self, prefix: str) -> Sequence[str]:
        """Names that begin with ``prefix``, sorted. Constraints: of whole records alone."""


class LedgerTransaction(Protocol):
    """The ledger's storage inside one exclusive, durable transaction."""

    def rows(self) -> Iterator[LedgerRow]:
        """Every row, oldest first."""

    def last_row(self) -> LedgerRow | None: ...

    def append(self, row: LedgerRow) -> None:
        """Constraints: rows are never updated or deleted; a repeated sequence is a conflict."""

    def spent(
        self, people: Sequence[str], after: date, until: date
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """mu^2 by person: (charged on dates in (after, until] , since first seen)."""

    def charge(self, people: Sequence[str], release_id: str, on: date, mu_squared: float) -> None:
        """Add to each person's total. Constraints: a release is charged at most once."""

    def participation(
        self, people: Sequence[str], release_ids: Sequence[str]
    ) -> Iterator[NDArray[np.bool_]]:
        """Of each release in turn, which of ``people`` were charged: (len(people),)."""

    def first_known_as(self, people: Sequence[str]) -> Mapping[str, str]:
        """The pseudonym that each person had when first charged; a stranger's is the one given."""

    def rename(self, pseudonyms: Mapping[str, str]) -> None:
        """Give people (old -> new) other pseudonyms. Constraints: what they spent and were first known
        as stays; a new pseudonym that somebody has is a conflict."""

    def charged(self, release_id: str) -> tuple[str, ...]:
        """The people (sorted) whom a release was charged to."""

    def charges_by_release(self) -> Mapping[str, tuple[int, float]]:
        """Release id -> (people charged, their mu^2 together), from the charges themselves."""

    def people(self) -> tuple[str, ...]:
        """Everyone who was ever charged, sorted."""

    def seal(self, release_id: str, noise_seed: bytes) -> None:
        """Keep the secret noise seed of an unfinished release."""

    def sealed(self, release_id: str) -> bytes | None:
        """The seed, or None once the release is complete and the seed was destroyed."""

    def unseal(self, release_id: str) -> None:
        """Destroy the seed of a completed release."""

    def store_output(self, release_id: str, url: str, sha256: str) -> None: ...

    def output(self, release_id: str) -> tuple[str, str] | None:
        """(url, sha256) of a completed release's stored output."""

    def finished(self) -> frozenset[str]:
        """Ids of the releases that have an output."""

    def numbers(self, people: Sequence[str]) -> Mapping[str, int]:
        """Number of each person who was ever charged. Constraints: given once, by ``charge`` in the order
        of its people, each one more than the largest before; never changed, and kept by a renaming."""

    def journal(self) -> JournalMark:
        """Which journal keeps a copy of this ledger's spending."""

    def note_journal(self, mark: JournalMark) -> None:
        """Replace what ``journal`` answers."""


class LedgerStore(Protocol):
    """Where the privacy ledger keeps its rows."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Constraints: exclusive among all processes; durable when it exits without an error, and
        without any effect when it does not or the process dies."""
