"""Opening the workspace database."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import ShouldFreeDisk, ShouldInitWorkspace, ShouldRestoreArtefact
from everloop.storage.schema import deployment_log, ingest_counters, metadata
from everloop.storage.sql.engine import (
    database_path,
    open_workspace_database,
    reading,
    verify_pages,
    writing,
)

COUNTER = {"tenant": "default", "counter": "episodes", "last": 1}


def test_a_new_database_has_every_table(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "made" / "here" / "state.db")
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    assert database_path(engine) == tmp_path / "made" / "here" / "state.db"


@pytest.mark.parametrize("name", ["with space.db", "per%cent.db", "quest?ion.db", "é.db"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with writing(open_workspace_database(path)) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)
    assert path.is_file()
    with reading(open_workspace_database(path)) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) == 1


def test_a_commit_survives_a_power_cut_and_keys_are_enforced(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with reading(engine) as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 60_000,
    }


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    with writing(open_workspace_database(tmp_path / "state.db")) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)
    with reading(open_workspace_database(tmp_path / "state.db", create=False)) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) == 1


def test_an_absent_database_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(ShouldInitWorkspace, match="everloop init"):
        open_workspace_database(tmp_path / "state.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    engine = open_workspace_database(path)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_future'")
    with pytest.raises(ShouldInitWorkspace, match="9999_future"):
        open_workspace_database(path)
    with reading(engine) as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    assert version == "9999_future"


def test_a_strangers_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as stranger:
        stranger.execute("CREATE TABLE customers (name TEXT)")
    with pytest.raises(ShouldInitWorkspace, match="did not make"):
        open_workspace_database(path)
    tables = stranger.execute("SELECT name FROM sqlite_master").fetchall()
    stranger.close()
    assert tables == [("customers",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("this is a letter, not a database\n" * 100)
    with pytest.raises(ShouldInitWorkspace, match="no SQLite database"):
        open_workspace_database(path)


def damage(path: Path, table: str) -> None:
    """Overwrite the page where a table begins."""
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    raw.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + (100 if page == 1 else 0))
        file.write(b"\xff" * (size // 2))


REMEDY = r"state\.db is damaged .* do not delete it, it holds the privacy ledger"


def test_a_database_damaged_at_its_root_is_named_when_opened(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_workspace_database(path).dispose()
    damage(path, "alembic_version")
    with pytest.raises(ShouldRestoreArtefact, match=REMEDY):
        open_workspace_database(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2000)
    with pytest.raises(ShouldRestoreArtefact, match=REMEDY):
        open_workspace_database(path)


def test_a_damaged_table_is_named_when_read_written_or_verified(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_workspace_database(path).dispose()
    verify_pages(open_workspace_database(path))
    damage(path, "ingest_counters")
    engine = open_workspace_database(path)
    with pytest.raises(ShouldRestoreArtefact, match=REMEDY), reading(engine) as connection:
        connection.scalar(select(ingest_counters.c.last))
    with pytest.raises(ShouldRestoreArtefact, match=REMEDY), writing(engine) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)
    with pytest.raises(ShouldRestoreArtefact, match=REMEDY):
        verify_pages(engine)


def test_an_interrupted_migration_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("alembic.runtime.migration.MigrationContext.stamp", killed)
        patched.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", killed)
        with pytest.raises(KeyboardInterrupt):
            open_workspace_database(tmp_path / "state.db")
    with sqlite3.connect(tmp_path / "state.db") as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()
    engine = open_workspace_database(tmp_path / "state.db")
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")

    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(ingest_counters.insert(), COUNTER)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) is None


def test_writers_take_turns(tmp_path: Path) -> None:
    """Read, then write what was read: none of many increments is lost."""
    engine = open_workspace_database(tmp_path / "state.db")
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), COUNTER | {"last": 0})

    def increment() -> None:
        for _ in range(20):
            with writing(engine) as connection:
                last = connection.scalars(select(ingest_counters.c.last)).one()
                connection.execute(ingest_counters.update().values(last=last + 1))

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) == 80


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with reading(engine) as reader:
        assert reader.scalar(select(ingest_counters.c.last)) is None
        with writing(engine) as writer:
            writer.execute(ingest_counters.insert(), COUNTER)
        assert reader.scalar(select(ingest_counters.c.last)) is None


def test_a_full_database_is_named(tmp_path: Path) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")
        connection.rollback()
        many = [COUNTER | {"tenant": str(number)} for number in range(1000)]
        with pytest.raises(ShouldFreeDisk, match=r"state\.db") as full, connection.begin():
            connection.execute(ingest_counters.insert(), many)
        assert isinstance(full.value.__cause__, sqlite3.OperationalError)
    with reading(engine) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) is None


@pytest.mark.parametrize(
    "verb", ["UPDATE deployment_log SET reason = ''", "DELETE FROM deployment_log"]
)
def test_the_deployment_log_refuses_changes(tmp_path: Path, verb: str) -> None:
    engine = open_workspace_database(tmp_path / "state.db")
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "INSERT INTO deployment_log VALUES ('default', 'walk', 'active', 1, NULL, NULL, 'x', 0)"
        )
    with pytest.raises(IntegrityError, match="append-only"), writing(engine) as connection:
        connection.exec_driver_sql(verb)
    with reading(engine) as connection:
        assert connection.scalar(select(deployment_log.c.reason)) == "x"
