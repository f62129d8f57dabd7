from __future__ import annotations

import math

import pytest

from everloop.gates.answers import count, interval, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.31234, "0.312"),
        (-0.000193, "-0.000193"),
        (12345.6, "12,346"),
        (1e-12, "0.00000000"),
        (math.nan, "not known"),
        (math.inf, "inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_intervals_and_counts() -> None:
    assert interval(-0.5, 0.25) == "[-0.500, 0.250]"
    assert count(1, "person", "people") == "1 person"
    assert count(1200, "person", "people") == "1,200 people"
    assert count(0, "decision") == "0 decisions"
