"""The copy of a ledger's spending outside its database, so that an older backup never forgets any.

The database commits first and the journal is written before anybody is answered: what was not answered
was not acted on, and what the database has is written down before it is used. So the journal never lacks
what was acted on, and a ledger that lacks what the journal has comes from an older backup: it makes no
release until ``everloop privacy recover`` has replayed the rest.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from everloop.contracts.errors import ShouldRepairLedger, ShouldResolveConflict
from everloop.contracts.ledger_ports import (
    JournalMark,
    JournalStanding,
    LedgerTransaction,
    SpendJournal,
)
from everloop.contracts.privacy import LedgerRow, ReleaseStatus
from everloop.privacy.chain import GENESIS
from everloop.privacy.journal_records import (
    FOLDER,
    Entry,
    Head,
    History,
    Record,
    RenamedAll,
    Reserved,
    Spent,
    check_sequence,
    checksum,
    damaged,
    decoded,
    encoded,
    name_of,
    number_of,
)

_ID_BYTES = 16


class LedgerJournal:
    """The journal of one ledger.

    Args:
        records: where records are kept.
    """

    def __init__(self, records: SpendJournal) -> None:
        self._records = records

    @property
    def address(self) -> str:
        """Where it is, for messages."""
        return self._records.address

    def follow(self, ledger: LedgerTransaction) -> None:
        """Write down what the ledger has and the journal lacks; start a journal for one without any.

        Args:
            ledger: of a transaction that has changed nothing yet.

        Raises:
            ShouldRepairLedger: the ledger lacks what the journal has, the two tell other histories, the
                journal is damaged, or it is missing where the ledger has one.
        """
        mark, last = ledger.journal(), self._last()
        if last is None:
            if mark.journal_id:
                raise self._missing(mark)
            self.start(ledger)
            return
        record, data = last
        own = mark.journal_id in {"", record.journal_id}
        if not own and not self._follows(mark):
            raise self._other(mark, record)
        head = head_of(ledger)
        if record.head != head:
            if not own or not _is_past(record.head, ledger, head):
                raise self._lacking(head)
            self._write(ledger, record, checksum(data))
        if mark.journal_id != record.journal_id:
            ledger.note_journal(replace(mark, journal_id=record.journal_id))

    def start(self, ledger: LedgerTransaction) -> None:
        """Start a journal with all that a ledger has, in place of the one that it had, if any.

        It remembers which that was, so that a backup that names the old one is known to be of this ledger.

        Raises:
            ShouldRepairLedger: another ledger was faster.
        """
        mark = ledger.journal()
        journal_id = secrets.token_hex(_ID_BYTES)
        base = Head(0, GENESIS, mark.renames, mark.pseudonym_key)
        follows = (mark.journal_id,) if mark.journal_id else ()
        self._write(ledger, Record(0, journal_id, GENESIS, 0, (), base, base, follows), GENESIS)
        ledger.note_journal(replace(mark, journal_id=journal_id))

    def standing(self, ledger: LedgerTransaction) -> JournalStanding:
        """What the ledger is to the journal; nothing is written.

        A ledger that names no journal is known by its rows alone, and one without a row by nothing.

        Raises:
            ShouldRepairLedger: the journal is damaged.
        """
        mark, last, head = ledger.journal(), self._last(), head_of(ledger)
        if last is None:
            return JournalStanding.OTHER if mark.journal_id else JournalStanding.CURRENT
        record, same = last[0], mark.journal_id == last[0].journal_id
        if mark.journal_id:
            own = same or self._follows(mark)
        else:
            own = same = min(head.sequence, record.head.sequence) > 0
        if not own:
            return JournalStanding.OTHER
        if record.head == head or (same and _is_past(record.head, ledger, head)):
            return JournalStanding.CURRENT
        history = self.history()
        if head in history.heads() or history.waits_for_base(head):
            return JournalStanding.BEHIND
        return JournalStanding.OTHER

    def require_told(self, history: History, ledger: LedgerTransaction) -> None:
        """``ShouldRepairLedger`` unless every row that the journal tells is the ledger's."""
        rows = iter(tuple(ledger.rows()))
        for entry in history.entries:
            if isinstance(entry, RenamedAll):
                continue
            row = next(rows, None)
            if row != entry.row:
                raise ShouldRepairLedger(
                    f"Row {entry.row.sequence} of the journal at {self.address} is not the privacy "
                    "ledger's.",
                    "Put the journal back from a copy, or name the right one in "
                    "EVERLOOP_LEDGER_JOURNAL.",
                )

    def history(self) -> History:
        """Everything that the journal tells, in order, after every check of it.

        Raises:
            ShouldRepairLedger: a record is missing, damaged or another journal's.
        """
        found = []
        for number in range(1, self._count() + 1):
            data = self._records.read(name_of(number))
            found.append((decoded(data, name_of(number)), data))
        check_sequence(found)
        base = found[0][0].base if found else Head()
        return History(base, tuple(entry for record, _ in found for entry in record.entries))

    def require_own(self, ledger: LedgerTransaction) -> None:
        """``ShouldRepairLedger`` unless there is a journal, and it is the ledger's."""
        mark, last = ledger.journal(), self._last()
        if last is None:
            raise self._missing(mark)
        if mark.journal_id not in {"", last[0].journal_id} and not self._follows(mark):
            raise self._other(mark, last[0])

    def can_follow(self, ledger: LedgerTransaction) -> bool:
        """Whether the journal lacks nothing but what the ledger appended since."""
        mark, last, head = ledger.journal(), self._last(), head_of(ledger)
        return (
            last is not None
            and (last[0].head == head or mark.journal_id in {"", last[0].journal_id})
            and _is_past(last[0].head, ledger, head)
        )

    def is_empty(self) -> bool:
        """Whether no record is there."""
        return self._count() == 0

    def adopt(self, ledger: LedgerTransaction) -> None:
        """Note in the ledger that this journal is its own; it was checked to be."""
        last = self._last()
        if last is not None:
            ledger.note_journal(replace(ledger.journal(), journal_id=last[0].journal_id))

    def _count(self) -> int:
        names = self._records.names(FOLDER)
        if names and number_of(names[-1]) != len(names):
            raise damaged(
                f"{len(names)} in {self.address}",
                f"or one near it is missing: the last of {len(names)} is {names[-1]}",
            )
        return len(names)

    def _last(self) -> tuple[Record, bytes] | None:
        count = self._count()
        if not count:
            return None
        data = self._records.read(name_of(count))
        record = decoded(data, name_of(count))
        if record.number != count:
            raise damaged(name_of(count), "is another one's")
        return record, data

    def _follows(self, mark: JournalMark) -> bool:
        return mark.journal_id in decoded(self._records.read(name_of(1)), name_of(1)).follows

    def _write(self, ledger: LedgerTransaction, last: Record, previous: str) -> None:
        head = head_of(ledger)
        entries, known = _since(ledger, last.head, head, last.known)
        record = replace(
            last,
            number=last.number + 1,
            previous_sha256=previous,
            known=known,
            entries=entries,
            head=head,
            base=last.base if last.number == 0 else Head(),
            follows=last.follows if last.number == 0 else (),
        )
        try:
            self._records.write(name_of(record.number), encoded(record))
        except ShouldResolveConflict as problem:
            raise ShouldRepairLedger(
                f"Another ledger has written {name_of(record.number)} to the journal at "
                f"{self.address}.",
                "Give each workspace a journal of its own, and use a copied workspace in one place alone.",
            ) from problem

    def _lacking(self, head: Head) -> ShouldRepairLedger:
        history = self.history()
        states = history.heads()
        if head in states or history.waits_for_base(head):
            missing = states[-1].sequence - head.sequence
            turned = states[-1].renames - head.renames
            return ShouldRepairLedger(
                f"The privacy ledger ends with row {head.sequence}, and its journal at {self.address} "
                f"has {missing} rows and {turned} rotations more: an older backup was restored.",
                "Run `everloop privacy recover`; no release is made until it is done.",
            )
        return ShouldRepairLedger(
            f"The privacy ledger's row {head.sequence} is not one of the journal at {self.address}: "
            "they tell other histories.",
            "Name the right journal in EVERLOOP_LEDGER_JOURNAL, or restore the right backup.",
        )

    def _missing(self, mark: JournalMark) -> ShouldRepairLedger:
        return ShouldRepairLedger(
            f"The privacy ledger has a journal ({mark.journal_id or 'none yet'}), and there is none at "
            f"{self.address}.",
            "Put it back, or name its place in EVERLOOP_LEDGER_JOURNAL. If it is lost, run `everloop "
            "privacy recover` with --charge-everyone-since and the day of the restored backup.",
        )

    def _other(self, mark: JournalMark, record: Record) -> ShouldRepairLedger:
        return ShouldRepairLedger(
            f"The journal at {self.address} is {record.journal_id}, and the privacy ledger's is "
            f"{mark.journal_id}.",
            "Name the right journal in EVERLOOP_LEDGER_JOURNAL.",
        )


