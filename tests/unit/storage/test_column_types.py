"""Values survive both databases' forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, DateTime, Double, LargeBinary, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from everloop.storage.column_types import (
    CanonicalJson,
    FloatVector,
    UtcTime,
    microseconds,
    moment_of,
)

SQLITE = sqlite.dialect()
POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.integers(-(10**16), 10**17))
def test_microseconds_are_exact(value: int) -> None:
    eastern = moment_of(value).astimezone(timezone(timedelta(hours=-7)))
    assert microseconds(eastern) == value


def test_microseconds_by_hand() -> None:
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert microseconds(datetime(2001, 9, 9, 1, 46, 40, 7, tzinfo=UTC)) == 1_000_000_000_000_007
    with pytest.raises(TypeError):
        microseconds(datetime(1970, 1, 1))  # noqa: DTZ001


def test_times_are_integers_here_and_timestamps_there() -> None:
    moment = datetime(2026, 3, 10, 12, tzinfo=timezone(timedelta(hours=2)))
    kind = UtcTime()
    assert isinstance(kind.load_dialect_impl(SQLITE), BigInteger)
    assert kind.process_bind_param(moment, SQLITE) == microseconds(moment)
    there = kind.load_dialect_impl(POSTGRESQL)
    assert isinstance(there, DateTime)
    assert there.timezone
    assert kind.process_bind_param(moment, POSTGRESQL) is moment
    back = kind.process_result_value(moment, POSTGRESQL)
    assert back == moment
    assert back is not None
    assert back.tzinfo is UTC


@given(json_values)
def test_json_survives_as_text(value: Any) -> None:
    kind = CanonicalJson()
    assert isinstance(kind.load_dialect_impl(SQLITE), Text)
    assert kind.process_result_value(kind.process_bind_param(value, SQLITE), SQLITE) == value


def test_json_is_canonical_here_and_jsonb_there() -> None:
    kind = CanonicalJson()
    value = {"b": 1, "a": [True]}
    assert kind.process_bind_param(value, SQLITE) == '{"a":[true],"b":1}'
    assert isinstance(kind.load_dialect_impl(POSTGRESQL), JSON)
    assert kind.process_bind_param(value, POSTGRESQL) is value
    assert kind.process_result_value(value, POSTGRESQL) is value


@given(st.lists(st.floats(allow_nan=False)).map(tuple))
def test_vectors_survive_bit_for_bit(vector: tuple[float, ...]) -> None:
    kind = FloatVector()
    stored = kind.process_bind_param(vector, SQLITE)
    assert len(stored) == 8 * len(vector)
    assert kind.process_result_value(stored, SQLITE) == vector


def test_vectors_are_arrays_there() -> None:
    kind = FloatVector()
    assert isinstance(kind.load_dialect_impl(SQLITE), LargeBinary)
    there = kind.load_dialect_impl(POSTGRESQL)
    assert isinstance(there, ARRAY)
    assert isinstance(there.item_type, Double)
    assert kind.process_bind_param((0.5, 1.0), POSTGRESQL) == [0.5, 1.0]
    assert kind.process_result_value([0.5, 1.0], POSTGRESQL) == (0.5, 1.0)


@pytest.mark.parametrize("kind", [UtcTime(), FloatVector()], ids=["time", "vector"])
@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_missing_stays_missing(kind: Any, dialect: Any) -> None:
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
