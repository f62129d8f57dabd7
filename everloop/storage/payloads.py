"""What tells a replay from a conflict: the checksum of a record's payload."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Hashable
from datetime import datetime
from typing import Any, cast

from everloop.contracts.canonical import canonical_bytes
from everloop.storage.column_types import microseconds

_PIECE = 2047
NOT_PAYLOAD = frozenset({"schema_version"})
"""Fields that say how a record was written down, not what it says."""


def payload_sha256(record: Any, without: frozenset[str] = NOT_PAYLOAD) -> bytes:
    """SHA-256 (32 bytes) of a frozen record's canonical JSON.

    Fields that hold their default are left out, so that a field added to a later version of the
    record leaves the checksums of older payloads as they were.

    Args:
        record: an instance of a frozen dataclass of JSON values, times and enums.
        without: names of fields that don't count.
    """
    payload = {}
    for name, default in _fields(cast("Hashable", type(record))):
        if name not in without:
            value = getattr(record, name)
            if value != default:
                payload[name] = microseconds(value) if isinstance(value, datetime) else value
    return _digest(canonical_bytes(payload))


def _digest(data: bytes) -> bytes:
    """SHA-256 in pieces: the library lets go of the interpreter's lock for larger ones, and among busy
    threads a thread waits much longer to get it back than a few kilobytes take."""
    total = hashlib.sha256()
    for start in range(0, len(data), _PIECE):
        total.update(data[start : start + _PIECE])
    return total.digest()


@functools.cache
def _fields(kind: Hashable) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (
            field.name,
            field.default_factory()
            if field.default_factory is not dataclasses.MISSING
            else field.default,
        )
        for field in dataclasses.fields(cast("type[Any]", kind))
    )
