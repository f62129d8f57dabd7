"""Which day a run learns for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.learning_day import last_ended, learning_day

START, END = datetime.fromisoformat("2001-01-02"), datetime.fromisoformat("2090-01-01")
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(START, END, timezones=OFFSETS)


def test_a_day_is_itself_whatever_was_scheduled() -> None:
    assert learning_day("2026-03-28", "2027-01-01T03:00:00Z") == date(2026, 3, 28)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-03-29T03:00:00Z", "2026-03-28"),
        ("2026-03-29T00:00:00Z", "2026-03-28"),  # the day has just ended
        ("2026-03-28T23:59:59Z", "2026-03-27"),
        ("2026-03-29T01:30:00+02:00", "2026-03-27"),  # 23:30 the day before, UTC
        ("2026-03-29T03:00:00", "2026-03-28"),  # UTC where no zone is named
        ("20260329T030000", "2026-03-28"),
        ("2026-01-01T00:30:00+00:00", "2025-12-31"),
    ],
)
def test_a_moment_is_the_last_day_that_had_ended(moment: str, day: str) -> None:
    assert learning_day(moment) == learning_day("", moment) == date.fromisoformat(day)


@given(MOMENTS)
def test_the_day_has_ended_and_the_next_has_not(moment: datetime) -> None:
    day = last_ended(moment)
    ends = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    assert ends <= moment < ends + timedelta(days=1)


@given(MOMENTS)
def test_text_and_moment_agree(moment: datetime) -> None:
    assert learning_day(moment.isoformat()) == last_ended(moment)


@pytest.mark.parametrize(
    ("given_", "scheduled"),
    [
        ("", ""),
        (
            "",
            "{{$.pipeline_job_schedule_time_utc}}",
        ),  # Kubeflow before 2.16 leaves the place as it is
        ("[[ScheduledTime]]", "2026-03-29T03:00:00Z"),
        ("yesterday", ""),
        ("2026-02-30", ""),
        ("2026-3-1", ""),
        ("", "soon"),
    ],
)
def test_what_says_no_day_is_refused_with_the_fix(given_: str, scheduled: str) -> None:
    with pytest.raises(ShouldFixArgument, match="YYYY-MM-DD") as caught:
        learning_day(given_, scheduled)
    assert "2.17" in caught.value.remedy


def test_before_the_calendar_there_is_no_day() -> None:
    with pytest.raises(ShouldFixArgument):
        learning_day("0001-01-01T00:00:00Z")
