"""A database as one file, of one moment, while everybody goes on working; and back again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url, select
from sqlalchemy.exc import OperationalError

from everloop.contracts.documents import is_full_disk
from everloop.contracts.errors import (
    ShouldAskForScope,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.storage.ledger_tables import privacy_ledger
from everloop.storage.sql.engine import database_path, is_postgresql, reading
from everloop.storage.sql.postgresql_engine import libpq_url, name_of, parsed

_DEBIAN = "/usr/lib/postgresql"
_SAID = 500
"""Characters of what a tool says that a message repeats."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds.

    Attributes:
        schema: revision of its schema.
        ledger_rows: rows of the privacy ledger.
        ledger_sha256: hash of the last one; zeros without any.
        journal_id: of the ledger's journal; empty where none was started.
        version: of what wrote it.
    """

    schema: str
    ledger_rows: int
    ledger_sha256: str
    journal_id: str
    version: str


def snapshot(engine: Engine, path: Path) -> Snapshot:
    """Write a database to a new file as of one moment; nobody waits for it.

    Args:
        engine: of an opened workspace database.
        path: a SQLite file, or what pg_dump writes in its custom format.

    Raises:
        ShouldFreeDisk: it does not fit.
        ShouldFixArgument: pg_dump is not installed, or older than the server.
        ShouldRetryLater: the database does not answer.
        ShouldRestoreArtefact: the database is damaged.
    """
    return _postgresql_snapshot(engine, path) if is_postgresql(engine) else _copied(engine, path)


def restore_postgresql(url: str, path: Path) -> None:
    """Fill an empty database from a dump, in one transaction.

    Raises:
        ShouldFixArgument: it holds tables, or pg_restore is not installed or refuses.
        ShouldRetryLater: the server does not answer.
    """
    require_empty_postgresql(url)
    flags = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    _run("pg_restore", [*flags, str(path)], url)


def require_empty_postgresql(url: str) -> None:
    """``ShouldFixArgument`` when a PostgreSQL database holds tables."""
    if not is_empty_postgresql(url):
        raise ShouldFixArgument(
            f"{name_of(parsed(url))} holds tables.",
            "Restore into an empty database, and never over one that may know more than the backup.",
        )


def is_empty_postgresql(url: str) -> bool:
    """Whether a PostgreSQL database holds no table; ``ShouldRetryLater`` when it does not answer."""
    engine = create_engine(parsed(url), connect_args={"connect_timeout": 10}, hide_parameters=True)
    try:
        with engine.connect() as connection:
            return not inspect(connection).get_table_names()
    except OperationalError as problem:
        raise ShouldRetryLater(
            f"{name_of(parsed(url))} does not answer.", "Start the server and repeat.", 10.0
        ) from problem
    finally:
        engine.dispose()


def holds_ledger_row(url: str, sequence: int, row_sha256: str) -> bool:
    """Whether a PostgreSQL database has a privacy ledger with such a row, > 0; else nothing is proved."""
    if sequence < 1:
        return False
    engine = create_engine(parsed(url), connect_args={"connect_timeout": 10}, hide_parameters=True)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(privacy_ledger.name):
                return False
            row = select(privacy_ledger.c.row_sha256).where(privacy_ledger.c.sequence == sequence)
            return bool(connection.scalar(row) == row_sha256)
    except OperationalError as problem:
        raise ShouldRetryLater(
            f"{name_of(parsed(url))} does not answer.", "Start the server and repeat.", 10.0
        ) from problem
    finally:
        engine.dispose()


def tools_missing() -> tuple[str, ...]:
    """Which of PostgreSQL's client tools are not installed."""
    return tuple(name for name in ("pg_dump", "pg_restore") if _found(name) is None)


def _copied(engine: Engine, path: Path) -> Snapshot:
    source = database_path(engine)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(path, isolation_level=None)) as copy,
        ):
            original.backup(copy)  # in one step: one moment, whoever writes meanwhile
            copy.execute("PRAGMA journal_mode=DELETE")
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise ShouldRestoreArtefact(
                    f"{source} is damaged.", "Restore it from an earlier backup."
                )
            told = _of_sqlite(copy)
    except sqlite3.Error as problem:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise ShouldFreeDisk(
                f"No room for a snapshot of {source} at {path} ({problem}).",
                "Free disk space and repeat.",
            ) from problem
        if code == sqlite3.SQLITE_CORRUPT:
            raise ShouldRestoreArtefact(
                f"{source} is damaged ({problem}).", "Restore it from an earlier backup."
            ) from problem
        raise ShouldRetryLater(
            f"{source} can't be read ({problem}).", "Let this user read it, and repeat.", 10.0
        ) from problem
    _sync(path)
    return told


