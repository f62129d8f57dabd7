"""The page of a tour says what its records say, and nothing that was not measured."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from everloop.contracts.demo import DemoDay, DemoTour
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.reporting.demo import accuracy_by_day, demo_page, epsilon_by_day, value_by_day
from everloop.reporting.plots import Series, lines
from everloop.reporting.svg import Caption


def known(value: float) -> Estimate:
    return Estimate("value", value, value - 0.01, value + 0.01, 0.95, 900, 700, "truth")


def day(number: int, **changes: object) -> DemoDay:
    made = DemoDay(
        number=number,
        date=date(2025, 1, 5) + timedelta(days=number),
        people=1_234,
        arrived=21,
        left=20,
        decisions=900,
        decided_by="rules",
        exploration=0.3,
        value=known(0.05 + 0.05 * number),
        best=known(0.30),
        first=known(0.10),
        auc_private=math.nan if number == 1 else 0.741,
        auc_reference=math.nan if number == 1 else 0.788,
        epsilon_tonight=0.04,
        epsilon_period=0.48,
        epsilon_since_first_seen=0.48,
        epsilon_every_night=float(number),
        verdict="hold",
        reason="the interval <reaches> below 0",
        serves_next="rules",
    )
    return replace(made, **changes)


def tour(*days: DemoDay) -> DemoTour:
    return DemoTour("walk", 1_234, 7, 1.0, 1e-5, 365, ("privacy.min_people=20",), days)


def test_the_share_of_the_gain_is_between_the_first_and_the_best_policy() -> None:
    assert day(3).gain_share == pytest.approx((0.20 - 0.10) / (0.30 - 0.10))
    assert math.isnan(day(1, best=known(0.10)).gain_share)


def test_a_day_is_counted_from_one() -> None:
    with pytest.raises(ShouldFixArgument, match="Day number 0"):
        day(0)


def test_two_days_are_equal_however_long_they_took() -> None:
    assert day(1, seconds={"gate": 1.0}) == day(1, seconds={"gate": 2.0})


def test_the_page_shows_every_day_and_escapes_what_comes_from_data() -> None:
    page = demo_page(tour(day(1), day(2), day(3)))
    assert page == demo_page(tour(day(1), day(2), day(3)))
    assert len(re.findall(r'<th scope="row">', page)) == 3
    assert "&lt;reaches&gt;" in page
    assert "<reaches>" not in page
    assert "default-src 'none'" in page
    assert "privacy.min_people=20" in page
    for figure in ("plot-value", "plot-auc", "plot-epsilon"):
        assert f'id="{figure}"' in page


def test_captions_give_the_last_day_in_words() -> None:
    told = tour(day(1), day(2), day(3))
    assert "0.200 [0.190, 0.210] of 0.3 possible, 0.1 to begin with; 50 %" in str(
        value_by_day(told)
    ).replace("\N{NO-BREAK SPACE}", " ")
    assert "0.741 private, 0.788 without privacy" in str(accuracy_by_day(told))
    assert "every night would stand at 3" in str(epsilon_by_day(told))


def test_what_was_not_measured_is_not_drawn() -> None:
    told = tour(day(1))
    assert accuracy_by_day(told) == ""
    assert "nan" not in demo_page(told).lower()
    assert "plot-value" not in demo_page(tour())


def test_lines_share_their_axes_and_are_named() -> None:
    above = Series("above", [1.0, 2.0], [10.0, 10.0])
    below = Series("below", [1.0, 2.0], [0.0, 0.0])
    drawn = str(lines(Caption("plot-x", "A", "B"), ((above, "main"), (below, "third")), x_name="x"))
    assert re.findall(r'class="curve (\w+)" d="([^"]+)"', drawn) == [
        ("third", "M0 1000L1000 1000"),
        ("main", "M0 0L1000 0"),
    ]
    assert re.findall(r'<i class="(\w+)"></i> (\w+)', drawn) == [
        ("main", "above"),
        ("third", "below"),
    ]
