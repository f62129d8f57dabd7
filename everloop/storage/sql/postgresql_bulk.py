"""``Bulk`` on PostgreSQL: rows of a table travel to the server in one go."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Table

from everloop.contracts.access import AuditEntry
from everloop.contracts.canonical import canonical_json
from everloop.storage.column_types import UtcTime, moment_of
from everloop.storage.sql.audit import AUDIT


class PostgresqlBulk:
    """``Bulk`` on the driver's own cursor. Takes the same rows as SQLite's driver, and dates them."""

    def __init__(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError(f"{driver!r} is no connection of PostgreSQL's driver")
        self._cursor = driver.cursor()

    def stored(
        self, table: Table, key: str, columns: Sequence[str], tenant: str, ids: Sequence[str]
    ) -> Mapping[str, tuple[Any, ...]]:
        rows = self._cursor.execute(_lookup(table, key, tuple(columns)), (tenant, list(ids)))
        return {row[0]: row[1:] for row in rows}

    def advance(self, tenant: str, counter: str, rows: int) -> int:
        (last,) = self._cursor.execute(_ADVANCE, (tenant, counter, rows)).fetchone() or (0,)
        return int(last) - rows + 1

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        names = tuple(rows[0])
        times = _times(table, names)
        self._cursor.executemany(_insert(table, names), [_values(row, times) for row in rows])

    def audit(self, entry: AuditEntry) -> None:
        sequence = self.advance(entry.tenant, AUDIT, 1)
        values = (
            entry.tenant,
            sequence,
            entry.at,
            entry.actor,
            entry.action,
            entry.resource,
            entry.rows,
            canonical_json(dict(entry.detail)),
        )
        self._cursor.execute(_AUDIT, values)


_ADVANCE = (
    b"INSERT INTO ingest_counters (tenant, counter, last) VALUES (%s, %s, %s) "
    b"ON CONFLICT (tenant, counter) DO UPDATE SET last = ingest_counters.last + excluded.last "
    b"RETURNING last"
)
_AUDIT = (
    b"INSERT INTO audit_log (tenant, sequence, at, actor, action, resource, rows, detail) "
    b"VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)


@functools.cache
def _insert(table: Table, names: tuple[str, ...]) -> bytes:
    places = ", ".join(["%s"] * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608
    return statement.encode()


@functools.cache
def _lookup(table: Table, key: str, columns: tuple[str, ...]) -> bytes:
    statement = (
        f"SELECT {', '.join((key, *columns))} FROM {table.name} "  # noqa: S608
        f"WHERE tenant = %s AND {key} = ANY(%s)"
    )
    return statement.encode()


@functools.cache
def _times(table: Table, names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(
        place for place, name in enumerate(names) if isinstance(table.c[name].type, UtcTime)
    )


def _values(row: dict[str, Any], times: tuple[int, ...]) -> list[Any]:
    values = list(row.values())
    for place in times:
        if values[place] is not None:
            values[place] = moment_of(values[place])
    return values