def _of_sqlite(copy: sqlite3.Connection) -> Snapshot:
    schema = copy.execute("SELECT version_num FROM alembic_version").fetchone()
    last = copy.execute(
        "SELECT sequence, row_sha256 FROM privacy_ledger ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    mark = copy.execute("SELECT journal_id FROM privacy_journal").fetchone()
    return _told(schema, last, mark, f"SQLite {sqlite3.sqlite_version}")


def _told(
    schema: tuple[str] | None,
    last: tuple[int, str] | None,
    mark: tuple[str] | None,
    version: str,
) -> Snapshot:
    rows, sha256 = last or (0, "0" * 64)
    return Snapshot(schema[0] if schema else "", rows, sha256, mark[0] if mark else "", version)


def _postgresql_snapshot(engine: Engine, path: Path) -> Snapshot:
    """pg_dump reads the very state that the ledger's head is read from."""
    with reading(engine) as connection:
        moment = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        told = _of_postgresql(connection)
        flags = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={moment}"]
        _run("pg_dump", [*flags, f"--file={path}"], libpq_url(engine))
    _sync(path)
    return told


def _of_postgresql(connection: Connection) -> Snapshot:
    def first(statement: str) -> tuple[object, ...] | None:
        row = connection.exec_driver_sql(statement).first()
        return None if row is None else tuple(row)

    last = first("SELECT sequence, row_sha256 FROM privacy_ledger ORDER BY sequence DESC LIMIT 1")
    schema = first("SELECT version_num FROM alembic_version")
    mark = first("SELECT journal_id FROM privacy_journal")
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return Snapshot(
        schema=str(schema[0]) if schema else "",
        ledger_rows=int(str(last[0])) if last else 0,
        ledger_sha256=str(last[1]) if last else "0" * 64,
        journal_id=str(mark[0]) if mark else "",
        version=f"PostgreSQL {version}",
    )


def _run(tool: str, arguments: list[str], url: str) -> None:
    """Run a client tool; the password is in a file that nobody else reads, and no argument shows it."""
    program = _found(tool)
    if program is None:
        raise ShouldFixArgument(
            f"{tool} is not installed.",
            "Install PostgreSQL's client tools of the server's version: apt-get install "
            "postgresql-client.",
        )
    parts = make_url(url)
    with tempfile.NamedTemporaryFile("w", prefix="everloop-", suffix=".pgpass") as secret:
        secret.write(f"*:*:*:*:{_escaped(str(parts.password or ''))}\n")
        secret.flush()
        where = URL.create(
            "postgresql",
            parts.username,
            host=parts.host,
            port=parts.port,
            database=parts.database,
            query={**parts.query, "passfile": secret.name},
        )
        shown = where.render_as_string()
        done = subprocess.run(  # noqa: S603  (our own arguments, no shell)
            [program, *arguments, f"--dbname={shown}", "--no-password"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        _raise(tool, parsed(url).host or "", done.stderr.strip()[-_SAID:])


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _raise(tool: str, host: str, said: str) -> None:
    if "No space left" in said or "could not write" in said.lower():
        raise ShouldFreeDisk(f"{tool} found no room ({said}).", "Free disk space and repeat.")
    if "version mismatch" in said or "unsupported version" in said:
        raise ShouldFixArgument(
            f"{tool} is of another version than the server or the dump ({said}).",
            "Install PostgreSQL's client tools of the server's version.",
        )
    if "authentication failed" in said or "permission denied" in said:
        raise ShouldAskForScope(
            f"PostgreSQL at {host} refuses {tool} ({said}).",
            "Name a user in EVERLOOP_DATABASE_URL who may read, or fill, the whole database.",
        )
    if "connection to server" in said or "could not connect" in said:
        raise ShouldRetryLater(
            f"PostgreSQL at {host} does not answer {tool} ({said}).", "Start it and repeat.", 10.0
        )
    raise ShouldInitWorkspace(
        f"{tool} failed ({said}).", "Give it an empty database that this user may change."
    )


def _found(tool: str) -> str | None:
    """The tool on the path, or the newest of Debian's."""
    found = shutil.which(tool)
    if found:
        return found
    places = sorted(
        Path(_DEBIAN).glob(f"*/bin/{tool}"), key=lambda path: float(path.parent.parent.name)
    )
    return str(places[-1]) if places else None


def _sync(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    except OSError as problem:
        if is_full_disk(problem):
            raise ShouldFreeDisk(f"No room for {path}.", "Free disk space and repeat.") from problem
        raise
