"""What may be asked for of synthetic people."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.synthetic_jobs import LATEST_DAY, AugmentParameters
from tests.conformance.test_synthetic_job_store import parameters


@pytest.mark.parametrize("name", ["n", "seed", "days"])
@pytest.mark.parametrize("value", [True, 5.5, "5"])
def test_whole_numbers_are_whole(name: str, value: Any) -> None:
    with pytest.raises(ShouldFixArgument, match=f"{name}={value!r} is no whole number"):
        parameters(**{name: value})


@pytest.mark.parametrize("name", ["per_person", "seed"])
def test_whole_numbers_of_an_augmentation_are_whole(name: str) -> None:
    asked: dict[str, Any] = {"per_person": 1, "seed": 0, "logical_date": date(2026, 3, 1)}
    with pytest.raises(ShouldFixArgument, match=f"{name}=True is no whole number"):
        AugmentParameters(**(asked | {name: True}))


def test_interactions_end_within_the_calendar() -> None:
    last = LATEST_DAY - timedelta(days=30)
    assert parameters(start=last, days=30).start == last
    with pytest.raises(ShouldFixArgument, match=f"start={last} with days=31 ends after"):
        parameters(start=last, days=31)


@pytest.mark.parametrize("day", [date.min, date(1969, 12, 31), date(3000, 1, 1), date.max])
def test_silly_years_are_refused(day: date) -> None:
    with pytest.raises(ShouldFixArgument, match=f"start={day} is not within"):
        parameters(start=day)
    with pytest.raises(ShouldFixArgument, match=f"logical_date={day} is not within"):
        AugmentParameters(per_person=1, seed=0, logical_date=day)
