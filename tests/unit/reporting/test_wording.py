from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.evaluation import Estimate
from everloop.reporting import wording


def estimate(
    value: float, low: float = math.nan, high: float = math.nan, n: int = 5012, people: int = 5012
) -> Estimate:
    return Estimate("x", value, low, high, 0.95, n, people, "m")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "0.3"),
        (0.30001, "0.300"),
        (0.12345, "0.123"),
        (-0.0268, "\N{MINUS SIGN}0.0268"),
        (2214.0, "2,214"),
        (1234.5, "1,234"),
        (0.0, "0"),
        (1e-5, "10⁻⁵"),
        (7.701e-7, "7.7\u00a0\N{MULTIPLICATION SIGN}\u00a010⁻⁷"),
        (-2.5e-9, "\N{MINUS SIGN}2.5\u00a0\N{MULTIPLICATION SIGN}\u00a010⁻⁹"),
        (3.21e18, "3.21\u00a0\N{MULTIPLICATION SIGN}\u00a010¹⁸"),
        (math.inf, "∞"),
        (-math.inf, "\N{MINUS SIGN}∞"),
        (math.nan, "not measured"),
        (None, "not measured"),
    ],
)
def test_numbers_have_sensible_digits(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_an_interval_sets_the_digits_of_its_value() -> None:
    clicks = estimate(0.0038, 0.0026, 0.0053)
    assert f"{wording.interval(clicks)}, {wording.evidence(clicks)}" == (
        "0.0038 [0.0026, 0.0053], n = 5,012"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.0005, -0.0051, 0.0058), "0.0005 [\N{MINUS SIGN}0.0051, 0.0058]"),
        ((0.302, 0.293, 0.311), "0.302 [0.293, 0.311]"),
        ((31.4, 11.2, 51.6), "31 [11, 52]"),
        ((0.5, 0.5, 0.5), "0.500 [0.500, 0.500]"),
        ((0.2134, math.nan, math.nan), "0.213"),
        ((math.nan, math.nan, math.nan), "not measured"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
    ],
)
def test_intervals(values: tuple[float, float, float], text: str) -> None:
    assert wording.interval(estimate(*values)) == text


def test_an_interval_as_percent_and_with_its_sign() -> None:
    assert wording.interval(estimate(0.641, 0.617, 0.664), percent=True) == (
        "64.1\u00a0% [61.7, 66.4]"
    )
    assert wording.interval(estimate(0.071, 0.043, 0.099), signed=True) == "+0.071 [0.043, 0.099]"


def test_evidence_names_people_where_they_differ_from_rows() -> None:
    assert wording.evidence(estimate(0.1, people=1003)) == "n = 5,012 from 1,003 people"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4\u00a0s"),
        (9.96, "10\u00a0s"),
        (59.4, "59\u00a0s"),
        (59.7, "1\u00a0min 00\u00a0s"),
        (185.2, "3\u00a0min 05\u00a0s"),
        (None, "\N{EN DASH}"),
        (math.nan, "\N{EN DASH}"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


def test_days_shares_counts_and_sentences() -> None:
    assert wording.day(date(2025, 11, 3)) == "3 November 2025"
    assert wording.short_day(date(2025, 11, 3)) == "3 Nov"
    assert wording.percent(0.00174) == "0.174\u00a0%"
    assert wording.percent(math.nan) == "not measured"
    assert wording.plural(1, "person", "people") == "1 person"
    assert wording.plural(1200, "day") == "1,200 days"
    assert wording.sentence("it ended") == "it ended."
    assert wording.sentence("why?") == "why?"
    assert wording.sentence("") == ""
    assert wording.fixed(-0.0001, 2) == "0.00"


@given(st.floats(1e-4, 1e14), st.sampled_from([-1.0, 1.0]))
def test_a_rounded_number_stays_near_its_value(size: float, sign: float) -> None:
    text = wording.number(sign * size).replace(",", "").replace("\N{MINUS SIGN}", "-")
    assert float(text) == pytest.approx(sign * size, rel=0.006)
