"""Column types that mean the same on SQLite and PostgreSQL.

SQLite has no time, JSON or array type and converts by column affinity; each type here fixes one
exact form for it and uses PostgreSQL's own type there.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Double, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.types import TypeDecorator, TypeEngine

from everloop.contracts.episodes import Json, canonical_json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch, exactly; ``TypeError`` for a time without zone."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(value: int) -> datetime:
    """The UTC time of ``microseconds``."""
    return _EPOCH + value * _MICROSECOND


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC: ``timestamptz`` on PostgreSQL, microseconds since the epoch on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else moment_of(value)


class CanonicalJson(TypeDecorator[Json]):
    """A JSON value, kept as its canonical text: ``json`` on PostgreSQL, ``text`` on SQLite.

    ``jsonb`` would keep the value but not the text (it has no exponents and no negative zero), and
    refuse the NUL that ``json`` writes as an escape. Equality is not defined: compare a checksum.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSON() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Json, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else canonical_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Json:
        return value if value is None or dialect.name == "postgresql" else json.loads(value)


class FloatVector(TypeDecorator[tuple[float, ...]]):
    """A vector of doubles: ``float8[]`` on PostgreSQL, little-endian bytes on SQLite."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(Double()))
        return dialect.type_descriptor(LargeBinary())

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return (
            list(value) if dialect.name == "postgresql" else struct.pack(f"<{len(value)}d", *value)
        )

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[float, ...] | None:
        if value is None:
            return None
        if dialect.name == "postgresql":
            return tuple(value)
        return struct.unpack(f"<{len(value) // 8}d", value)
