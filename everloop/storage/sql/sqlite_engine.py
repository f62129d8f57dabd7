"""SQLite: one file in the workspace, durable, with one writer beside its readers.

WAL lets readers work beside the one writer; ``synchronous=FULL`` makes a commit survive a power cut;
writers begin with ``BEGIN IMMEDIATE``, so that what they read stays true until they commit.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from everloop.contracts.documents import is_full_disk
from everloop.contracts.errors import (
    EverloopError,
    ShouldFreeDisk,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.storage.sql.migrate import is_current, migrate
from everloop.storage.sql.sqlite_file import DatabaseFile

BUSY_SECONDS = 60.0
"""How long a writer waits for another to finish."""

POOL_SECONDS = 10.0
"""How long anyone waits for a connection."""

_CACHE_KIB = 64 * 1024
_POOL = 5
_WRITER_POOL = 2
_BEGIN = "everloop_begin"
_FILE = "everloop_file"
_NONE = "none"
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
# A quota or a file size limit shows as a failed write, a full disk as SQLITE_FULL.
_PRIMARY_CODE = 0xFF  # the rest of an extended code says where it happened


def open_workspace_database(path: Path | str, create: bool = True) -> Engine:
    """Open the SQLite database at ``path`` and bring it to this version's schema.

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
                _make(path)
                if not _is_current(engine):  # another process was faster
                    _migrate(engine, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_beside(engine: Engine) -> Engine:
    """Another engine on the same file with the writer's own connections, which readers can't take."""
    return _engine(database_path(engine), _WRITER_POOL, 0)


def prepare_writing(connection: Connection) -> None:
    """Let the connection's next transaction be exclusive from its beginning."""
    require_file(connection)
    connection.execution_options(**{_BEGIN: "IMMEDIATE"})


def require_file(connection: Connection | PoolProxiedConnection) -> None:
    """``ShouldRestoreArtefact`` unless the path still names the file that the connection has open."""
    file: DatabaseFile = connection.info[_FILE]
    file.require()


def require_writable(path: Path) -> None:
    """``ShouldRetryLater`` when the file or its folder, where the log is, can't be written."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise ShouldRetryLater(
                f"{place} can't be written.", "Let this user write the file and its folder.", 10.0
            )


def database_path(engine: Engine) -> Path:
    """The file behind an engine of ``open_workspace_database``."""
    return Path(str(engine.url.database))


def check_pages(connection: Connection, path: Path) -> None:
    """Read every page of the file; ``ShouldRestoreArtefact`` when one is damaged."""
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise damaged(path, str(found).splitlines()[-1])


def damaged(path: Path, said: object) -> ShouldRestoreArtefact:
    """The error that names a damaged database and what to do about it."""
    return ShouldRestoreArtefact(
        f"{path} is damaged ({said}).",
        f"Restore {path.name} from a backup; do not delete it, it holds the privacy ledger.",
    )


def _engine(path: Path, size: int = _POOL, overflow: int = -1) -> Engine:
    """Readers never wait for a connection: whoever calls has a thread, and those are bounded."""
    file = DatabaseFile(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: file.connect(BUSY_SECONDS),
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info[_FILE] = file
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
        return named(problem.original_exception, path)

    return engine


def named(problem: BaseException, path: Path) -> EverloopError | None:
    """The error of ours that says what to do, or ``None`` where the statement itself was wrong."""
    code = getattr(problem, "sqlite_errorcode", None)
    if code is None:
        return None
    if code in _FULL:
        return ShouldFreeDisk(
            f"No room to write {path} ({problem}).",
            "Free disk space and repeat: nothing of this was stored.",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return ShouldInitWorkspace(
            f"{path} is no SQLite database.",
            "Restore it from a backup; if it never was everloop's, move it away and run "
            "everloop init.",
        )
    if code & _PRIMARY_CODE == sqlite3.SQLITE_CORRUPT:
        return damaged(path, problem)
    return _named_by_code(code & _PRIMARY_CODE, problem, path)


def _named_by_code(code: int, problem: BaseException, path: Path) -> EverloopError | None:
    match code:
        case sqlite3.SQLITE_BUSY:
            return ShouldRetryLater(
                f"Another process has been writing to {path} for {BUSY_SECONDS:g} s ({problem}).",
                "Let it finish, or stop it, and repeat: nothing of this was stored.",
            )
        case sqlite3.SQLITE_CANTOPEN:
            return ShouldRetryLater(
                f"{path} can't be opened ({problem}).",
                "Let this user read and write it and its folder, and open enough files; then repeat.",
                10.0,
            )
        case sqlite3.SQLITE_IOERR:
            return ShouldRetryLater(
                f"The disk of {path} fails ({problem}).",
                "Look after the disk, then send the same again.",
                10.0,
            )
        case sqlite3.SQLITE_READONLY:
            return ShouldRetryLater(
                f"{path} can't be written ({problem}).",
                "Let this user write it and its folder, and repeat: nothing of this was stored.",
                10.0,
            )
        case sqlite3.SQLITE_ERROR if str(problem).startswith("no such table"):
            return ShouldRestoreArtefact(
                f"{path} is not the workspace's database ({problem}).",
                f"Stop everloop, restore {path.name} from a backup, and start again.",
            )
    return None


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


def _make(path: Path) -> None:
    """An empty file where there is none: connections never make one."""
    try:
        path.touch(0o644)
    except OSError as problem:
        if is_full_disk(problem):
            raise ShouldFreeDisk(f"No room to make {path}.", "Free disk space.") from problem
        raise


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection, connection.begin():
        return is_current(connection)  # a read, so that opening waits for no writer


def _migrate(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        connection.execution_options(**{_BEGIN: _NONE})  # the mode can't change in a transaction
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with engine.connect() as connection:
        prepare_writing(connection)
        with connection.begin():
            migrate(connection, str(path))
