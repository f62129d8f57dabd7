"""A throw-away PostgreSQL for tests: a cluster in a temporary folder, a database for each test.

::

    def test_it(postgresql_url: str) -> None:
        engine = open_database(postgresql_url, Path())

The fixtures are made available by ``tests/conftest.py``. The server starts when a test first asks for
it and stops with the session; a test that restarts or kills it takes a server of its own, from
``own_postgresql``. Where no server is installed those tests are skipped.

``python -m tests.postgresql_server`` runs one on the disk until it is interrupted, for trying things out
and for benchmarks, and prints the URL of an empty database.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from everloop.storage.sql.engine import SCHEMA_HEAD, open_database, open_workspace_database

SUPERUSER = "everloop_test"
PASSWORD = "throw-away"
INSTALL = "no PostgreSQL server is installed; run: make postgres"

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")
_START_SECONDS = 60.0
_ROOM = 2 << 30
_PR_SET_PDEATHSIG = 1
_TEMPLATE = "everloop_template"


def find_binaries() -> Path | None:
    """The folder that holds ``initdb`` and ``postgres``: of PATH, or the newest installed version."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    candidates = [
        binary.parent
        for place in _PLACES
        for binary in Path(place).glob("**/bin/initdb")
        if (binary.parent / "postgres").exists()
    ]
    return max(candidates, key=_version, default=None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())


class PostgresqlServer:
    """A cluster with ``fsync`` on, reached on 127.0.0.1 with a password.

    Its databases sort by the rules of a language, unlike SQLite: whoever depends on an order of text
    must say which.

    Args:
        folder: a new folder for the cluster; belongs to the server's user from then on.
        binaries: where ``initdb`` and ``postgres`` are.
    """

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._binaries = binaries
        self._databases = 0
        self._free: list[str] = []
        self._answered = False
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _user():
            shutil.chown(folder, _user(), _user())
        password = folder / "password"
        password.write_text(PASSWORD)
        if _user():
            shutil.chown(password, _user())
        self._run(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-sync",
        )

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.folder / "data"

    def url(self, database: str) -> str:
        """The URL of one of its databases, as EVERLOOP_DATABASE_URL takes it."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        The first start leaves a port that somebody has taken since and looks for another one. Whoever
        connected by it would else use, and lose, another session's server.
        """
        give_up = time.monotonic() + _START_SECONDS
        while not self._started(give_up):  # what a killed server left is still being cleared away
            if time.monotonic() > give_up:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.2)
            if not self._answered:
                self.port = _free_port()
        self._answered = True

    def _started(self, give_up: float) -> bool:
        """Start it once; False when it ended at once or didn't answer in time."""
        log = (self.folder / "log").open("ab")
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on",
            "shared_buffers": "128MB",
            "max_connections": 200,
            "max_wal_size": "256MB",
            "log_min_messages": "warning",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
                **_as_user(),
            )
        while time.monotonic() < give_up and self._process.poll() is None:
            if self._is_ours():
                return True
            time.sleep(0.05)
        return False

    def _is_ours(self) -> bool:
        """Whether the server at the port answers, and is this one."""
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2) as connection:
                found = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return found == (str(self.data),)

    def stop(self) -> None:
        """Shut down cleanly, sending every session away."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = children.read_text().split() if children.exists() else []
        for number in (self._process.pid, *map(int, found)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop if it runs, and start on the same port."""
        self.stop()
        self.start()

    def new_database(self, migrated: bool = True) -> str:
        """Make a database and give its URL.

        Args:
            migrated: copy one that has this version's schema; otherwise it is empty.
        """
        self._databases += 1
        name = f"test_{self._databases}"
        if not migrated:
            self._sql(f"CREATE DATABASE {name} TEMPLATE template0")
            return self.url(name)
        if not self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'"):
            self._sql(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
            open_database(self.url(_TEMPLATE), Path()).dispose()
        self._sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)

    def lend_database(self) -> str:
        """URL of a database with this version's schema and no rows, to be given back."""
        return self._free.pop() if self._free else self.new_database()

    def give_back(self, url: str) -> None:
        """Empty a lent database for the next test: making or dropping one takes a checkpoint.

        One whose schema a test has changed is not lent again.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # Triggers and foreign keys do not hold a replica.
            connection.execute("SET session_replication_role = replica")
            for (table,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename <> 'alembic_version'"
            ).fetchall():
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if version == (SCHEMA_HEAD,):
            self._free.append(url)

    def _sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            check=False,
            **_as_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(timeout=_START_SECONDS)
        self._process = None


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@functools.cache
def _user() -> str:
    """Whom to run the server as: it refuses root. Empty: as we are."""
    if os.getuid():
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_user() -> dict[str, object]:
    user = _user()
    if not user:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _die_with_parent() -> None:
    """A test session that is killed takes its servers with it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _memory() -> Path | None:
    """A folder in memory with room for a cluster, if there is one."""
    place = Path("/dev/shm")
    roomy = place.is_dir() and shutil.disk_usage(place).free > _ROOM
    return place if roomy and os.access(place, os.W_OK) else None


