"""Records of the spending journal: what a ledger appended, in a form that stands alone.

A record is a line that says what it is, a line with the SHA-256 of the rest, and one JSON object. Each
names the checksum of the record before it. People are told by their numbers in the ledger, packed as
bits; who is new is named once, by the pseudonym that commitments know them by. Noise seeds are never told:
a journal is kept for ever, and a release's seed must end with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from everloop.contracts.canonical import Json, canonical_json
from everloop.contracts.errors import ShouldRepairLedger
from everloop.contracts.privacy import LedgerRow
from everloop.privacy.chain import GENESIS, content_of, row_from

FORMAT = "everloop spending journal 1"
FOLDER = "spending/"
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Head:
    """How far a ledger has come: its last row and the renamings of its people."""

    sequence: int = 0
    row_sha256: str = GENESIS
    renames: int = 0
    pseudonym_key: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A charge: the row, the numbers of its people, and the names of those whom no entry named before."""

    row: LedgerRow
    numbers: tuple[int, ...]
    new: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Spent:
    """A completion and where its output lies."""

    row: LedgerRow
    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RenamedAll:
    """Everyone got the pseudonym of another key."""

    renames: int
    pseudonym_key: str


Entry = Reserved | Spent | RenamedAll


@dataclass(frozen=True, slots=True)
class Record:
    """Some entries in their order.

    Attributes:
        number: of the record, from 1.
        journal_id: the same in every record of a journal.
        previous_sha256: checksum of the record before; zeros in the first.
        known: largest number of a person that this journal has named.
        head: of the ledger after the entries.
        base: in the first record, the renamings that came before the journal; no row does.
        follows: in the first record, ids of the journals that this one was started in place of.
    """

    number: int
    journal_id: str
    previous_sha256: str
    known: int
    entries: tuple[Entry, ...]
    head: Head
    base: Head = Head()
    follows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Everything that a journal tells, in order, after the head ``base``."""

    base: Head
    entries: tuple[Entry, ...]

    def heads(self) -> list[Head]:
        """The head before any entry, and after each."""
        found = [self.base]
        for entry in self.entries:
            found.append(after(found[-1], entry))
        return found

    def waits_for_base(self, head: Head) -> bool:
        """Whether a head is of before the last renaming that the journal was started after.

        Rows that are older than the journal are told under the names of its start, so that whoever lacks
        that renaming makes up for it first.
        """
        renamed = replace(head, renames=self.base.renames, pseudonym_key=self.base.pseudonym_key)
        return head.renames + 1 == self.base.renames and renamed in self.heads()


def name_of(number: int) -> str:
    """Where a record is kept."""
    return f"{FOLDER}{number:0{_DIGITS}d}.json"


def number_of(name: str) -> int:
    """The number in a record's name; ``ShouldRepairLedger`` when there is none."""
    text = name.removeprefix(FOLDER).removesuffix(".json")
    if not text.isdecimal() or name_of(int(text)) != name:
        raise ShouldRepairLedger(
            f"{name} is no record of a spending journal.", "Move it out of the journal."
        )
    return int(text)


def after(head: Head, entry: Entry) -> Head:
    """The head of a ledger once an entry has happened."""
    if isinstance(entry, RenamedAll):
        return Head(head.sequence, head.row_sha256, entry.renames, entry.pseudonym_key)
    return Head(entry.row.sequence, entry.row.row_sha256, head.renames, head.pseudonym_key)


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def encoded(record: Record) -> bytes:
    """The record's bytes; the same record gives the same ones."""
    told: dict[str, Json] = {}
    if record.base != Head():
        told["base"] = _head(record.base)
    if record.follows:
        told["follows"] = list(record.follows)
    body = canonical_json(
        {
            **told,
            "number": record.number,
            "journal_id": record.journal_id,
            "previous_sha256": record.previous_sha256,
            "known": record.known,
            "entries": [_told(entry) for entry in record.entries],
            "head": _head(record.head),
        }
    ).encode()
    return f"{FORMAT}\n{checksum(body)}\n".encode() + body + b"\n"


