"""What a tour may be asked to play."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
from everloop.sdk.demo.plan import FIRST_DAY, DemoPlan


@pytest.mark.parametrize("days", [0, -1])
def test_a_tour_has_a_day(days: int) -> None:
    with pytest.raises(ShouldFixArgument, match=f"days={days} is below 1"):
        DemoPlan(days=days)


def test_a_tour_ends_in_the_past() -> None:
    possible = (datetime.now(UTC).date() - FIRST_DAY).days
    assert DemoPlan(days=possible).date_of(possible) == datetime.now(UTC).date() - timedelta(1)
    with pytest.raises(ShouldFixArgument, match=f"Play at most {possible} days"):
        DemoPlan(days=possible + 1)


def test_enough_people_are_left_to_learn_from() -> None:
    assert DemoPlan(people=167).fewest_people == 167
    with pytest.raises(ShouldFixArgument, match=r"people=166 are too few: 40%.*Give at least 167"):
        DemoPlan(people=166)
    half = ("privacy.min_people=20", "thresholds.holdout_share=0.5")
    assert DemoPlan(people=40, settings=half).fewest_people == 40


def test_a_tour_is_long_enough_for_a_night_to_learn() -> None:
    """At 0.3 decisions a day, of which the last day's are open, 2 a person have closed after
    2 / 0.3 + 1 = 7.7 days."""
    told = (
        r"days=3 are too few: about 120 decisions of 200 people .* learns from 400 "
        r".*Play at least 8 days"
    )
    with pytest.raises(ShouldFixArgument, match=told):
        DemoPlan(days=3, people=200)
    assert DemoPlan(days=8, people=200).days_to_learn == 8
    fewer = ("thresholds.min_episodes=100",)
    assert DemoPlan(days=3, people=200, settings=fewer).days_to_learn == 3
    with pytest.raises(ShouldFixArgument, match="Play at least 3 days"):
        DemoPlan(days=2, people=200, settings=fewer)


def test_a_window_must_hold_decisions_enough() -> None:
    """(14 - 1) days of 0.3 decisions: 3.9 a person."""
    with pytest.raises(ShouldFixArgument, match=r"about 780 .* 14 days.*Give at least 257 people"):
        DemoPlan(people=200, settings=("thresholds.min_episodes=1000",))
    with pytest.raises(ShouldFixArgument, match=r"Give a longer thresholds\.window_days"):
        DemoPlan(settings=("thresholds.window_days=1",))


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ShouldFixArgument, match="seed=-1"):
        DemoPlan(seed=-1)


def test_settings_win_over_the_tours_own_and_are_checked() -> None:
    plan = DemoPlan(settings=("training.iterations=3",))
    assert plan.spec.training.iterations == 3
    assert plan.spec.privacy.people_expected == plan.people
    with pytest.raises(ShouldFixLoopSpec, match=r"training\.iteration="):
        _ = DemoPlan(settings=("training.iteration=3",))


def test_days_are_counted_from_a_monday() -> None:
    assert DemoPlan.date_of(1) == date(2025, 1, 6)
    assert DemoPlan.date_of(1).weekday() == 0
    assert DemoPlan.date_of(31) == date(2025, 2, 5)
