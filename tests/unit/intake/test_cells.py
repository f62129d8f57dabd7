"""Single cells: what is read, and what is refused with the column and the fix."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.intake.cells import BadCell, is_blank, listing, moment, number, text_of
from everloop.intake.mapping import TimeFormat


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.5", 1.5), (" 2 ", 2.0), (3, 3.0), (True, 1.0), (Decimal("0.1"), 0.1), ("1e-3", 0.001)],
)
def test_numbers(value: Any, expected: float) -> None:
    assert number("c", value) == expected


@pytest.mark.parametrize("value", ["", "one", "1_000", None, [1], "0x10", 10**400])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(BadCell, match="c: is not a number") as caught:
        number("c", value)
    assert caught.value.value == value
    assert caught.value.fix


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", float("nan"), float("inf"), "1e999"])
def test_nan_and_infinity_are_refused(value: Any) -> None:
    with pytest.raises(BadCell, match="is not finite"):
        number("c", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_survives_its_text(value: float) -> None:
    assert number("c", repr(value)) == value


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2026-03-01T12:00:00+00:00", TimeFormat.RFC3339),
        ("2026-03-01T12:00:00Z", TimeFormat.RFC3339),
        (" 2026-03-01 14:00:00+02:00 ", TimeFormat.RFC3339),
        (NOON.astimezone(timezone(timedelta(hours=-5))), TimeFormat.RFC3339),
        (1772366400, TimeFormat.EPOCH_S),
        ("1772366400.0", TimeFormat.EPOCH_S),
        ("1772366400000", TimeFormat.EPOCH_MS),
    ],
)
def test_moments_are_read_in_utc(value: Any, written: TimeFormat) -> None:
    parsed = moment("t", value, written)
    assert (parsed, parsed.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    ("value", "written", "problem"),
    [
        ("2026-03-01T12:00:00", TimeFormat.RFC3339, "has no time zone"),
        (datetime(2026, 3, 1), TimeFormat.RFC3339, "has no time zone"),  # noqa: DTZ001
        ("yesterday", TimeFormat.RFC3339, "not a moment in format rfc3339"),
        (1772366400, TimeFormat.RFC3339, "not a moment in format rfc3339"),
        (1772366400000, TimeFormat.EPOCH_S, "not a moment in format epoch_s"),
        ("1e300", TimeFormat.EPOCH_MS, "not a moment in format epoch_ms"),
        ("2026-03-01", TimeFormat.EPOCH_S, "is not a number"),
    ],
)
def test_what_is_no_moment(value: Any, written: TimeFormat, problem: str) -> None:
    with pytest.raises(BadCell, match=problem):
        moment("t", value, written)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_rfc3339_survives(naive: datetime) -> None:
    value = naive.replace(tzinfo=UTC)
    assert moment("t", value.isoformat(), TimeFormat.RFC3339) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ('["a", 1]', ["a", 1]),
        ("a| b |c", ["a", "b", "c"]),
        ("a", ["a"]),
    ],
)
def test_lists(value: Any, expected: list[Any]) -> None:
    assert listing("c", value) == expected


@pytest.mark.parametrize("value", [3, None, '["a"', "[" * 100_000])
def test_what_is_no_list(value: Any) -> None:
    with pytest.raises(BadCell, match="list"):
        listing("c", value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_json_lists_survive(values: list[float]) -> None:
    assert listing("c", json.dumps(values)) == values


def test_blank_and_text() -> None:
    assert [is_blank(v) for v in (None, "", "  ", 0, False, [], "x")] == [True] * 3 + [False] * 4
    assert [text_of(v) for v in (True, 3.0, 3.5, 4, " x ")] == ["true", "3", "3.5", "4", "x"]