@contextlib.contextmanager
def running_server(on_disk: bool = False, started: bool = True) -> Iterator[PostgresqlServer]:
    """A server that is killed and deleted at the end; skips where none is installed.

    Args:
        on_disk: keep the cluster in the temporary folder of the disk, for measurements; otherwise in
            memory where there is room, since what tests kill is the server and not the machine.
        started: start it; otherwise whoever asks does.
    """
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(INSTALL)
    # Beside pytest's folders: those belong to whoever runs the tests, alone.
    place = None if on_disk else _memory()
    folder = Path(tempfile.mkdtemp(prefix="everloop-postgresql-", dir=place))
    try:
        server = PostgresqlServer(folder, binaries)
        try:
            if started:
                server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_opened: list[psycopg.Connection[Any]] = []


@event.listens_for(Pool, "connect")
def _remember(connection: Any, _: object) -> None:
    if isinstance(connection, psycopg.Connection):
        _opened.append(connection)


def close_connections() -> None:
    """Close what engines that a test let go of have left open."""
    while _opened:
        _opened.pop().close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The session's server. Do not stop it: others use it."""
    with running_server() as server:
        yield server


@pytest.fixture
def new_postgresql_url(postgresql: PostgresqlServer) -> Iterator[Callable[[], str]]:
    """Each call gives the URL of another database, with this version's schema and no rows."""
    lent: list[str] = []

    def lend() -> str:
        lent.append(postgresql.lend_database())
        return lent[-1]

    yield lend
    close_connections()
    for url in lent:
        postgresql.give_back(url)


@pytest.fixture
def postgresql_url(new_postgresql_url: Callable[[], str]) -> str:
    """URL of a database of this test's own, with this version's schema and no rows.

    A test that changes its schema asks ``postgresql.new_database()`` for one instead.
    """
    return new_postgresql_url()


@pytest.fixture
def own_postgresql() -> Iterator[PostgresqlServer]:
    """A server of this test's own, to be restarted and killed."""
    with running_server() as server:
        yield server
        close_connections()


class SqlSuite(ABC):
    """A conformance suite of an adapter that runs on both databases."""

    @abstractmethod
    def engines(self, folder: Path) -> Callable[[], Engine]:
        """A function that opens the same database again and again; another for each folder."""


class OnSqlite(SqlSuite):
    """Runs a suite on SQLite."""

    def engines(self, folder: Path) -> Callable[[], Engine]:
        return lambda: open_workspace_database(folder / "state.db")


class OnPostgresql(SqlSuite):
    """Runs a suite on PostgreSQL."""

    @pytest.fixture(autouse=True)
    def take_databases(self, new_postgresql_url: Callable[[], str]) -> None:
        self._new_url = new_postgresql_url

    def engines(self, folder: Path) -> Callable[[], Engine]:
        url = self._new_url()
        return lambda: open_database(url, folder)


def main() -> None:
    """Run a server until interrupted or terminated."""
    if find_binaries() is None:
        raise SystemExit(INSTALL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_server(on_disk=True) as server, contextlib.suppress(KeyboardInterrupt):
        print(server.new_database(migrated=False), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
