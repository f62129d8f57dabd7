from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rl.off_policy.intervals import clustered_mean, totals_by_person


def test_by_hand() -> None:
    """People (1, 3), (2): V = 2, residuals 4 - 2*2 = 0 and 2 - 1*2 = 0; then a spread of 1 each."""
    values = np.array([1.0, 2.0, 3.0, 6.0])
    person = np.array([7, 7, 9, 9])
    totals, counts = totals_by_person(values, person)
    np.testing.assert_array_equal(totals, [3.0, 9.0])
    np.testing.assert_array_equal(counts, [2, 2])
    found = clustered_mean("v", values, person, 0.95, "m")
    # V = 3, residuals -3 and 3, var = 2/1 * 18 / 16
    half = float(stats.t.ppf(0.975, 1)) * math.sqrt(2 * 18 / 16)
    assert (found.value, found.n, found.clusters) == (3.0, 4, 2)
    assert found.high - found.value == pytest.approx(half)
    assert found.value - found.low == pytest.approx(half)


def test_one_row_a_person_is_the_ordinary_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = clustered_mean("v", values, np.arange(50), 0.9, "m")
    low, high = stats.t.interval(0.9, 49, values.mean(), values.std(ddof=1) / math.sqrt(50))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_repeating_each_person_does_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    once = clustered_mean("v", values, np.arange(30), 0.95, "m")
    thrice = clustered_mean("v", np.repeat(values, 3), np.repeat(np.arange(30), 3), 0.95, "m")
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low)


def test_little_or_nothing_has_no_interval() -> None:
    one = clustered_mean("v", np.array([1.0, 2.0]), np.array([4, 4]), 0.95, "m")
    assert one.value == 1.5
    assert math.isnan(one.low)
    none = clustered_mean("v", np.zeros(0), np.zeros(0, dtype=int), 0.95, "m")
    assert math.isnan(none.value)
    assert none.n == none.clusters == 0
    broken = clustered_mean("v", np.array([1.0, math.nan]), np.array([0, 1]), 0.95, "m")
    assert math.isnan(broken.value)
    assert math.isnan(broken.low)


def test_coverage_with_people_who_differ_and_repeat() -> None:
    """95 % within four binomial errors; an interval that ignores people misses far more often."""
    rng = np.random.default_rng(5)
    hits = naive = 0
    trials = 1000
    for _ in range(trials):
        counts = rng.integers(1, 8, 120)
        person = np.repeat(np.arange(120), counts)
        values = rng.normal(0, 1, 120)[person] + rng.normal(0, 0.5, len(person))
        found = clustered_mean("v", values, person, 0.95, "m")
        hits += found.low <= 0 <= found.high
        half = 1.96 * values.std() / math.sqrt(len(values))
        naive += abs(values.mean()) <= half
    assert abs(hits / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)
    assert naive / trials < 0.8
