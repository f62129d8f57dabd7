"""Intervals against formulas worked by hand and against simulation of a known truth."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.intervals import bounded_mean, critical, wilson


def test_critical_values() -> None:
    assert critical(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert critical(0.95, 4) == pytest.approx(stats.norm.ppf(1 - 0.05 / 8))


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (38, 10_000), (20, 20)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    theirs = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n, critical(0.95)) == pytest.approx((theirs.low, theirs.high))


def test_two_equal_answers_by_hand() -> None:
    # Both bets on 1 win b = 1/m - 1 of the share f: W = E[(1 + f b)^2] with E f = 1/2 and
    # E f^2 = 3/8 under Jeffreys' prior. W = 2/.05 at 3/8 b^2 + b - 39 = 0.
    b = (math.sqrt(1 + 4 * 0.375 * 39) - 1) / 0.75
    low, high = bounded_mean({5.0: 2}, 1.0, 5.0, 0.95)
    assert low == pytest.approx(1 + 4 / (1 + b), abs=1e-6)
    assert high == 5.0


def test_a_mixture_of_answers_by_hand() -> None:
    # x = 1 and x = 1/2: W = E[(1 + f b)(1 + f c)] = 1 + (b + c)/2 + 3/8 b c, c = 1/(2m) - 1.
    low, _ = bounded_mean({1.0: 1, 0.5: 1}, 0.0, 1.0, 0.95)
    b, c = 1 / low - 1, 0.5 / low - 1
    assert 1 + (b + c) / 2 + 0.375 * b * c == pytest.approx(40.0)


@pytest.mark.parametrize("value", [1.0, 3.0, 5.0])
def test_one_answer_says_nothing(value: float) -> None:
    assert bounded_mean({value: 1}, 1.0, 5.0, 0.95) == (1.0, 5.0)


def test_equal_answers_become_certain_only_by_their_number() -> None:
    lows = [bounded_mean({5.0: n}, 1.0, 5.0, 0.95)[0] for n in (2, 3, 5, 10, 30, 100, 1000)]
    assert lows == sorted(lows)
    assert lows[2] < 3
    assert lows[-1] > 4.95


def test_it_covers_where_the_t_interval_does_not() -> None:
    rng = np.random.default_rng(7)
    covered = by_t = 0
    rounds, n, truth = 400, 12, 0.92 * 5 + 0.08 * 1
    for _ in range(rounds):
        answers = np.where(rng.random(n) < 0.92, 5.0, 1.0)
        low, high = bounded_mean(Counter(answers.tolist()), 1.0, 5.0, 0.95)
        covered += low <= truth <= high
        half = stats.t.ppf(0.975, n - 1) * answers.std(ddof=1) / math.sqrt(n)
        by_t += abs(answers.mean() - truth) <= half
    assert covered / rounds >= 0.95
    assert by_t / rounds < 0.75


def test_at_a_thousand_answers_it_is_less_than_twice_the_t_interval() -> None:
    counts = {1.0: 20, 2.0: 30, 3.0: 100, 4.0: 350, 5.0: 500}
    low, high = bounded_mean(counts, 1.0, 5.0, 0.95)
    values = np.repeat(list(counts), list(counts.values()))
    half = critical(0.95) * values.std(ddof=1) / math.sqrt(len(values))
    assert low < values.mean() < high
    assert 1.0 < (high - low) / (2 * half) < 2.0


@given(
    st.dictionaries(
        st.floats(1, 5, allow_nan=False), st.integers(1, 10_000), min_size=1, max_size=6
    )
)
def test_it_holds_the_mean_lies_in_the_range_and_mirrors(counts: dict[float, int]) -> None:
    low, high = bounded_mean(counts, 1.0, 5.0, 0.95)
    mean = sum(value * times for value, times in counts.items()) / sum(counts.values())
    assert 1.0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 5.0
    mirrored = Counter[float]()
    for value, times in counts.items():
        mirrored[6.0 - value] += times
    other_low, other_high = bounded_mean(mirrored, 1.0, 5.0, 0.95)
    assert (6.0 - other_high, 6.0 - other_low) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("counts", "said"), [({5.5: 1, 2.0: 3}, r"5\.5 leaves"), ({}, "no value"), ({3.0: 0}, "no v")]
)
def test_what_it_refuses(counts: dict[float, int], said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        bounded_mean(counts, 1.0, 5.0, 0.95)
