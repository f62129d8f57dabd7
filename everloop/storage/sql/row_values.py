"""Rows as the values of one statement's columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def values_of(row: Mapping[str, Any], names: tuple[str, ...]) -> Collection[Any]:
    """A row's values in the order of the statement's columns.

    Raises:
        KeyError: the row has other columns.
    """
    if tuple(row) == names:
        return row.values()
    if len(row) != len(names):
        raise KeyError(f"a row has the columns {sorted(row)}, the statement {sorted(names)}")
    return [row[name] for name in names]
