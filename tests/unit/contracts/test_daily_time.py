"""Times of day across zones: hand-computed, and against every hour of years."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.daily_time import DailyTime, Drift, fields_of
from everloop.contracts.errors import ShouldFixArgument

WINTER, SUMMER = date(2027, 1, 15), date(2027, 7, 15)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)


@pytest.mark.parametrize(
    ("at", "zone", "cron_zone", "on", "cron"),
    [
        ("03:00", "UTC", "UTC", WINTER, "0 0 3 * * *"),
        ("03:00", "Europe/Berlin", "UTC", WINTER, "0 0 2 * * *"),
        ("03:00", "Europe/Berlin", "UTC", SUMMER, "0 0 1 * * *"),
        ("00:30", "Europe/Berlin", "UTC", WINTER, "0 30 23 * * *"),  # the day before, by UTC
        ("03:00", "Asia/Kolkata", "UTC", WINTER, "0 30 21 * * *"),
        ("03:00", "Europe/Berlin", "Europe/Berlin", SUMMER, "0 0 3 * * *"),
        ("03:00", "UTC", "America/New_York", WINTER, "0 0 22 * * *"),
    ],
)
def test_cron_is_six_fields_in_the_schedulers_zone(
    at: str, zone: str, cron_zone: str, on: date, cron: str
) -> None:
    assert DailyTime.read(at, zone, cron_zone).cron(on) == cron


@settings(max_examples=60)
@given(
    st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0)),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
    st.dates(date(2026, 1, 1), date(2030, 12, 31)),
)
def test_what_runs_starts_at_the_asked_time_but_where_a_drift_says_so(
    at: time, zone: str, cron_zone: str, on: date
) -> None:
    when = DailyTime(at, zone, cron_zone)
    told = list(when.drifts(on, 200))
    local = at
    for moment in when.runs(when.cron(on), on, 200):
        while told and moment.date() >= told[0].day and moment.time() == told[0].local:
            local = told.pop(0).local
        assert moment.time().replace(tzinfo=None) == local
    assert told == []


def test_the_drift_of_a_year_is_named_day_and_hour() -> None:
    when = DailyTime.read("03:30", "Europe/Berlin")
    assert when.drifts(WINTER) == (
        Drift(date(2027, 3, 28), time(4, 30)),
        Drift(date(2027, 10, 31), time(3, 30)),
    )
    assert when.drifts(SUMMER)[0] == Drift(date(2027, 10, 31), time(2, 30))
    assert DailyTime.read("03:30").drifts(WINTER) == ()
    assert DailyTime.read("03:30", "Europe/Berlin", "Europe/Berlin").drifts(WINTER) == ()
    assert DailyTime.read("03:30", "Europe/Berlin", "Europe/Paris").drifts(WINTER) == ()


def test_a_time_that_the_schedulers_clock_jumps_over_is_told() -> None:
    assert DailyTime.read("02:30", "Europe/Berlin", "Europe/Berlin").left_out(WINTER) == (
        date(2027, 3, 28),
    )
    assert DailyTime.read("02:30", "Europe/Berlin", "UTC").left_out(WINTER) == ()


def test_runs_are_the_moments_of_the_expression() -> None:
    found = list(DailyTime.read("03:00", "Europe/Berlin").runs("0 0 2 * * *", WINTER, 2))
    assert [m.astimezone(UTC) for m in found] == [
        datetime(2027, 1, 15, 2, tzinfo=UTC) + timedelta(days=n) for n in range(2)
    ]
    assert found[0].tzinfo == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("text", ["3:00", "24:00", "03:60", "", "03:00:00", "noon"])
def test_no_time_of_day(text: str) -> None:
    with pytest.raises(ShouldFixArgument, match="HH:MM"):
        DailyTime.read(text)


def test_no_zone_and_no_whole_minute() -> None:
    with pytest.raises(ShouldFixArgument, match="Europe/Berln"):
        DailyTime.read("03:00", "Europe/Berln")
    with pytest.raises(ShouldFixArgument, match="whole minutes"):
        DailyTime(time(3, 0, 1))


@pytest.mark.parametrize("cron", ["0 3 * * *", "0 0 25 * * *", "0 61 3 * * *", "0 0 3 * * 1", ""])
def test_no_daily_expression(cron: str) -> None:
    with pytest.raises(ShouldFixArgument, match="schedule create"):
        fields_of(cron)
