"""The file behind SQLite connections: the one that was opened, still at its path."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from everloop.contracts.errors import ShouldRestoreArtefact


class DatabaseFile:
    """A database file by its identity, so that a moved, deleted or replaced one is noticed.

    SQLite goes on writing to a file that has no name any more, and makes an empty database where there
    is none. What such a file holds is gone when the process ends.

    Args:
        path: of a file that exists, an empty one at least.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = str(path)
        self._identity: tuple[int, int] | None = None

    def connect(self, timeout: float) -> sqlite3.Connection:
        """A connection to the file; never makes one.

        Args:
            timeout: seconds to wait for another writer.

        Raises:
            ShouldRestoreArtefact: as ``require`` does.
        """
        self.require()
        connection = sqlite3.connect(
            f"file:{quote(self._place)}?mode=rw",
            timeout=timeout,
            uri=True,
            check_same_thread=False,  # the pool hands it on, to one thread at a time
        )
        try:
            self.require()
        except ShouldRestoreArtefact:
            connection.close()
            raise
        return connection

    def require(self) -> None:
        """Check that the path still names the file that was opened first; takes microseconds.

        Raises:
            ShouldRestoreArtefact: it names another file, or none.
        """
        try:
            found = os.stat(self._place)  # noqa: PTH116  (a third of the time, at every commit)
        except (FileNotFoundError, NotADirectoryError):
            raise ShouldRestoreArtefact(
                f"{self.path} is gone.",
                "Stop everloop, put the file back or restore it from a backup, and start again.",
            ) from None
        identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise ShouldRestoreArtefact(
                f"{self.path} is another file than the one that was opened.",
                "Stop everloop, make sure that the right file is there, and start again.",
            )
