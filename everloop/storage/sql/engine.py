"""The workspace database: one SQLite file, durable, migrated when it is opened.

WAL lets readers work beside the one writer; ``synchronous=FULL`` makes a commit survive a power cut;
writers begin with ``BEGIN IMMEDIATE``, so that what they read stays true until they commit.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, inspect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from everloop.contracts.documents import is_full_disk
from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
)

BUSY_SECONDS = 60.0
"""How long a writer waits for another to finish."""

SCHEMA_HEAD = "0003_service"
"""Newest revision of ``everloop/storage/migrations``."""
_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_CACHE_KIB = 64 * 1024
_BEGIN = "everloop_begin"
_NONE = "none"
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
# A quota or a file size limit shows as a failed write, a full disk as SQLITE_FULL.
_PRIMARY_CODE = 0xFF  # the rest of an extended code says where it happened


def open_workspace_database(path: Path | str, create: bool = True) -> Engine:
    """Open the database at ``path`` and bring it to this version's schema.

    Safe when several processes start at once: one migrates, the others wait.

    Args:
        path: the SQLite file.
        create: make the file (and its folder) when it does not exist.

    Raises:
        ShouldInitWorkspace: there is no database and ``create`` is False; the file is no workspace
            database, or one of a newer version.
        ShouldFreeDisk: the disk is full.
        ShouldRestoreArtefact: the file is damaged.
    """
    path = Path(path).absolute()
    if not create and not path.is_file():
        raise ShouldInitWorkspace(f"There is no workspace database {path}.", "Run everloop init.")
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = _engine(path)
    try:
        if not (path.is_file() and _is_current(engine)):
            with _locked(path.with_name(f"{path.name}.lock")):
                _migrate(engine, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read transaction: every query in it sees the same state."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction, exclusive among all processes and durable once it exits without error.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was stored.
    """
    with engine.connect() as connection:
        connection.execution_options(**{_BEGIN: "IMMEDIATE"})
        with connection.begin():
            yield connection


def database_path(engine: Engine) -> Path:
    """The file behind an engine of ``open_workspace_database``."""
    return Path(str(engine.url.database))


def verify_pages(engine: Engine) -> None:
    """Read every page of the database; ``ShouldRestoreArtefact`` when one is damaged."""
    path = database_path(engine)
    with reading(engine) as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise damaged(path, str(found).splitlines()[-1])


def damaged(path: Path, said: object) -> ShouldRestoreArtefact:
    """The error that names a damaged database and what to do about it."""
    return ShouldRestoreArtefact(
        f"{path} is damaged ({said}).",
        f"Restore {path.name} from a backup; do not delete it, it holds the privacy ledger.",
    )


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions of its own: it would begin them deferred, and only
        # before some statements.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        cursor.execute(f"PRAGMA journal_size_limit={_CACHE_KIB * 1024}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        kind = connection.get_execution_options().get(_BEGIN, "DEFERRED")
        if kind != _NONE:
            connection.exec_driver_sql(f"BEGIN {kind}")

    @event.listens_for(engine, "handle_error")
    def _name_remedy(problem: ExceptionContext) -> EverloopError | None:
        code = getattr(problem.original_exception, "sqlite_errorcode", None)
        if code in _FULL:
            return ShouldFreeDisk(
                f"No room to write {path} ({problem.original_exception}).",
                "Free disk space and repeat: nothing of this was stored.",
            )
        if code == sqlite3.SQLITE_NOTADB:
            return ShouldInitWorkspace(
                f"{path} is no SQLite database.",
                "Restore it from a backup; if it never was everloop's, move it away and run "
                "everloop init.",
            )
        if code is not None and code & _PRIMARY_CODE == sqlite3.SQLITE_CORRUPT:
            return damaged(path, problem.original_exception)
        return None

    return engine


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        lock = path.open("a")
    except OSError as problem:
        if is_full_disk(problem):
            raise ShouldFreeDisk(f"No room to make {path}.", "Free disk space.") from problem
        raise
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_current(engine: Engine) -> bool:
    """Whether the schema is this version's: a read, so that opening waits for no writer."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
        return list(found) == [SCHEMA_HEAD]


def _migrate(engine: Engine, path: Path) -> None:
    # Half a second that only a new or an older database needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        connection.execution_options(**{_BEGIN: _NONE})  # the mode can't change in a transaction
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with writing(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is None and inspect(connection).get_table_names():
            raise ShouldInitWorkspace(
                f"{path} holds tables that everloop did not make.",
                "Choose another folder for the workspace.",
            )
        if current not in {None, *(script.revision for script in scripts.walk_revisions())}:
            raise ShouldInitWorkspace(
                f"{path} has schema {current!r}, which this everloop does not know.",
                "Install the everloop that wrote it, or run everloop init in another folder.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
