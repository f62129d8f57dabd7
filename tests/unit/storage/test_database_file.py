"""A database file that is moved, deleted, replaced or out of reach under an open engine."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import TimeoutError as NoConnection

from everloop.contracts.errors import EverloopError, ShouldRestoreArtefact, ShouldRetryLater
from everloop.storage.schema import ingest_counters, training_episodes
from everloop.storage.sql import sqlite_engine
from everloop.storage.sql.engine import (
    open_beside,
    open_workspace_database,
    reading,
    reading_once,
    writing,
)

ROW = {"tenant": "default", "counter": "episodes", "last": 1}


@pytest.mark.parametrize("pooled", [True, False])
def test_a_deleted_database_is_neither_read_nor_written_nor_made(
    tmp_path: Path, pooled: bool
) -> None:
    path = tmp_path / "state.db"
    engine = open_workspace_database(path)
    if not pooled:
        engine.dispose()
    path.unlink()
    with pytest.raises(ShouldRestoreArtefact, match="gone"), writing(engine) as connection:
        connection.execute(ingest_counters.insert(), ROW)
    for read in (reading, reading_once):
        with pytest.raises(ShouldRestoreArtefact, match="gone"), read(engine):
            pass
    assert not path.exists()


def test_what_one_statement_reads_is_committed_and_its_errors_are_ours(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), ROW)
        with reading_once(engine) as driver:
            assert driver.execute("SELECT * FROM ingest_counters").fetchall() == []
    with reading_once(engine) as driver:
        assert driver.execute("SELECT last FROM ingest_counters").fetchall() == [(1,)]
        assert not driver.in_transaction
    with (
        pytest.raises(ShouldRestoreArtefact, match="no such table"),
        reading_once(engine) as driver,
    ):
        driver.execute("SELECT * FROM unheard_of")
    assert engine.pool.status().endswith("Current Checked out connections: 0")


def test_what_is_moved_away_during_a_write_is_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    engine = open_workspace_database(path)

    def write_while_it_is_moved() -> None:
        with writing(engine) as connection:
            connection.execute(ingest_counters.insert(), ROW)
            path.rename(tmp_path / "moved.db")

    with pytest.raises(ShouldRestoreArtefact):
        write_while_it_is_moved()
    (tmp_path / "moved.db").rename(path)
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), {**ROW, "counter": "signals"})


def test_another_file_at_the_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    engine = open_workspace_database(path)
    open_workspace_database(tmp_path / "other.db").dispose()
    (tmp_path / "other.db").replace(path)
    with pytest.raises(ShouldRestoreArtefact, match="another file"), writing(engine):
        pass


@pytest.mark.parametrize(
    ("code", "words", "error"),
    [
        (sqlite3.SQLITE_CANTOPEN, "unable to open database file", ShouldRetryLater),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "unable to open database file", ShouldRetryLater),
        (sqlite3.SQLITE_IOERR_READ, "disk I/O error", ShouldRetryLater),
        (sqlite3.SQLITE_READONLY_DBMOVED, "attempt to write a readonly", ShouldRetryLater),
        (sqlite3.SQLITE_ERROR, "no such table: decisions", ShouldRestoreArtefact),
        (sqlite3.SQLITE_ERROR, 'near "SELEC": syntax error', None),
    ],
)
def test_errors_of_sqlite_have_names(
    tmp_path: Path, code: int, words: str, error: type[EverloopError] | None
) -> None:
    problem = sqlite3.OperationalError(words)
    problem.sqlite_errorcode = code
    found = sqlite_engine.named(problem, tmp_path / "state.db")
    assert type(found) is (error or type(None))


def test_a_table_that_is_missing_is_named_by_its_remedy(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("ALTER TABLE training_episodes RENAME TO moved")
    with (
        pytest.raises(ShouldRestoreArtefact, match="training_episodes"),
        reading(engine) as connection,
    ):
        connection.execute(select(training_episodes))


@pytest.mark.parametrize("begin", [reading, writing])
def test_no_free_connection_is_a_reason_to_come_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Engine], AbstractContextManager[Connection]],
) -> None:
    monkeypatch.setattr(sqlite_engine, "POOL_SECONDS", 0.05)
    opened = open_workspace_database(tmp_path / "state.db")
    engine = open_beside(opened)
    with (
        reading(engine),
        reading(engine),
        pytest.raises(ShouldRetryLater, match="in use") as busy,
        begin(engine),
    ):
        pass
    assert isinstance(busy.value.__cause__, NoConnection)


def test_many_readers_keep_nobody_out(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    opened, leave = threading.Barrier(41), threading.Event()

    def read() -> None:
        with reading(engine) as connection:
            connection.execute(select(ingest_counters)).all()
            opened.wait(30)
            leave.wait(30)

    readers = [threading.Thread(target=read) for _ in range(40)]
    for reader in readers:
        reader.start()
    opened.wait(30)
    try:
        with writing(engine) as connection:
            connection.execute(ingest_counters.insert(), ROW)
    finally:
        leave.set()
        for reader in readers:
            reader.join()
