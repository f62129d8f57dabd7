"""Prices of mechanisms, and their events as JSON: against dp_accounting."""

from __future__ import annotations

import json
import math
from typing import Any

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.canonical import canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import (
    GaussianMechanism,
    Mechanism,
    SubsampledGaussianMechanism,
    mechanism_from,
)
from everloop.privacy import accounting, mechanisms, renyi
from everloop.privacy.dp_events import dumped, event_of, loaded

SIGMAS = st.floats(0.5, 500.0)
STEPS = st.integers(1, 1000)
MECHANISMS: st.SearchStrategy[Mechanism] = st.one_of(
    st.builds(GaussianMechanism, SIGMAS, st.floats(0.1, 9.0), STEPS),
    st.builds(
        SubsampledGaussianMechanism, SIGMAS, st.floats(0.1, 9.0), STEPS, st.floats(1e-4, 0.9)
    ),
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=0)
EVENTS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.builds(dp_accounting.GaussianDpEvent, FLOATS),
        st.builds(dp_accounting.LaplaceDpEvent, FLOATS),
        st.just(dp_accounting.NonPrivateDpEvent()),
        st.builds(
            dp_accounting.SingleEpochTreeAggregationDpEvent,
            FLOATS,
            st.lists(st.integers(1, 9), min_size=1),
        ),
    ),
    lambda inner: st.one_of(
        st.builds(dp_accounting.SelfComposedDpEvent, inner, st.integers(1, 10**6)),
        st.builds(dp_accounting.ComposedDpEvent, st.lists(inner, max_size=3)),
        st.builds(dp_accounting.PoissonSampledDpEvent, st.floats(0, 1), inner),
    ),
    max_leaves=8,
)


@given(EVENTS)
def test_events_come_back_from_their_json(event: dp_accounting.DpEvent) -> None:
    text = canonical_json(dumped(event))
    assert loaded(json.loads(text)) == event


@given(MECHANISMS)
def test_mechanisms_come_back_and_tell_their_event(mechanism: Mechanism) -> None:
    assert mechanism_from(json.loads(canonical_json(mechanisms.as_json(mechanism)))) == (mechanism)
    event = loaded(event_of(mechanism))
    assert dumped(event) == event_of(mechanism)
    step = event.event
    if isinstance(mechanism, SubsampledGaussianMechanism):
        assert step.sampling_probability == mechanism.sampling_rate
        step = step.event
    assert (step.noise_multiplier, event.count) == (mechanism.sigma, mechanism.steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"class": "PLDAccountant", "fields": {}}, "no event 'PLDAccountant'"),
        ({"class": "NoSuchEvent", "fields": {}}, "no event"),
        ({"class": "GaussianDpEvent"}, "no fields"),
        ({"class": "GaussianDpEvent", "fields": {"sigma": 1.0}}, "does not load"),
    ],
)
def test_what_is_no_event_is_refused(text: dict[str, Any], said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        loaded(text)


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "laplace", "sigma": 1.0, "clip": 1.0, "steps": 1},
        {"kind": "gaussian", "sigma": 1.0, "clip": 1.0},
        {"kind": "subsampled_gaussian", "sigma": 1.0, "clip": 1.0, "steps": 1},
        {"kind": "gaussian", "sigma": "many", "clip": 1.0, "steps": 1},
    ],
)
def test_what_is_no_mechanism_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument):
        mechanism_from(terms)


@settings(deadline=None, max_examples=40)
@given(MECHANISMS)
def test_divergences_are_dp_accountings_rounded_up(mechanism: Mechanism) -> None:
    accountant = RdpAccountant(renyi.ORDERS)
    accountant.compose(loaded(event_of(mechanism)))
    ours = np.array(mechanisms.divergences(mechanism))
    theirs = np.maximum(accountant.rdp, 0.0)
    assert np.all(ours >= theirs * (1 - 1e-12))
    assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-9 * mechanism.steps)


@given(st.floats(1e-9, 5.0), st.sampled_from([1e-5, 1e-6, 1e-9]))
def test_the_conversion_is_dp_accountings(mu_squared: float, delta: float) -> None:
    vector = renyi.gaussian(mu_squared)
    found = renyi.epsilon_of(vector, delta)
    theirs, _ = compute_epsilon(renyi.ORDERS, vector, delta)
    assert found >= theirs - 1e-12  # theirs also knows when nothing at all is lost
    assert theirs in (0.0, pytest.approx(found, rel=1e-12))
    assert found >= accounting.epsilon_of(mu_squared, delta)
    assert renyi.epsilons_of(np.array([vector]), delta) == pytest.approx([found])


def test_orders_that_budgets_are_judged_at_by_hand() -> None:
    """mu^2 = 2 (epsilon - log(1 - 1/a) + log(delta a) / (a - 1)) / a, best at a = 18."""
    best = max(
        (2 * (1 - math.log(1 - 1 / a) + math.log(1e-5 * a) / (a - 1)) / a, a) for a in range(2, 100)
    )
    assert best[1] == renyi.ORDERS[renyi.judging_index(1.0, 1e-5)] == 18
    allowed = renyi.allowed(1.0, 1e-5)
    assert (
        renyi.as_mu_squared(allowed, 1.0, 1e-5)
        == pytest.approx(best[0])
        == pytest.approx(0.0611055, rel=1e-5)
    )
    assert renyi.epsilon_of(renyi.gaussian(best[0]), 1e-5) == pytest.approx(1.0)
    with pytest.raises(ShouldFixArgument, match="too small for subsampled"):
        renyi.judging_index(1e-4, 1e-5)


@settings(deadline=None, max_examples=12)
@given(st.floats(1e-4, 0.06), st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from([4, 100, 300]))
def test_a_calibrated_mechanism_costs_what_was_planned(
    mu_squared: float, rate: float, steps: int
) -> None:
    privacy = PrivacySpec(sampling_rate=rate, steps=steps)
    found = mechanisms.subsampled_for(mu_squared, privacy)
    cost = mechanisms.mu_squared_of(found, privacy)
    assert mu_squared * (1 - 1e-6) <= cost <= mu_squared


def test_no_noise_for_a_step_that_is_nearly_free() -> None:
    privacy = PrivacySpec(sampling_rate=1e-3, steps=1000)
    with pytest.raises(ShouldFixArgument, match="No noise makes a step"):
        mechanisms.subsampled_for(1e-12, privacy)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.builds(GaussianMechanism, st.floats(8, 60), st.just(1.0), st.integers(1, 8)),
        min_size=1,
        max_size=12,
    )
)
def test_totals_of_gaussian_histories_are_plds(history: list[GaussianMechanism]) -> None:
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    for one in history:
        accountant.compose(loaded(event_of(one)))
    ours = accounting.epsilon_of(math.fsum(one.mu_squared for one in history), 1e-5)
    assert ours == pytest.approx(accountant.get_epsilon(1e-5), abs=1e-3)
