"""Requests that wait on this machine's disk until the service can be told.

What people did and said lies here in the clear: the files belong to their owner alone (mode 0600), and
delivered entries are overwritten.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from everloop.contracts.errors import EverloopError, ShouldDeliverBuffer, ShouldFixArgument
from everloop.sdk.client.call import Call
from everloop.sdk.client.shared_file import SharedFile, own

LARGEST_BYTES = 64 * 1024 * 1024
_SMALLEST_BYTES = 64 * 1024
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, faults INTEGER NOT NULL DEFAULT 0,
  body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
  sequence INTEGER PRIMARY KEY, path TEXT NOT NULL, error TEXT NOT NULL, reason TEXT NOT NULL,
  at TEXT NOT NULL, body BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that is to be delivered; ``faults``: how often the service failed at it (500)."""

    sequence: int
    path: str
    body: bytes = field(repr=False)
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that the service will not take, and why; ``error`` is the error's class."""

    sequence: int
    path: str
    body: bytes = field(repr=False)
    error: str
    reason: str
    at: datetime


class Buffer:
    """A queue on disk, shared by any number of threads and processes; what it took survives a power cut.

    Args:
        path: the file, made where it isn't there; one for each service and tenant.
        largest_bytes: of the file, refused entries included; at least 64 KiB.

    Raises:
        ShouldFixArgument: the path can't be written, or is a file of something else.
        ShouldRestoreArtefact: the file is damaged.
    """

    def __init__(self, path: Path | str, largest_bytes: int = LARGEST_BYTES) -> None:
        if largest_bytes < _SMALLEST_BYTES:
            raise ShouldFixArgument(
                f"largest_bytes={largest_bytes} is too small.", f"Give {_SMALLEST_BYTES} or more."
            )
        self.path = Path(path)
        self._largest = largest_bytes
        self._file = SharedFile(self.path)
        with self._file.transaction() as connection:
            self._prepare(connection)

    def append(self, call: Call[Any]) -> int:
        """Put a request behind the others; on disk when this returns. Its number.

        Raises:
            ShouldDeliverBuffer: there is no room.
            ShouldFreeDisk: the disk is full.
        """
        body = call.body or b""
        with self._file.transaction() as connection:
            used = self._used(connection)
            if used + len(body) > self._largest:
                raise ShouldDeliverBuffer(
                    f"{self.path} holds {used:,} bytes and may hold {self._largest:,}; "
                    f"a request of {len(body):,} bytes was not kept.",
                    "Reach the service and flush(), look at refused(), or allow more bytes.",
                )
            entry = connection.execute(
                "INSERT INTO waiting (path, body) VALUES (?, ?)", (call.path, body)
            )
            return int(entry.lastrowid or 0)

    def first(self) -> Waiting | None:
        """What is to be delivered next; ``None`` when nothing waits."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT sequence, path, body, faults FROM waiting ORDER BY sequence LIMIT 1"
            ).fetchone()
        return None if row is None else Waiting(*row)

    def __len__(self) -> int:
        """How many requests wait."""
        with self._file.reading() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM waiting").fetchone()
        return int(count)

    def __bool__(self) -> bool:
        """A buffer is there, also when nothing waits in it."""
        return True

    def delivered(self, sequence: int) -> None:
        """Forget an entry that the service has stored."""
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM waiting WHERE sequence = ?", (sequence,))

    def failed(self, sequence: int) -> None:
        """Count that the service failed at an entry."""
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE waiting SET faults = faults + 1 WHERE sequence = ?", (sequence,)
            )

    def refuse(self, sequence: int, problem: EverloopError) -> None:
        """Put an entry aside that the service will not take."""
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO refused (sequence, path, error, reason, at, body) "
                "SELECT sequence, path, ?, ?, ?, body FROM waiting WHERE sequence = ?",
                (type(problem).__name__, str(problem), datetime.now(UTC).isoformat(), sequence),
            )
            connection.execute("DELETE FROM waiting WHERE sequence = ?", (sequence,))

    def refused(self) -> tuple[Refused, ...]:
        """Entries that the service would not take, oldest first, each with the reason."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT sequence, path, body, error, reason, at FROM refused ORDER BY sequence"
            ).fetchall()
        return tuple(
            Refused(sequence, path, body, error, reason, datetime.fromisoformat(at))
            for sequence, path, body, error, reason, at in rows
        )

    def resubmit(self, sequence: int) -> None:
        """Put a refused entry back behind the others, once its cause is gone.

        Raises:
            ShouldFixArgument: there is no such refused entry.
        """
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT INTO waiting (path, body) SELECT path, body FROM refused WHERE sequence = ?",
                (sequence,),
            )
            self._drop(connection, sequence)

    def discard(self, sequence: int) -> None:
        """Delete a refused entry for good.

        Raises:
            ShouldFixArgument: there is no such refused entry.
        """
        with self._file.transaction() as connection:
            self._drop(connection, sequence)

    @contextlib.contextmanager
    def delivering(self) -> Iterator[bool]:
        """The right to deliver, which one client has at a time; ``False`` while another one has it.

        It ends with the process that has it, however that ends.
        """
        place = self.path.with_name(self.path.name + ".delivery")
        own(place)
        connection = sqlite3.connect(
            place, timeout=0.0, isolation_level=None, check_same_thread=False
        )
        try:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
            else:
                yield True
        finally:
            connection.close()

    def tidy(self) -> None:
        """Empty the journal, where delivered entries would stay readable."""
        with self._file.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        self._file.close()

    def _drop(self, connection: sqlite3.Connection, sequence: int) -> None:
        if not connection.execute("DELETE FROM refused WHERE sequence = ?", (sequence,)).rowcount:
            raise ShouldFixArgument(
                f"{self.path} has no refused entry {sequence}.", "refused() lists them."
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if version not in {0, _VERSION} or (version == 0 and tables):
            raise ShouldFixArgument(
                f"{self.path} is no buffer of this version.", "Give a path of its own."
            )
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")

    @staticmethod
    def _used(connection: sqlite3.Connection) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
