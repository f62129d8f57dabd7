"""``Bulk`` on PostgreSQL: rows of a table travel to the server in one go."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Table

from everloop.storage.column_types import UtcTime, moment_of
from everloop.storage.sql.lookups import Lookup
from everloop.storage.sql.row_values import values_of


class PostgresqlBulk:
    """``Bulk`` on the driver's own cursor. Takes the same rows as SQLite's driver, and dates them."""

    def __init__(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError(f"{driver!r} is no connection of PostgreSQL's driver")
        self._cursor = driver.cursor()

    def stored(self, lookups: Sequence[Lookup]) -> list[Mapping[str, tuple[Any, ...]]]:
        found: list[Mapping[str, tuple[Any, ...]]] = []
        for one in lookups:
            statement = _lookup(one.table, one.key, one.columns)
            rows = self._cursor.execute(statement, (one.tenant, list(one.ids)))
            found.append({row[0]: row[1:] for row in rows})
        return found

    def advance(self, tenant: str, rows: Mapping[str, int]) -> Mapping[str, int]:
        # In one order, so that two writers never wait for each other.
        values: list[Any] = []
        for counter, count in sorted(rows.items()):
            values += (tenant, counter, count)
        last = dict(self._cursor.execute(_advance(len(rows)), values).fetchall())
        return {counter: last[counter] - count + 1 for counter, count in rows.items()}

    def insert(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        names = tuple(rows[0])
        times = _times(table, names)
        self._cursor.executemany(
            _insert(table, names), [_values(row, names, times) for row in rows]
        )


@functools.cache
def _advance(counters: int) -> bytes:
    statement = (
        "INSERT INTO ingest_counters (tenant, counter, last) "  # noqa: S608
        f"VALUES {', '.join(['(%s, %s, %s)'] * counters)} "
        "ON CONFLICT (tenant, counter) DO UPDATE SET last = ingest_counters.last + excluded.last "
        "RETURNING counter, last"
    )
    return statement.encode()


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


def _values(row: dict[str, Any], names: tuple[str, ...], times: tuple[int, ...]) -> list[Any]:
    values = list(values_of(row, names))
    for place in times:
        if values[place] is not None:
            values[place] = moment_of(values[place])
    return values
