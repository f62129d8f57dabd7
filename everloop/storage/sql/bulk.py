"""The few statements of the ingest path, below SQLAlchemy: they run thousands of times a second.

Rows are those of the ``*_row`` functions: what the SQLite driver stores as it is. On PostgreSQL they are
dated where they are written.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Table

from everloop.contracts.access import AuditEntry
from everloop.contracts.canonical import canonical_json
from everloop.storage.column_types import microseconds
from everloop.storage.sql.audit import AUDIT
from everloop.storage.sql.postgresql_bulk import PostgresqlBulk


class Bulk(Protocol):
    """The statements of one write transaction."""

    def stored(
        self, table: Table, key: str, columns: Sequence[str], tenant: str, ids: Sequence[str]
    ) -> Mapping[str, tuple[Any, ...]]:
        """Id -> the asked columns, of the ids that are stored."""

    def advance(self, tenant: str, counter: str, rows: int) -> int:
        """Take the next ``rows`` numbers; the first of them."""

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows that have every column of the table, in one order of keys."""

    def audit(self, entry: AuditEntry) -> None:
        """Append an entry under the tenant's next number."""


def bulk_of(connection: Connection) -> Bulk:
    """The statements of a write transaction on its database."""
    if connection.dialect.name == "postgresql":
        return PostgresqlBulk(connection)
    return SqliteBulk(connection)


class SqliteBulk:
    """``Bulk`` on the driver's own cursor.

    Several rows go into one INSERT: the driver holds the interpreter's lock while it binds values, and
    gives it up for a whole statement, so that the event loop runs while rows are written.
    """

    _LARGEST_INSERT = 256

    def __init__(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError(f"{driver!r} is no connection of SQLite's driver")
        self._cursor = driver.cursor()
        self._cursor.execute("PRAGMA wal_autocheckpoint=0")  # the WalKeeper does it, beside us

    def stored(
        self, table: Table, key: str, columns: Sequence[str], tenant: str, ids: Sequence[str]
    ) -> Mapping[str, tuple[Any, ...]]:
        statement = _lookup(table, key, tuple(columns))
        rows = self._cursor.execute(statement, (tenant, canonical_json(ids)))
        return {row[0]: row[1:] for row in rows}

    def advance(self, tenant: str, counter: str, rows: int) -> int:
        (last,) = self._cursor.execute(_ADVANCE, (tenant, counter, rows)).fetchone()
        return int(last) - rows + 1

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        start = 0
        while start < len(rows):
            # Powers of two: few statements, which the driver keeps compiled.
            size = min(1 << ((len(rows) - start).bit_length() - 1), self._LARGEST_INSERT)
            values: list[Any] = []
            for row in rows[start : start + size]:
                values.extend(row.values())
            self._cursor.execute(_insert(table, tuple(rows[start]), size), values)
            start += size

    def audit(self, entry: AuditEntry) -> None:
        sequence = self.advance(entry.tenant, AUDIT, 1)
        values = (
            entry.tenant,
            sequence,
            microseconds(entry.at),
            entry.actor,
            entry.action,
            entry.resource,
            entry.rows,
            canonical_json(dict(entry.detail)),
        )
        self._cursor.execute(_AUDIT, values)


_ADVANCE = (
    "INSERT INTO ingest_counters (tenant, counter, last) VALUES (?, ?, ?) "
    "ON CONFLICT (tenant, counter) DO UPDATE SET last = last + excluded.last RETURNING last"
)
_AUDIT = (
    "INSERT INTO audit_log (tenant, sequence, at, actor, action, resource, rows, detail) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def append_ingest_audit(
    bulk: Bulk, tenant: str, actor: str, action: str, numbers: range, at: datetime
) -> None:
    """Note that an actor stored the rows with these ingest numbers."""
    bulk.audit(
        AuditEntry(
            tenant=tenant,
            sequence=0,
            at=at,
            actor=actor,
            action=action,
            resource=f"{numbers[0]}..{numbers[-1]}",
            rows=len(numbers),
        )
    )


@functools.cache
def _insert(table: Table, names: tuple[str, ...], rows: int) -> str:
    places = f"({', '.join('?' * len(names))})"
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) "  # noqa: S608
        f"VALUES {', '.join([places] * rows)}"
    )


@functools.cache
def _lookup(table: Table, key: str, columns: tuple[str, ...]) -> str:
    return (
        f"SELECT {', '.join((key, *columns))} FROM {table.name} "  # noqa: S608
        f"WHERE tenant = ? AND {key} IN (SELECT value FROM json_each(?))"
    )
