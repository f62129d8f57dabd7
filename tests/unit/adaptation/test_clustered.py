from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from everloop.adaptation.clustered import clustered_intercept, clustered_mean


def test_a_mean_over_people_by_hand() -> None:
    # Three people; sums of residuals around the mean 2: (1-2)+(1-2)=-2, (2-2)=0, (4-2)=2.
    found = clustered_mean("m", [1.0, 1.0, 2.0, 4.0], ["a", "a", "b", "c"], 0.95)
    assert found.value == 2.0
    variance = 3 / 2 * (4 + 0 + 4) / 16
    half = t.ppf(0.975, 2) * math.sqrt(variance)
    assert found.low == pytest.approx(2.0 - half)
    assert found.high == pytest.approx(2.0 + half)
    assert (found.n, found.clusters, found.confidence) == (4, 3, 0.95)


def test_rows_of_one_person_are_one_witness() -> None:
    many = clustered_mean("m", [1.0] * 50 + [0.0] * 50, ["a"] * 50 + ["b"] * 50, 0.95)
    few = clustered_mean("m", [1.0, 0.0], ["a", "b"], 0.95)
    assert many.low == pytest.approx(few.low)
    assert math.isnan(clustered_mean("m", [1.0, 2.0, 3.0], ["a"] * 3, 0.95).low)


def test_nothing_gives_no_number() -> None:
    found = clustered_mean("m", [], [], 0.95)
    assert math.isnan(found.value)
    assert (found.n, found.clusters) == (0, 0)


def test_an_effect_that_length_explains_is_none_at_equal_length() -> None:
    length = np.arange(-5.0, 15.0)
    values = 0.1 * length + np.where(np.arange(20) % 2, 0.01, -0.01)
    people = [str(i) for i in range(20)]
    plain = clustered_mean("m", values, people, 0.95)
    assert plain.low > 0
    adjusted = clustered_intercept("m", values, length[:, None], people, 0.95)
    assert adjusted.low < 0 < adjusted.high
    assert adjusted.value == pytest.approx(0.0, abs=0.01)


def test_an_intercept_is_the_textbooks_sandwich() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=40)
    groups = np.repeat(np.arange(10), 4)
    y = 1.0 + 2.0 * x + generator.normal(size=10)[groups] + generator.normal(size=40)
    design = np.column_stack([np.ones(40), x])
    beta = np.linalg.solve(design.T @ design, design.T @ y)
    residual = y - design @ beta
    meat = sum(
        np.outer(s, s) for g in range(10) for s in [design[groups == g].T @ residual[groups == g]]
    )
    inverse = np.linalg.inv(design.T @ design)
    variance = (inverse @ meat @ inverse)[0, 0] * 10 / 9 * 39 / 38
    found = clustered_intercept("m", y, x[:, None], [str(g) for g in groups], 0.9)
    assert found.value == pytest.approx(beta[0])
    assert found.high - found.value == pytest.approx(t.ppf(0.95, 9) * math.sqrt(variance))


def test_a_covariate_that_never_varies_is_left_out() -> None:
    values, people = [1.0, 2.0, 4.0], ["a", "b", "c"]
    found = clustered_intercept("m", values, np.full((3, 1), 7.0), people, 0.95)
    assert found.value == pytest.approx(7 / 3)
    assert found.low == pytest.approx(clustered_mean("m", values, people, 0.95).low)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.sampled_from("abcdef")), min_size=1, max_size=40),
    st.randoms(),
)
def test_the_order_of_rows_says_nothing(rows: list[tuple[float, str]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = clustered_mean("m", [v for v, _ in rows], [p for _, p in rows], 0.95)
    two = clustered_mean("m", [v for v, _ in shuffled], [p for _, p in shuffled], 0.95)
    assert one.value == pytest.approx(two.value, abs=1e-9)
    assert one.clusters == two.clusters
