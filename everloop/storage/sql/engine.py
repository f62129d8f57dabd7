"""The database of a workspace, opened by its URL: SQLite in the folder, or PostgreSQL.

What an adapter asks of either is two transactions: ``reading`` sees one state, ``writing`` is
exclusive among all processes and durable once it exits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as NoConnection

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater
from everloop.storage.sql import key_fence, postgresql_engine, postgresql_errors, sqlite_engine
from everloop.storage.sql.migrate import SCHEMA_HEAD
from everloop.storage.sql.sqlite_engine import (
    BUSY_SECONDS,
    damaged,
    database_path,
    open_workspace_database,
)

__all__ = [
    "BUSY_SECONDS",
    "SCHEMA_HEAD",
    "damaged",
    "database_name",
    "database_path",
    "is_postgresql",
    "open_beside",
    "open_database",
    "open_workspace_database",
    "reading",
    "reading_once",
    "require_writable",
    "verify_pages",
    "writing",
]


def open_database(url: str, path: Path | str) -> Engine:
    """Open the database that a URL names and bring it to this version's schema.

    Safe when several processes start at once: one migrates, the others wait.

    Args:
        url: of PostgreSQL; empty for SQLite.
        path: the SQLite file that an empty URL means.

    Raises:
        ShouldFixArgument: the URL is no PostgreSQL URL.
        ShouldRetryLater: the server doesn't answer.
        ShouldInitWorkspace: the database isn't everloop's, is one of a newer version, or may not be
            changed by this user.
        ShouldFreeDisk: the disk is full.
        ShouldRestoreArtefact: the database is damaged.
    """
    return postgresql_engine.open_postgresql(url) if url else open_workspace_database(path)


def open_beside(engine: Engine) -> Engine:
    """Another engine on the same open database with two connections of its own.

    Its user never waits until others give theirs back. Whoever opens it disposes of it.
    """
    if is_postgresql(engine):
        beside = postgresql_engine.open_beside(engine)
    else:
        beside = sqlite_engine.open_beside(engine)
    key_fence.hold_as(beside, engine)
    return beside


def is_postgresql(engine: Engine) -> bool:
    """Whether an engine's statements run on PostgreSQL."""
    return engine.dialect.name == "postgresql"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read transaction: every query in it sees the same state.

    Raises:
        ShouldRetryLater: the database does not answer, or all connections are in use.
        ShouldRestoreArtefact: the database is damaged, or its file was moved away or replaced.
    """
    with _named(engine), engine.connect() as connection:
        if is_postgresql(engine):
            postgresql_engine.prepare_reading(connection)
        else:
            sqlite_engine.require_file(connection)
        with connection.begin():
            yield connection


@contextmanager
def reading_once(engine: Engine) -> Iterator[sqlite3.Connection]:
    """SQLite's own driver for one statement, which sees one state; a tenth of the time of ``reading``.

    Raises:
        ShouldFixArgument: the engine is PostgreSQL's.
        ShouldRetryLater, ShouldRestoreArtefact: as ``reading`` does.
    """
    with _named(engine):
        pooled = engine.raw_connection()
        try:
            driver = pooled.driver_connection
            if not isinstance(driver, sqlite3.Connection):
                raise ShouldFixArgument(
                    f"{database_name(engine)} is not SQLite.", "Read it with reading(engine)."
                )
            sqlite_engine.require_file(pooled)
            yield driver
        finally:
            pooled.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction, exclusive among all processes and durable once it exits without error.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was stored.
        ShouldRetryLater: PostgreSQL went away, another writer took too long or all connections are in
            use. When it went away during the commit, whether that was stored is not known: send the
            same again. Or the key that ``key_fence.hold`` names was replaced: start the process anew.
        ShouldRestoreArtefact: the database is damaged, or its file was moved away or replaced: what
            was written to it may be lost.
    """
    with _named(engine), engine.connect() as connection:
        if is_postgresql(engine):
            with connection.begin():
                postgresql_engine.exclude_writers(connection)
                key_fence.require(connection)
                yield connection
        else:
            sqlite_engine.prepare_writing(connection)
            with connection.begin():
                key_fence.require(connection)
                yield connection
            sqlite_engine.require_file(connection)


@contextmanager
def _named(engine: Engine) -> Iterator[None]:
    """Give errors of statements on the driver's own cursor the names that SQLAlchemy's get."""
    try:
        yield
    except NoConnection as problem:
        raise ShouldRetryLater(
            f"All connections to {database_name(engine)} are in use.", "Send the same again.", 2.0
        ) from problem
    except (sqlite3.Error, psycopg.Error) as problem:
        if is_postgresql(engine):
            error = postgresql_errors.named(problem, database_name(engine))
        else:
            error = sqlite_engine.named(problem, database_path(engine))
        if error is None:
            raise
        raise error from problem


def database_name(engine: Engine) -> str:
    """What to call the database in a message: its file, or its URL without the password."""
    if is_postgresql(engine):
        return postgresql_engine.name_of(engine.url)
    return str(database_path(engine))


def require_writable(engine: Engine) -> None:
    """Look whether a write would be allowed, without one.

    Raises:
        ShouldRetryLater: the file or its folder is read-only. PostgreSQL is not asked.
    """
    if not is_postgresql(engine):
        sqlite_engine.require_writable(database_path(engine))


def verify_pages(engine: Engine) -> None:
    """Read what the database has stored; ``ShouldRestoreArtefact`` when some of it is damaged.

    SQLite reads every page. PostgreSQL reads every row, which finds pages whose checksum is wrong
    where the cluster keeps checksums.
    """
    with reading(engine) as connection:
        if is_postgresql(engine):
            postgresql_engine.read_every_row(connection)
        else:
            sqlite_engine.check_pages(connection, database_path(engine))
