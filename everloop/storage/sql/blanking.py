"""Texts that are about to leave a SQLite file, overwritten where they are.

``secure_delete`` puts zeros over a row that is deleted, but not over what stays behind in a page when its
neighbours' going moves rows to another one. So texts are first replaced by as many zeros: a row of the
same size is written in place, and whatever a later move leaves behind is zeros.
"""

from __future__ import annotations

import functools

from sqlalchemy import Connection, LargeBinary, Table, Text, cast, func, update
from sqlalchemy.sql import ColumnElement

from everloop.storage.column_types import CanonicalJson


def blank(connection: Connection, table: Table, where: ColumnElement[bool]) -> None:
    """Overwrite the texts of some rows, which must be deleted or rewritten in the same transaction.

    Nothing is done on PostgreSQL, which keeps what is deleted until it vacuums, and for columns of keys
    and indexes.

    Args:
        connection: of a write transaction.
    """
    names = _texts(table)
    if connection.dialect.name != "sqlite" or not names:
        return
    connection.execute(
        update(table).where(where).values({name: _zeros(table, name) for name in names})
    )


@functools.cache
def _texts(table: Table) -> tuple[str, ...]:
    keyed = {column.name for column in table.primary_key}
    keyed |= {column.name for index in table.indexes for column in index.columns}
    keyed |= {key.parent.name for key in table.foreign_keys}
    return tuple(
        column.name
        for column in table.columns
        if column.name not in keyed
        and (type(column.type) is Text or isinstance(column.type, CanonicalJson))
    )


def _zeros(table: Table, name: str) -> ColumnElement[str]:
    """As many ``0`` as the column has bytes: half as many zero bytes in hexadecimal, cut to the size."""
    column = table.c[name]
    size = func.length(cast(column, LargeBinary))
    return func.substr(func.hex(func.zeroblob((size + 1) / 2)), 1, size)