def head_of(ledger: LedgerTransaction) -> Head:
    """How far a ledger has come."""
    mark, row = ledger.journal(), ledger.last_row()
    told = (0, GENESIS) if row is None else (row.sequence, row.row_sha256)
    return Head(*told, mark.renames, mark.pseudonym_key)


def _is_past(past: Head, ledger: LedgerTransaction, head: Head) -> bool:
    """Whether a ledger went through a head."""
    if past.sequence > head.sequence or past.renames > head.renames:
        return False
    if past.renames == head.renames and past.pseudonym_key != head.pseudonym_key:
        return False
    return past.sequence == 0 or any(
        row.sequence == past.sequence and row.row_sha256 == past.row_sha256 for row in ledger.rows()
    )


def _since(
    ledger: LedgerTransaction, past: Head, head: Head, known: int
) -> tuple[tuple[Entry, ...], int]:
    """What happened since a head, and the largest number of a person that is named then.

    Rows come before renamings: a row after a renaming is only made once that was written down.
    """
    found: list[Entry] = []
    for row in ledger.rows():
        if row.sequence <= past.sequence:
            continue
        if row.status is ReleaseStatus.SPENT:
            url, sha256 = ledger.output(row.release_id) or ("", "")
            found.append(Spent(row, url, sha256))
            continue
        entry = _reserved(ledger, row, known)
        known = max(known, *entry.numbers, 0) if entry.numbers else known
        found.append(entry)
    if head.renames > past.renames:
        found.append(RenamedAll(head.renames, head.pseudonym_key))
    return tuple(found), known


def _reserved(ledger: LedgerTransaction, row: LedgerRow, known: int) -> Reserved:
    people = ledger.charged(row.release_id)
    first, numbers = ledger.first_known_as(people), ledger.numbers(people)
    new = {numbers[person]: first[person] for person in people if numbers[person] > known}
    return Reserved(row, tuple(sorted(numbers[person] for person in people)), new)
