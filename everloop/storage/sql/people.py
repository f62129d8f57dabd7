"""``PersonStore``: everything of one person, shown or forgotten, in one transaction."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, LargeBinary, select

from everloop.contracts.episodes import Json
from everloop.contracts.privacy import ErasureMark, ErasureRecord
from everloop.storage.local.erased_artefacts import ErasedArtefacts
from everloop.storage.schema import training_episodes
from everloop.storage.service_tables import erasures
from everloop.storage.sql.engine import BUSY_SECONDS, is_postgresql, reading, writing
from everloop.storage.sql.erasing import Erasure
from everloop.storage.sql.erasure_marks import marks_of
from everloop.storage.sql.mentions import Mentions
from everloop.storage.sql.person_rows import erasable_rows, kept_rows

_CHUNK = 500
_PATIENCE_MS = 2000


class SqlPersonStore:
    """People of one workspace.

    Args:
        engine: from ``open_database``.
        home: the workspace folder, whose datasets, runs and reports an erasure reaches.
    """

    def __init__(self, engine: Engine, home: Path | str) -> None:
        self._engine = engine
        self._files = ErasedArtefacts(home)

    def export(
        self, user_id: str, tenant: str = "default"
    ) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """See ``PersonStore``. Times are ISO 8601; checksums are left out; contexts are as stored."""
        with reading(self._engine) as connection:
            for part in (*erasable_rows(user_id, tenant), *kept_rows(user_id, tenant)):
                shown = [str(c.name) for c in part.table.c if not isinstance(c.type, LargeBinary)]
                result = connection.execution_options(yield_per=_CHUNK).execute(part.query)
                for row in result.mappings():
                    yield str(part.table.name), {name: _plain(row[name]) for name in shown}

    def erase(
        self, user_id: str, actor: str, now: datetime, tenant: str = "default", reason: str = ""
    ) -> ErasureRecord:
        """See ``PersonStore``.

        Erasing who has no row left answers with the erasure that took them. Files are deleted once
        the rows are gone; a process that dies between is made up for when the workspace opens next.
        """
        self.finish()
        erasure_id = str(uuid.uuid4())
        with reading(self._engine) as connection:
            seen = self._files.present()
            about = Mentions(connection, user_id, tenant)
            held = self._files.holding(user_id, _episode_ids(connection, user_id, tenant))
        with writing(self._engine) as connection:
            if not is_postgresql(self._engine):
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            episode_ids = _episode_ids(connection, user_id, tenant)
            held += self._files.holding(user_id, episode_ids, but=seen)
            self._files.note(erasure_id, held)
            record = Erasure(connection, user_id, tenant, erasure_id, now).carry_out(
                about, held, self._files.present().datasets, actor, reason
            )
        if record.erasure_id != erasure_id:
            self._files.forget(erasure_id)
        self.finish()
        self._write_back()
        return record

    def marks(self, tenant: str = "default") -> tuple[ErasureMark, ...]:
        """See ``PersonStore``."""
        with reading(self._engine) as connection:
            return marks_of(connection, tenant)

    def finish(self) -> None:
        """Delete the files of erasures that a process did not live to finish."""
        self._files.finish(self._took_place)

    def _took_place(self, erasure_id: str) -> bool:
        found = select(erasures.c.erasure_id).where(erasures.c.erasure_id == erasure_id)
        with reading(self._engine) as connection:
            return connection.scalar(found.limit(1)) is not None

    def _write_back(self) -> None:
        """Move what SQLite's write-ahead log holds into the file, so that no old page stays in it.

        While somebody reads, it stays until a later checkpoint.
        """
        if is_postgresql(self._engine):
            return
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            with suppress(sqlite3.Error):  # busy or full: a later checkpoint does it
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        finally:
            raw.close()


def _episode_ids(connection: Connection, person: str, tenant: str) -> list[str]:
    query = select(training_episodes.c.episode_id).where(
        training_episodes.c.tenant == tenant, training_episodes.c.user_id == person
    )
    return list(connection.scalars(query))


def _plain(value: Any) -> Json:
    return value.isoformat() if isinstance(value, datetime) else value