def decoded(data: bytes, place: str) -> Record:
    """Read a record.

    Args:
        place: what to call it in a message.

    Raises:
        ShouldRepairLedger: it is damaged, or of a version that this one does not know.
    """
    kind, _, rest = data.partition(b"\n")
    said, _, body = rest.partition(b"\n")
    if kind != FORMAT.encode():
        raise damaged(place, f"does not begin with {FORMAT!r}")
    if checksum(body.removesuffix(b"\n")) != said.decode(errors="replace"):
        raise damaged(place, "is not what its checksum says")
    try:
        found = json.loads(body)
        return Record(
            number=found["number"],
            journal_id=found["journal_id"],
            previous_sha256=found["previous_sha256"],
            known=found["known"],
            entries=tuple(_entry(entry) for entry in found["entries"]),
            head=Head(**found["head"]),
            base=Head(**found.get("base", {})),
            follows=tuple(found.get("follows", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as problem:
        raise damaged(place, f"cannot be read ({problem!r})") from None


def damaged(place: str, problem: str) -> ShouldRepairLedger:
    """The error that names a record that cannot be trusted."""
    return ShouldRepairLedger(
        f"The spending journal's record {place} {problem}.",
        "Put the record back from a copy of the journal. If there is none, move the journal away and run "
        "`everloop privacy recover` with --charge-everyone-since.",
    )


def _told(entry: Entry) -> dict[str, Json]:
    match entry:
        case Reserved(row, numbers, new):
            return {
                "kind": "reserved",
                "row": _row(row),
                "people": _packed(numbers),
                "new": [[number, name] for number, name in sorted(new.items())],
            }
        case Spent(row, url, sha256):
            return {"kind": "spent", "row": _row(row), "url": url, "sha256": sha256}
        case RenamedAll(renames, pseudonym_key):
            return {"kind": "renamed", "renames": renames, "pseudonym_key": pseudonym_key}


def _entry(told: Mapping[str, Json]) -> Entry:
    kind = told["kind"]
    if kind == "reserved":
        return Reserved(row_from(told["row"]), _unpacked(told["people"]), dict(told["new"]))
    if kind == "spent":
        return Spent(row_from(told["row"]), told["url"], told["sha256"])
    if kind == "renamed":
        return RenamedAll(told["renames"], told["pseudonym_key"])
    raise ValueError(f"unknown kind {kind!r}")


def _head(head: Head) -> dict[str, Json]:
    return {name: getattr(head, name) for name in Head.__dataclass_fields__}


def _row(row: LedgerRow) -> dict[str, Json]:
    return {**content_of(row), "row_sha256": row.row_sha256}


def _packed(numbers: Iterable[int]) -> str:
    wanted = list(numbers)
    bits = np.zeros(max(wanted, default=-1) + 1, dtype=np.bool_)
    bits[wanted] = True
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def _unpacked(text: str) -> tuple[int, ...]:
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype=np.uint8)
    return tuple(int(number) for number in np.flatnonzero(np.unpackbits(raw)))


def check_sequence(records: Sequence[tuple[Record, bytes]]) -> None:
    """Check that whole records follow one another: numbers, checksums, heads and one journal.

    Raises:
        ShouldRepairLedger: naming the first that does not.
    """
    previous, head, known = GENESIS, records[0][0].base if records else Head(), 0
    if (head.sequence, head.row_sha256) != (0, GENESIS):
        raise damaged(name_of(1), "begins after a row")
    for number, (record, data) in enumerate(records, 1):
        place = name_of(number)
        if record.number != number or record.journal_id != records[0][0].journal_id:
            raise damaged(place, "is another one's")
        if record.previous_sha256 != previous:
            raise damaged(place, "does not follow the record before it")
        if number > 1 and (record.base != Head() or record.follows):
            raise damaged(place, "begins a journal within one")
        for entry in record.entries:
            head = after(head, entry)
            if isinstance(entry, Reserved):
                known = max(known, *entry.new, 0) if entry.new else known
        if record.head != head or record.known != known:
            raise damaged(place, "does not add up")
        previous = checksum(data)
