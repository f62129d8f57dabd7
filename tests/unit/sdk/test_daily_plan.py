"""Which date may be run when, and which reading of the log a run works on."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk import daily
from everloop.sdk.daily import DailyPlan

TODAY = date(2026, 3, 10)


def plan(**changes: object) -> DailyPlan:
    return DailyPlan("walk", TODAY, **changes)


def test_today_needs_a_cut_off_and_tomorrow_is_never_run() -> None:
    with pytest.raises(ShouldFixArgument, match="has not ended"):
        daily._check_date(plan(), TODAY)
    with pytest.raises(ShouldFixArgument, match="has not begun"):
        daily._check_date(plan(intraday=True), TODAY - timedelta(days=1))
    daily._check_date(plan(intraday=True), TODAY)
    daily._check_date(plan(), TODAY + timedelta(days=1))
    daily._check_date(plan(intraday=True), TODAY + timedelta(days=1))


def test_a_day_before_everything_is_refused() -> None:
    ahead = date(2030, 1, 1)
    for day in (date.min, date(1999, 12, 31)):
        with pytest.raises(ShouldFixArgument, match=f"{day} is before 2000-01-01"):
            daily._check_date(DailyPlan("walk", day), ahead)
    daily._check_date(DailyPlan("walk", date(2000, 1, 1)), ahead)


def test_a_whole_day_is_read_once_until_it_is_refreshed(tmp_path: Path) -> None:
    assert daily._reading(tmp_path, plan()) == ""
    assert daily._reading(tmp_path, plan()) == ""
    fresh = daily._reading(tmp_path, plan(refresh=True))
    assert fresh
    assert daily._reading(tmp_path, plan()) == fresh
    assert daily._reading(tmp_path, plan(refresh=True)) != fresh


def test_a_named_reading_continues_until_another_name_comes(tmp_path: Path) -> None:
    one = daily._reading(tmp_path, plan(reading="one", refresh=True))
    assert daily._reading(tmp_path, plan(reading="one", refresh=True)) == one
    two = daily._reading(tmp_path, plan(reading="two"))
    assert two != one
    assert daily._reading(tmp_path, plan()) == two
    assert daily._reading(tmp_path, plan(reading="one")) != two


def test_a_day_that_was_cut_off_is_read_whole_afterwards(tmp_path: Path) -> None:
    first = daily._reading(tmp_path, plan(intraday=True))
    assert first
    assert daily._reading(tmp_path, plan(intraday=True)) == first
    second = daily._reading(tmp_path, plan(intraday=True, refresh=True))
    assert second != first
    whole = daily._reading(tmp_path, plan())
    assert whole not in {first, second}
    assert daily._reading(tmp_path, plan()) == whole
