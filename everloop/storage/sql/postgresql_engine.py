"""PostgreSQL: the same schema, chosen by its URL.

Writers take one advisory lock at the beginning of their transaction, so that what they read stays true
until they commit, as on SQLite; readers see one snapshot and wait for nobody. A server that restarted
is found out before a connection is used.
"""

from __future__ import annotations

import orjson
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldInitWorkspace
from everloop.storage.sql.migrate import is_current, migrate
from everloop.storage.sql.postgresql_errors import named
from everloop.storage.sql.sqlite_engine import BUSY_SECONDS, POOL_SECONDS

DRIVER = "postgresql+psycopg"
WRITERS_LOCK = 0x65766572_6C6F6F70
"""Key of the advisory lock that one writer of a database holds."""

_SCHEMES = ("postgresql", "postgres", DRIVER)
# Either side notices within half a minute that the other vanished without a word: a writer that did
# would otherwise keep all others out for hours.
_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_CONNECT = {"connect_timeout": 10, "application_name": "everloop", **_ALIVE}
_POOL = 8
_WRITER_POOL = 2
_SESSION = (
    "SET synchronous_commit = on; SET TIME ZONE 'UTC'; SET client_encoding = 'UTF8'; "
    f"SET lock_timeout = '{BUSY_SECONDS:g}s'; "
    + "; ".join(f"SET tcp_{name} = {value}" for name, value in _ALIVE.items())
)


def open_postgresql(url: str) -> Engine:
    """Open the database that a URL names and bring it to this version's schema.

    Args:
        url: ``postgresql://user:password@host:port/database``.

    Raises:
        ShouldFixArgument: it is no such URL.
        ShouldRetryLater: the server doesn't answer.
        ShouldInitWorkspace: the database isn't everloop's, is one of a newer version, doesn't keep
            UTF-8, or may not be changed by this user.
    """
    engine = _engine(parsed(url))
    try:
        with engine.connect() as connection, connection.begin():
            current = is_current(connection)
        if not current:
            with engine.connect() as connection, connection.begin():
                exclude_writers(connection)
                _require_utf8(connection, name_of(engine.url))
                migrate(connection, name_of(engine.url))
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_beside(engine: Engine) -> Engine:
    """Another engine on the same database with connections that only its user takes."""
    return _engine(engine.url, _WRITER_POOL, 0)


def parsed(url: str) -> URL:
    """The URL as the engine takes it; ``ShouldFixArgument`` never repeats it: it holds a password."""
    remedy = "Write it as postgresql://user:password@host:port/database."
    try:
        found = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ShouldFixArgument("The database URL cannot be read.", remedy) from None
    if found.drivername not in _SCHEMES:
        raise ShouldFixArgument(
            f"The database URL begins with {found.drivername!r}, which is not PostgreSQL.",
            f"{remedy} Leave it empty for SQLite in the workspace.",
        )
    if not found.database:
        raise ShouldFixArgument("The database URL names no database.", remedy)
    return found.set(drivername=DRIVER)


def name_of(url: URL) -> str:
    """The URL without its password and options, for messages."""
    return URL.create(
        "postgresql", url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def libpq_url(engine: Engine) -> str:
    """The URL as the C library takes it, with the password: never show it."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def prepare_reading(connection: Connection) -> None:
    """Let the connection's next transaction see one snapshot and write nothing."""
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def exclude_writers(connection: Connection) -> None:
    """Wait until no other ``writing`` of this database runs, and keep others out until the end."""
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (WRITERS_LOCK,))


def read_every_row(connection: Connection) -> None:
    """Read every row of every table, in full."""
    tables = connection.exec_driver_sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    ).scalars()
    for table in list(tables):
        # The text of a whole row makes the server read what it keeps out of line, too.
        connection.exec_driver_sql(f'SELECT sum(length(t::text)) FROM "{table}" AS t')  # noqa: S608


def _engine(url: URL, size: int = _POOL, overflow: int = _POOL) -> Engine:
    engine = create_engine(
        url,
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
        json_serializer=canonical_json,
        json_deserializer=orjson.loads,
        pool_pre_ping=True,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(_SESSION)
        cursor.close()
        connection.commit()

    @event.listens_for(engine, "handle_error")
    def _name_remedy(problem: ExceptionContext) -> EverloopError | None:
        if problem.is_pre_ping:  # the pool connects anew
            return None
        return named(problem.original_exception, name_of(url))

    return engine


def _require_utf8(connection: Connection, name: str) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise ShouldInitWorkspace(
            f"{name} keeps text as {encoding}.", "Create the database with ENCODING 'UTF8'."
        )
