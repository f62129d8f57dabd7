"""Keeps SQLite's write-ahead log small, beside the writer and not in its way."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from sqlalchemy import Engine

from everloop.contracts.errors import EverloopError
from everloop.storage.sql.engine import BUSY_SECONDS, database_path

LARGEST_WAL = 16 * 1024 * 1024
"""Bytes beyond which the log is written back to the database."""

_PATIENCE_MS = 50
_PAUSE_S = 0.1
_log = logging.getLogger(__name__)


class WalKeeper:
    """A thread that writes the log back when it is large, then truncates it.

    SQLite's own checkpoints run inside a commit, which then takes as long as rewriting a thousand pages
    does. The first pass here runs beside the writer; the second stops it for what is left, and waits a
    moment for readers, so that overlapping ones cannot let the log grow without end. While a single
    reader stays, the log has to grow.

    Args:
        engine: the workspace database; on PostgreSQL there is nothing to do.
        largest: bytes.
    """

    def __init__(self, engine: Engine, largest: int = LARGEST_WAL) -> None:
        self._engine = engine
        self._largest = largest
        self._path: Path | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if engine.dialect.name == "sqlite":
            path = database_path(engine)
            self._path = path.with_name(f"{path.name}-wal")
            self._thread = threading.Thread(target=self._run, name="everloop-wal", daemon=True)
            self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the log is looked after; True where there is nothing to look after."""
        return self._thread is None or self._thread.is_alive()

    @property
    def size(self) -> int:
        """Bytes in the log; 0 on another database."""
        try:
            return 0 if self._path is None else self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Stop; idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(_PAUSE_S):
            try:
                if self.size > self._largest:
                    self._write_back()
                failing = False
            except (sqlite3.Error, EverloopError):
                continue  # busy, full or away: the log stays as it is, and is looked at again
            except Exception:
                if not failing:
                    _log.exception("The write-ahead log cannot be written back; trying again.")
                failing = True

    def _write_back(self) -> None:
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            try:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        finally:
            raw.close()
