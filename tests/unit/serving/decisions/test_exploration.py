"""The exploration share and the draw."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.serving.decisions.exploration import draw
from tests.unit.serving.decisions.conftest import loop

SPEC = loop(
    exploration={"start": 0.3, "serving_floor": 0.1}, serving={"exploration_halves_after": 1000}
)


@pytest.mark.parametrize(
    ("episodes", "epsilon"),
    [(0, 0.3), (1000, 0.2), (2000, 0.15), (3000, 0.125), (500, 0.1 + 0.2 / math.sqrt(2))],
)
def test_the_excess_over_the_floor_halves(episodes: int, epsilon: float) -> None:
    assert SPEC.serving_epsilon(episodes) == pytest.approx(epsilon, abs=1e-15)


def test_it_ends_at_the_floor_and_never_rises_to_it() -> None:
    assert SPEC.serving_epsilon(10**9) == 0.1
    low = loop(exploration={"start": 0.02, "serving_floor": 0.1})
    assert low.serving_epsilon(0) == low.serving_epsilon(10**6) == 0.02


@pytest.mark.parametrize(
    ("uniform", "index"),
    [(0.0, 1), (0.2499, 1), (0.25, 3), (0.4999, 3), (0.5, 4), (0.999999, 4)],
)
def test_the_draw_by_hand(uniform: float, index: int) -> None:
    assert draw([0.0, 0.25, 0.0, 0.25, 0.5, 0.0], uniform) == index


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=12).filter(
        lambda x: sum(x) > 1e-6
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_nothing_impossible_is_drawn(shares: list[float], uniform: float) -> None:
    total = sum(shares)
    propensity = [share / total for share in shares]
    for u in (uniform, 0.0, math.nextafter(1.0, 0.0)):
        assert propensity[draw(propensity, u)] > 0.0


def test_actions_come_as_often_as_they_should() -> None:
    propensity = [0.02, 0.0, 0.68, 0.25, 0.05]
    rng, n = random.Random(11), 50_000
    seen = [0] * 5
    for _ in range(n):
        seen[draw(propensity, rng.random())] += 1
    assert seen[1] == 0
    chi = sum((s - n * p) ** 2 / (n * p) for s, p in zip(seen, propensity, strict=True) if p)
    assert chi < 16.27, "the .999 quantile of chi-square with 3 degrees of freedom"
