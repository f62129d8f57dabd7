"""``PersonStore``: everything of one person, shown or forgotten, in one transaction."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from sqlalchemy import Connection, Engine, LargeBinary, select
from sqlalchemy.exc import IntegrityError

from everloop.contracts.documents import is_full_disk
from everloop.contracts.episodes import Json
from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldRepairLedger,
    ShouldRestoreArtefact,
)
from everloop.contracts.ledger_ports import JournalStanding
from everloop.contracts.privacy import ErasureMark, ErasureRecord
from everloop.storage.local.erased_artefacts import ErasedArtefacts, HeldArtefacts, Traces
from everloop.storage.schema import training_episodes
from everloop.storage.service_tables import erasures
from everloop.storage.sql.engine import BUSY_SECONDS, is_postgresql, reading, writing
from everloop.storage.sql.erasing import Erasure
from everloop.storage.sql.erasure_journal import ErasedPerson, ErasureJournal
from everloop.storage.sql.erasure_marks import marks_of
from everloop.storage.sql.mentions import Mentions
from everloop.storage.sql.person_rows import Implied, erasable_rows, implied_by, kept_rows
from everloop.storage.sql.persona_texts import PersonaTexts, texts_in_graphs

PERSONA_TEXTS = "persona_texts"
"""Under which an export shows what others' persona graphs hold of the person."""
_CHUNK = 500
_PATIENCE_MS = 2000
_IN_MEMORY = 1024 * 1024
"""Bytes of an export that are not worth a file."""


