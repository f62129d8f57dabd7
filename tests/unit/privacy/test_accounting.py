"""Gaussian DP in closed form, against hand values and Google's privacy loss distributions."""

from __future__ import annotations

import math

import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from everloop.contracts.errors import ShouldFixArgument
from everloop.privacy import accounting


def test_default_budget() -> None:
    assert accounting.mu(1.0, 1e-5) ** 2 == pytest.approx(0.07185, abs=5e-6)


def test_delta_is_the_formula() -> None:
    e, m = 0.7, 0.4
    expected = norm.cdf(-e / m + m / 2) - math.exp(e) * norm.cdf(-e / m - m / 2)
    assert accounting.delta(e, m) == pytest.approx(expected, rel=1e-12)


def test_delta_at_epsilon_zero_is_total_variation() -> None:
    assert accounting.delta(0.0, 0.3) == pytest.approx(2 * norm.cdf(0.15) - 1, rel=1e-12)


def test_nothing_spent_costs_nothing() -> None:
    assert accounting.delta(0.5, 0.0) == 0.0
    assert accounting.epsilon_of(0.0, 1e-5) == 0.0
    assert accounting.epsilon(1e-9, 1e-5) == 0.0


@given(
    st.floats(min_value=1e-3, max_value=10.0),
    st.floats(min_value=1e-9, max_value=1e-3),
)
def test_mu_and_epsilon_are_inverse(epsilon: float, delta: float) -> None:
    mu = accounting.mu(epsilon, delta)
    assert accounting.epsilon(mu, delta) == pytest.approx(epsilon, abs=1e-8)
    assert accounting.delta(epsilon, mu) == pytest.approx(delta, rel=1e-6)


@given(st.floats(min_value=1e-3, max_value=3.0), st.floats(min_value=1.01, max_value=3.0))
def test_more_loss_is_more_epsilon(mu: float, factor: float) -> None:
    assert accounting.epsilon(mu * factor, 1e-5) >= accounting.epsilon(mu, 1e-5)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(min_value=3.0, max_value=60.0), st.integers(1, 6)),
        min_size=1,
        max_size=6,
    )
)
def test_composition_is_what_a_privacy_loss_distribution_says(
    history: list[tuple[float, int]],
) -> None:
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    for sigma, steps in history:
        accountant.compose(GaussianDpEvent(sigma), steps)
    mu_squared = sum(steps / sigma**2 for sigma, steps in history)
    expected = accountant.get_epsilon(1e-5)
    assert accounting.epsilon_of(mu_squared, 1e-5) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_values_are_refused(value: float) -> None:
    with pytest.raises(ShouldFixArgument, match="out of range"):
        accounting.delta(value, 1.0)
    with pytest.raises(ShouldFixArgument, match="out of range"):
        accounting.delta(1.0, value)
    with pytest.raises(ShouldFixArgument, match="delta"):
        accounting.mu(1.0, value)
    with pytest.raises(ShouldFixArgument, match="delta"):
        accounting.epsilon(1.0, value)
