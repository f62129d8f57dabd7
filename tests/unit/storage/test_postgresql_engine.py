"""Opening PostgreSQL, its two transactions, and what becomes of its errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import IntegrityError

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.storage.schema import ingest_counters, metadata
from everloop.storage.sql.bulk import bulk_of
from everloop.storage.sql.engine import (
    database_name,
    open_database,
    reading,
    verify_pages,
    writing,
)
from everloop.storage.sql.postgresql_engine import exclude_writers, parsed
from everloop.storage.sql.postgresql_errors import named, named_state
from tests.postgresql_server import PASSWORD, PostgresqlServer, close_connections

COUNTER = {"tenant": "default", "counter": "episodes", "last": 1}


@pytest.fixture
def engine(postgresql_url: str) -> Engine:
    return open_database(postgresql_url, Path())


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://ann:pw@h:1/d", "postgresql+psycopg://ann:***@h:1/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        (" postgresql+psycopg:///d?host=/run \n", "postgresql+psycopg:///d?host=%2Frun"),
    ],
)
def test_urls_of_postgresql_are_taken(url: str, driver: str) -> None:
    assert parsed(url).render_as_string() == driver


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://ann:geheim@h/d", "begins with 'mysql'"),
        ("sqlite:///geheim.db", "begins with 'sqlite'"),
        ("postgresql+asyncpg://ann:geheim@h/d", "asyncpg"),
        ("postgresql://ann:geheim@h", "names no database"),
        ("postgresql://ann:geheim@h:port/d", "cannot be read"),
        ("geheim", "cannot be read"),
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str, said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said) as refused:
        open_database(url, Path())
    assert "geheim" not in str(refused.value)
    assert "postgresql://user:password@host" in refused.value.remedy


def test_the_password_is_in_no_message(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database()
    engine = open_database(url, Path())
    assert PASSWORD not in database_name(engine) + repr(engine) + str(engine.url)
    for wrong in (url.replace("/test_", "/absent_"), url.replace("everloop_test", "nobody")):
        with pytest.raises(ShouldRetryLater) as refused:
            open_database(wrong, Path())
        assert PASSWORD not in str(refused.value)
        assert "127.0.0.1" in refused.value.message
    close_connections()


def test_migrations_make_what_the_schema_says(engine: Engine) -> None:
    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return kind != "table" or name in metadata.tables

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": ours}
        )
        assert compare_metadata(context, metadata) == []


def test_of_many_that_open_a_new_database_one_migrates(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database(migrated=False)
    failed: list[BaseException] = []

    def open_it() -> None:
        try:
            open_database(url, Path())
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(metadata.tables) <= set(inspect(open_database(url, Path())).get_table_names())
    close_connections()


def test_a_newer_or_a_strangers_database_is_refused(postgresql: PostgresqlServer) -> None:
    newer, stranger = postgresql.new_database(), postgresql.new_database(migrated=False)
    with psycopg.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_future'")
    with pytest.raises(ShouldInitWorkspace, match="9999_future"):
        open_database(newer, Path())
    with psycopg.connect(stranger) as connection:
        connection.execute("CREATE TABLE customers (name text)")
    with pytest.raises(ShouldInitWorkspace, match="did not make"):
        open_database(stranger, Path())
    close_connections()


def test_a_user_that_may_not_make_tables_is_told(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database(migrated=False)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'throw-away'")
    with pytest.raises(ShouldInitWorkspace, match="owner of the database"):
        open_database(url.replace("everloop_test", "guest"), Path())
    close_connections()


def test_text_that_is_not_utf8_is_refused(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database(migrated=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' "
            "LOCALE_PROVIDER libc LOCALE 'C'"
        )
    with pytest.raises(ShouldInitWorkspace, match="LATIN1"):
        open_database(postgresql.url("latin"), Path())
    close_connections()


def test_a_commit_survives_a_power_cut(engine: Engine) -> None:
    with reading(engine) as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in (
                "fsync",
                "synchronous_commit",
                "TimeZone",
                "lock_timeout",
                "tcp_keepalives_idle",
            )
        }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "lock_timeout": "1min",
        "tcp_keepalives_idle": "10",
    }


def test_writers_take_turns(engine: Engine) -> None:
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


def test_a_reader_sees_one_state_and_writes_nothing(engine: Engine) -> None:
    with reading(engine) as reader:
        assert reader.scalar(select(ingest_counters.c.last)) is None
        with writing(engine) as writer:
            writer.execute(ingest_counters.insert(), COUNTER)
        assert reader.scalar(select(ingest_counters.c.last)) is None
    with pytest.raises(ShouldRetryLater, match="read-only"), reading(engine) as reader:
        reader.execute(ingest_counters.insert(), COUNTER | {"tenant": "other"})


def test_a_failed_write_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(ingest_counters.insert(), COUNTER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) is None


@pytest.mark.parametrize("verb", ["UPDATE deployment_log SET reason = ''", "TRUNCATE audit_log"])
def test_append_only_tables_refuse_changes(engine: Engine, verb: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), writing(engine) as connection:
        connection.exec_driver_sql(verb)


def test_a_writer_that_waited_too_long_is_told_to_come_back(engine: Engine) -> None:
    def impatient() -> None:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            exclude_writers(connection)

    with writing(engine), pytest.raises(ShouldRetryLater, match="busy") as busy:
        impatient()
    assert busy.value.retry_after > 0
    impatient()


def test_a_wrong_statement_keeps_its_own_error_and_hides_values(engine: Engine) -> None:
    rows = [COUNTER | {"last": 76_543}] * 2
    with pytest.raises(IntegrityError) as failed, writing(engine) as connection:
        connection.execute(ingest_counters.insert(), rows)
    assert "parameters hidden" in str(failed.value)
    assert "76543" not in str(failed.value)


def test_a_restarted_server_is_found_again(own_postgresql: PostgresqlServer) -> None:
    engine = open_database(own_postgresql.new_database(), Path())
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)
    own_postgresql.restart()
    with reading(engine) as connection:
        assert connection.scalar(select(ingest_counters.c.last)) == 1


def test_a_server_that_goes_away_is_named_and_what_was_stored_stays(
    own_postgresql: PostgresqlServer,
) -> None:
    engine = open_database(own_postgresql.new_database(), Path())
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)

    def cut_off(use: Callable[[Connection], object]) -> None:
        with writing(engine) as connection:
            own_postgresql.kill()
            use(connection)

    with pytest.raises(ShouldRetryLater, match="send the same again") as lost:
        cut_off(lambda connection: bulk_of(connection).advance("default", {"episodes": 1}))
    assert PASSWORD not in str(lost.value)
    with pytest.raises(ShouldRetryLater), reading(engine):
        pass
    own_postgresql.start()
    with writing(engine) as connection:
        assert bulk_of(connection).advance("default", {"episodes": 1}) == {"episodes": 2}
    with pytest.raises(ShouldRetryLater):
        cut_off(lambda connection: connection.scalar(select(ingest_counters.c.last)))
    with pytest.raises(ShouldRetryLater):
        open_database(own_postgresql.url("absent"), Path())


def test_a_damaged_page_is_named_when_it_is_verified(own_postgresql: PostgresqlServer) -> None:
    engine = open_database(own_postgresql.new_database(), Path())
    with writing(engine) as connection:
        connection.execute(ingest_counters.insert(), COUNTER)
    verify_pages(engine)
    with reading(engine) as connection:
        file = connection.scalar(text("SELECT pg_relation_filepath('ingest_counters')"))
    own_postgresql.stop()
    page = bytearray((own_postgresql.data / file).read_bytes())
    page[-8:] = bytes(255 - byte for byte in page[-8:])
    (own_postgresql.data / file).write_bytes(page)
    own_postgresql.start()
    with pytest.raises(ShouldRestoreArtefact, match="holds the privacy ledger"):
        verify_pages(engine)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("53100", ShouldFreeDisk),
        ("57P01", ShouldRetryLater),
        ("57P03", ShouldRetryLater),
        ("08006", ShouldRetryLater),
        ("53300", ShouldRetryLater),
        ("40P01", ShouldRetryLater),
        ("XX001", ShouldRestoreArtefact),
        ("42501", ShouldInitWorkspace),
    ],
)
def test_states_are_named_by_their_remedy(state: str, error: type[Exception]) -> None:
    found = named_state(state, False, "it\nsaid so", "postgresql://h/d")
    assert type(found) is error
    assert "(it said so)" in str(found)
    assert found.remedy


def test_what_is_the_statements_own_fault_has_no_other_name() -> None:
    assert named_state("23505", False, "", "") is None
    assert named_state("22P02", True, "", "") is None
    assert named(psycopg.DataError("x"), "") is None
    assert named(ValueError("x"), "") is None
    assert isinstance(named(psycopg.OperationalError("gone"), "d"), ShouldRetryLater)