class SqlPersonStore:
    """People of one workspace.

    Args:
        engine: from ``open_database``.
        home: the workspace folder, whose datasets, runs and reports an erasure reaches.
        journal: where every erasure is written down once more before it is answered; without one, a
            restored backup brings people back.
        standing: what this workspace's ledger is to the journal; only what has all of it writes there, and
            only what was once a part of it learns from there, so that two workspaces that name one
            journal erase nobody of each other's. By default the journal is this workspace's.
        files: everything that may hold a person beside the database; by default the folder's.
    """

    def __init__(
        self,
        engine: Engine,
        home: Path | str,
        journal: ErasureJournal | None = None,
        files: HeldArtefacts | None = None,
        standing: Callable[[], JournalStanding] = lambda: JournalStanding.CURRENT,
    ) -> None:
        self._journal = journal
        self._standing = standing
        self._engine = engine
        self._home = Path(home)
        self._files = files or ErasedArtefacts(home)

    def export(
        self, user_id: str, tenant: str = "default"
    ) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """See ``PersonStore``. Times are ISO 8601; checksums are left out; contexts are as stored.

        The rows wait in a file without a name, in the workspace, so that whoever takes them slowly
        holds no connection and no old state of the database.

        Raises:
            ShouldFreeDisk: the file does not fit; no row was given.
        """
        with SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self._home)) as spool:
            with _room_in(self._home), closing(self._read(user_id, tenant)) as rows:
                for table, row in rows:
                    spool.write(json.dumps((table, row)).encode() + b"\n")
                spool.seek(0)
            for line in spool:
                table, row = json.loads(line)
                yield table, row

    def _read(self, user_id: str, tenant: str) -> Generator[tuple[str, Mapping[str, Json]]]:
        with reading(self._engine) as connection:
            implied = implied_by(connection, user_id, tenant)
            mine = erasable_rows(user_id, tenant, implied)
            for part in (*mine, *kept_rows(user_id, tenant)):
                shown = [str(c.name) for c in part.table.c if not isinstance(c.type, LargeBinary)]
                chunked = connection.execution_options(yield_per=_CHUNK)
                with chunked.execute(part.query) as result:
                    for row in result.mappings():
                        yield str(part.table.name), {name: _plain(row[name]) for name in shown}
            for said in texts_in_graphs(connection, user_id, tenant, implied.sources):
                yield PERSONA_TEXTS, said

    def erase(
        self, user_id: str, actor: str, now: datetime, tenant: str = "default", reason: str = ""
    ) -> ErasureRecord:
        """See ``PersonStore``.

        Erasing who has no row left answers with the erasure that took them. Files are deleted once
        the rows are gone; a process that dies between is made up for when the workspace opens next.
        """
        self.finish()
        record = self._erased(str(uuid.uuid4()), user_id, actor, now, tenant, reason)
        self.finish()
        self._write_back()
        return record

    def _erased(
        self,
        erasure_id: str,
        user_id: str,
        actor: str,
        now: datetime,
        tenant: str,
        reason: str,
        again: bool = False,
    ) -> ErasureRecord:
        """``again``: repeat an erasure that a restored backup lacks, and note it in any case."""
        with reading(self._engine) as connection:
            seen = self._files.present()
            about = Mentions(connection, user_id, tenant)
            implied = implied_by(connection, user_id, tenant)
            graphs = PersonaTexts(connection, user_id, tenant, implied.sources)
            held_in = graphs.contents(connection, implied.sources)
            traces = _traces(connection, user_id, tenant, implied, held_in)
            held = self._files.holding(traces)
        with writing(self._engine) as connection:
            if not is_postgresql(self._engine):
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            implied = implied_by(connection, user_id, tenant)
            held_in = graphs.contents(connection, implied.sources)
            traces = _traces(connection, user_id, tenant, implied, held_in)
            held += self._files.holding(traces, but=seen)
            self._files.note(erasure_id, held)
            record = Erasure(connection, user_id, tenant, erasure_id, now).carry_out(
                about, graphs, implied, held, self._files.present().datasets, actor, reason, again
            )
        if record.erasure_id != erasure_id:
            self._files.forget(erasure_id)
        return record

    def marks(self, tenant: str = "default") -> tuple[ErasureMark, ...]:
        """See ``PersonStore``."""
        with reading(self._engine) as connection:
            return marks_of(connection, tenant)

    def finish(self) -> None:
        """Delete the files of erasures that a process did not live to finish, have the journal know
        every erasure, and repeat those that it knows and a restored database lacks.

        An erasure under another pseudonym key than this process's waits for the key to be rotated, and one
        that this workspace's ledger may not write down or learn of waits for ``privacy recover``.
        """
        self._files.finish(self._took_place)
        if self._journal is None:
            return
        stored, known = self._stored_erasures(), self._journal.known()
        unwritten, missing = stored.keys() - known, known - stored.keys()
        stands = self._stands() if unwritten or missing else JournalStanding.OTHER
        if stands is JournalStanding.CURRENT:
            for erasure_id in unwritten:
                self._journal.note(erasure_id, *stored[erasure_id])
        if missing and stands is not JournalStanding.OTHER:
            for told in self._journal.erased(missing):
                if told.key == self._journal.key:
                    self._repeat(told)
            self._files.finish(self._took_place)
            self._write_back()

    def waiting(self) -> int:
        """Erasures of the journal that this database lacks: they are of another pseudonym key, or the
        journal is not known to be this ledger's."""
        if self._journal is None:
            return 0
        return len(self._journal.known() - self._stored_erasures().keys())

    def _stands(self) -> JournalStanding:
        try:
            return self._standing()
        except (ShouldRepairLedger, ShouldRestoreArtefact):  # every release says so
            return JournalStanding.OTHER

    def _repeat(self, told: ErasedPerson) -> None:
        with suppress(IntegrityError):  # another process was faster
            self._erased(
                told.erasure_id,
                told.person,
                "system:recovery",
                told.recorded_at,
                told.tenant,
                "a restored backup lacked this erasure",
                again=True,
            )

    def _stored_erasures(self) -> dict[str, tuple[str, str, datetime]]:
        query = select(
            erasures.c.erasure_id, erasures.c.tenant, erasures.c.user_id, erasures.c.recorded_at
        )
        with reading(self._engine) as connection:
            return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query)}

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
        with suppress(
            sqlite3.Error, EverloopError
        ):  # busy, full or away: a later checkpoint does it
            raw = self._engine.raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
                with suppress(sqlite3.Error):
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
            finally:
                raw.close()


@contextmanager
def _room_in(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if is_full_disk(problem):
            raise ShouldFreeDisk(
                f"No room in {home} for what an export shows.", "Free disk space and repeat."
            ) from problem
        raise


def _traces(
    connection: Connection,
    person: str,
    tenant: str,
    implied: Implied,
    contents: frozenset[str],
) -> Traces:
    own = select(training_episodes.c.episode_id).where(
        training_episodes.c.tenant == tenant, training_episodes.c.user_id == person
    )
    return Traces(
        person,
        episode_ids=frozenset(connection.scalars(own)) | implied.episode_ids,
        signal_ids=frozenset(implied.signal_ids),
        sources=implied.sources,
        contents=contents,
    )


def _plain(value: Any) -> Json:
    return value.isoformat() if isinstance(value, datetime) else value
