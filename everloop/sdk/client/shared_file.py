"""A SQLite file that threads, processes and forks may share, and that nobody else may read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)

_BUSY_S = 30.0


class SharedFile:
    """One connection for each process; what is committed survives a power cut."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._parents: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Close this process's connection."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is written inside, or nothing; one at a time."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection.

        Raises:
            ShouldFreeDisk, ShouldFixArgument, ShouldRestoreArtefact: the file can't be used.
        """
        with self._lock:
            try:
                yield self._connection()
            except sqlite3.OperationalError as problem:
                raise _writable(self._path, problem) from problem
            except sqlite3.DatabaseError as problem:
                raise ShouldRestoreArtefact(
                    f"{self._path} is damaged or no buffer ({problem}).",
                    "Move it away to look at it; a new one is made.",
                ) from problem

    def _connection(self) -> sqlite3.Connection:
        """This process's; one that a fork inherited is neither used nor closed."""
        if self._opened is not None:
            if self._opened[0] == os.getpid():
                return self._opened[1]
            self._parents.append(self._opened[1])
        own(self._path)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        self._opened = (os.getpid(), connection)
        return connection


def own(path: Path) -> None:
    """Make a file its owner's alone; the journals beside it get the same mode.

    One that is there is not opened: closing it would end the locks that this process has on it.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        path.chmod(0o600)
    except OSError as problem:
        raise ShouldFixArgument(
            f"{path} cannot be written ({problem}).", "Give a file in a folder of this user's."
        ) from problem


def _writable(path: Path, problem: sqlite3.OperationalError) -> EverloopError:
    if problem.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return ShouldFreeDisk(f"{path}: the disk is full.", "Free space; nothing was half-written.")
    return ShouldFixArgument(f"{path} cannot be used ({problem}).", "Give another path.")
