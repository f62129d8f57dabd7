"""Clusters and the variance within them against figures computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.quality.clusters import assign, diversity, kmeans, within
from synthetic.quality.resampling import Resampler


def test_centres_of_two_clouds_are_their_means() -> None:
    rows = np.array([[0.0, 0], [0, 2], [10, 0], [10, 4], [10, 2]])
    centres = kmeans(rows, 2, np.random.default_rng(1))
    assert sorted(map(tuple, centres)) == [(0.0, 1.0), (10.0, 2.0)]
    assert len(kmeans(np.zeros((9, 2)), 3, np.random.default_rng(1))) == 1


def test_variance_within_by_hand() -> None:
    rows = np.array([[0.0, 1], [2, 1], [5, 5]])
    place = np.array([0, 0, 1])
    mass, variance = within(rows, place, np.array([1.0, 3, 2]), 3)
    # cluster 0: mean 1.5, (1 * 2.25 + 3 * 0.25) / 4 = 0.75 in the first dimension
    assert list(mass) == [4, 2, 0]
    assert list(variance) == [0.75, 0, 0]


def two_clouds(rng: np.random.Generator, people: int, spread: float) -> np.ndarray:
    centre = np.where(rng.random(people) < 0.5, -10.0, 10.0)
    return np.stack([centre, np.zeros(people)], axis=1) + spread * rng.normal(size=(people, 2))


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_diversity_is_the_ratio_of_variances_within(spread: float) -> None:
    """With two clouds 20 apart the total variance would hardly see the spread at all."""
    rng = np.random.default_rng(2)
    real, made = two_clouds(rng, 4_000, 1.0), two_clouds(rng, 4_000, spread)
    by = Resampler(np.arange(4_000))
    whole, least = diversity(made, np.ones(4_000), real, by, np.random.default_rng(3))
    inside = (
        0.5 if spread == 0.5 else spread
    )  # eight clusters cut what spreads wider than people do
    assert whole.low <= whole.value <= whole.high
    assert (
        (whole.value > 1.2)
        if spread == 2.0
        else (whole.value == pytest.approx(inside**2, abs=0.25))
    )
    assert least.value <= whole.value
    assert whole.clusters == 2_000


def test_an_empty_cluster_counts_as_no_variance() -> None:
    rng = np.random.default_rng(4)
    real = two_clouds(rng, 2_000, 1.0)
    made = two_clouds(rng, 4_000, 1.0)
    made = made[made[:, 0] > 0]
    by = Resampler(np.arange(2_000))
    whole, least = diversity(made, np.ones(len(made)), real, by, np.random.default_rng(3))
    assert whole.value == pytest.approx(0.5, abs=0.08)
    assert least.value == 0.0


def test_people_who_never_vary_have_no_diversity_to_compare_with() -> None:
    by = Resampler(np.arange(40))
    whole, _ = diversity(
        np.zeros((40, 2)), np.ones(40), np.zeros((40, 2)), by, np.random.default_rng(1)
    )
    assert math.isnan(whole.value)


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 10_000))
def test_every_row_is_with_its_nearest_centre(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    centres = kmeans(rows, k, rng)
    place = assign(rows, centres)
    distance = ((rows[:, None] - centres[None]) ** 2).sum(axis=2)
    assert np.allclose(distance[np.arange(n), place], distance.min(axis=1))
    mass, variance = within(rows, place, np.ones(n), len(centres))
    assert mass.sum() == n
    assert mass @ variance <= n * rows.var(axis=0).sum() + 1e-9
