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
from everloop.storage.sql.lookups import Lookup
from everloop.storage.sql.postgresql_bulk import PostgresqlBulk
from everloop.storage.sql.row_values import values_of


class Bulk(Protocol):
    """The statements of one write transaction.

    Where several things are asked at once, they are asked together: between two statements another thread
    may take the interpreter's lock and keep it for a while, and PostgreSQL is a journey away.
    """

    def stored(self, lookups: Sequence[Lookup]) -> list[Mapping[str, tuple[Any, ...]]]:
        """For each lookup: id -> the asked columns, of the ids that are stored."""

    def advance(self, tenant: str, rows: Mapping[str, int]) -> Mapping[str, int]:
        """Take the next numbers: counter -> how many; counter -> the first of them."""

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows that have every column of the table; fastest in one order of keys.

        Raises:
            KeyError: a row has other columns than the first.
        """


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

    def __init__(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError(f"{driver!r} is no connection of SQLite's driver")
        self._cursor = driver.cursor()
        if not connection.info.get(_KEPT):
            self._cursor.execute("PRAGMA wal_autocheckpoint=0")  # the WalKeeper does it, beside us
            connection.info[_KEPT] = True

    def stored(self, lookups: Sequence[Lookup]) -> list[Mapping[str, tuple[Any, ...]]]:
        found: list[dict[str, tuple[Any, ...]]] = [{} for _ in lookups]
        if lookups:
            shape = tuple((one.table, one.key, tuple(one.columns)) for one in lookups)
            values: list[Any] = []
            for one in lookups:
                values += (one.tenant, canonical_json(one.ids))
            for place, row_id, *columns in self._cursor.execute(_lookup(shape), values):
                found[place][row_id] = tuple(columns[: len(lookups[place].columns)])
        return list(found)

    def advance(self, tenant: str, rows: Mapping[str, int]) -> Mapping[str, int]:
        values: list[Any] = []
        for counter, count in rows.items():
            values += (tenant, counter, count)
        last = dict(self._cursor.execute(_advance(len(rows)), values).fetchall())
        return {counter: last[counter] - count + 1 for counter, count in rows.items()}

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        names = tuple(rows[0]) if rows else ()
        for start in range(0, len(rows), _LARGEST_INSERT):
            some = rows[start : start + _LARGEST_INSERT]
            size = 1 << (len(some) - 1).bit_length()
            values: list[Any] = []
            for row in some:
                values.extend(values_of(row, names))
            values.extend([None] * ((size - len(some)) * len(names)))
            self._cursor.execute(_insert(table, names, size), values)


def ingest_audit(
    tenant: str, actor: str, action: str, numbers: range, at: datetime, sequence: int
) -> dict[str, Any]:
    """The audit row which says that an actor stored the rows with these ingest numbers."""
    entry = AuditEntry(
        tenant=tenant,
        sequence=sequence,
        at=at,
        actor=actor,
        action=action,
        resource=f"{numbers[0]}..{numbers[-1]}",
        rows=len(numbers),
    )
    return {
        "tenant": tenant,
        "sequence": sequence,
        "at": microseconds(at),
        "actor": actor,
        "action": entry.action,
        "resource": entry.resource,
        "rows": entry.rows,
        "detail": canonical_json(dict(entry.detail)),
    }


_KEPT = "everloop_wal_kept"
_LARGEST_INSERT = 128
"""Rows a statement. Each number of rows is a statement of its own, and compiling takes longer than
running: so there are powers of two alone, filled up with rows of nulls that are not inserted."""


@functools.cache
def _advance(counters: int) -> str:
    return (
        "INSERT INTO ingest_counters (tenant, counter, last) "  # noqa: S608
        f"VALUES {', '.join(['(?, ?, ?)'] * counters)} "
        "ON CONFLICT (tenant, counter) DO UPDATE SET last = last + excluded.last "
        "RETURNING counter, last"
    )


@functools.cache
def _insert(table: Table, names: tuple[str, ...], rows: int) -> str:
    places = f"({', '.join('?' * len(names))})"
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) "  # noqa: S608
        f"SELECT * FROM (VALUES {', '.join([places] * rows)}) WHERE column1 IS NOT NULL"
    )


@functools.lru_cache(maxsize=256)
def _lookup(shape: tuple[tuple[Table, str, tuple[str, ...]], ...]) -> str:
    """One SELECT for several tables; columns that a table isn't asked for are null."""
    width = max(len(columns) for _, _, columns in shape)
    parts = []
    for place, (table, key, columns) in enumerate(shape):
        asked = ", ".join((str(place), key, *columns, *["NULL"] * (width - len(columns))))
        parts.append(
            f"SELECT {asked} FROM {table.name} "  # noqa: S608
            f"WHERE tenant = ? AND {key} IN (SELECT value FROM json_each(?))"
        )
    return " UNION ALL ".join(parts)
