"""Keeps SQLite's write-ahead log small while readers come and go."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from everloop.storage.sql.engine import BUSY_SECONDS, database_path

LARGEST_WAL = 64 * 1024 * 1024
"""Bytes beyond which the log is written back and truncated."""

_PATIENCE_MS = 50
_PAUSE_S = 1.0


class WalKeeper:
    """Truncates the log when it is large.

    SQLite's own checkpoints never wait for a reader, so readers that overlap let the log grow without
    end. This one waits a moment for them; while a single long reader stays, the log has to grow.
    """

    def __init__(self, engine: Engine, largest: int = LARGEST_WAL) -> None:
        self._engine = engine
        self._largest = largest
        self._path = None
        if engine.dialect.name == "sqlite":
            path = database_path(engine)
            self._path = path.with_name(f"{path.name}-wal")
        self._next = 0.0

    @property
    def path(self) -> Path | None:
        """The log's file; ``None`` on another database."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes in the log."""
        try:
            return 0 if self._path is None else self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def keep_small(self) -> None:
        """Truncate the log if it is large; at most once a second."""
        now = time.monotonic()
        if self._path is None or now < self._next:
            return
        self._next = now + _PAUSE_S
        if self.size <= self._largest:
            return
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            # Busy or full: the log stays as it is and the next commit tries again.
            with suppress(sqlite3.Error):
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        finally:
            raw.close()
