"""What one of the databases would store and the other would not is refused for both.

SQLite keeps text of any length with NUL characters in it; PostgreSQL keeps neither. Whoever moves from
one to the other must not find out by an event that no longer fits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Integer, String, Table

from everloop.contracts.errors import ShouldFixInput
from everloop.storage.column_types import CanonicalJson, UtcTime

_BIG, _SMALL = 63, 31
"""Bits of an integer column beside its sign."""


def refuse_unstorable(
    table: Table, row: Mapping[str, Any], what: str, error: type[ShouldFixInput] = ShouldFixInput
) -> None:
    """Refuse a row that either database could not keep as it is.

    Args:
        table: where the row goes.
        row: values by column, of some or all columns.
        what: names the record in the message, for instance ``"Episode 5f…"``.
        error: what to raise.

    Raises:
        ShouldFixInput: ``error``, naming the column and its value: text with a NUL character, text
            that is no Unicode or too long, or an integer beyond the column's range.
    """
    texts, integers = _columns(table)
    for name, longest in texts:
        value = row.get(name)
        if not value:
            continue
        if longest is not None and len(value) > longest:
            raise error(
                f"{what}: {name}={value!r:.80} is longer than {longest} characters.", "Shorten it."
            )
        if "\x00" in value:
            raise error(f"{what}: {name}={value!r:.80} holds a NUL character.", "Leave it out.")
        if not value.isascii() and not _is_unicode(value):
            raise error(f"{what}: {name}={value!r:.80} is not Unicode text.", "Send valid UTF-8.")
    for name, bits in integers:
        value = row.get(name)
        if value is not None and not -(1 << bits) <= value < 1 << bits:
            raise error(
                f"{what}: {name}={value} is beyond {bits + 1} bits.", "Check where it comes from."
            )


def storable_sha256(
    checksum: Callable[[Any], bytes], record: Any, what: str, error: type[ShouldFixInput]
) -> bytes:
    """A record's checksum; ``error`` where it holds what no JSON can say."""
    try:
        return checksum(record)
    except (TypeError, ValueError) as problem:
        raise error(
            f"{what} cannot be written as JSON ({problem}).",
            "Send finite numbers, integers of 64 bits and valid UTF-8.",
        ) from problem


@functools.cache
def _columns(table: Table) -> tuple[list[tuple[str, int | None]], list[tuple[str, int]]]:
    """(text columns with their longest length, integer columns with their bits)."""
    texts: list[tuple[str, int | None]] = []
    integers: list[tuple[str, int]] = []
    for column in table.columns:
        if isinstance(column.type, CanonicalJson | UtcTime):
            continue
        if isinstance(column.type, String):
            texts.append((column.name, column.type.length))
        elif isinstance(column.type, Integer):
            big = isinstance(column.type, BigInteger)
            integers.append((column.name, _BIG if big else _SMALL))
    return texts, integers


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
