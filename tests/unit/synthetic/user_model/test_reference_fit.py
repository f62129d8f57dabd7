"""The fit without privacy: at the optimum of the loss, and what the private one tends to."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import PrivacySpec
from everloop.contracts.privacy import GaussianMechanism
from synthetic.people import gather, people_of
from synthetic.user_model.private_fit import private_fit
from synthetic.user_model.reference_fit import RIDGE, loss_and_gradient, reference_fit
from synthetic.user_model.samples import samples_of
from synthetic.user_model.weights import cold_weights, unflatten
from tests.unit.synthetic.releases import FEATURES, random_weights
from tests.unit.synthetic.world import SPEC, make

PEOPLE = gather(make(300, each=4), people_of(make(300, each=4)), 20)
COLD = cold_weights(SPEC, FEATURES)


def test_the_gradient_is_that_of_differences() -> None:
    samples = samples_of(SPEC, FEATURES, PEOPLE)
    flat = random_weights().flat
    _, slope = loss_and_gradient(FEATURES, samples, flat)
    for position in range(0, len(flat), 7):
        step = np.zeros(len(flat))
        step[position] = 1e-5
        up, down = (loss_and_gradient(FEATURES, samples, flat + s * step)[0] for s in (1, -1))
        assert slope[position] == pytest.approx((up - down) / 2e-5, abs=1e-4)


def test_it_is_an_optimum_from_anywhere() -> None:
    fitted = reference_fit(SPEC, FEATURES, PEOPLE).flat
    samples = samples_of(SPEC, FEATURES, PEOPLE)
    _, slope = loss_and_gradient(FEATURES, samples, fitted)
    assert np.abs(slope / 300 + RIDGE * (fitted - COLD.flat)).max() < 1e-4
    again = reference_fit(SPEC, FEATURES, PEOPLE, start=random_weights()).flat
    np.testing.assert_allclose(again, fitted, atol=0.05)


def test_many_quiet_steps_of_the_private_fit_tend_to_it() -> None:
    spec = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"people_expected": 300})}
    )
    mechanism = GaussianMechanism(sigma=1e-6, clip=50.0, steps=400)

    def silent(shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.zeros(shape)

    fitted = private_fit(spec, FEATURES, PEOPLE, COLD, mechanism, 6.0, silent)
    samples = samples_of(SPEC, FEATURES, PEOPLE)
    best, _ = loss_and_gradient(FEATURES, samples, reference_fit(SPEC, FEATURES, PEOPLE).flat)
    found, _ = loss_and_gradient(FEATURES, samples, fitted.flat)
    cold, _ = loss_and_gradient(FEATURES, samples, COLD.flat)
    assert (found - best) / (cold - best) < 0.02


def test_a_cold_first_fit_with_the_shipped_numbers_gets_near_it() -> None:
    """Steps, rate and clip as the specification has them, and no noise: what is left is theirs."""
    shipped = PrivacySpec(people_expected=300)
    spec = SPEC.model_copy(update={"privacy": shipped})
    mechanism = GaussianMechanism(sigma=1e-6, clip=shipped.clip, steps=shipped.steps)

    def silent(shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.zeros(shape)

    fitted = private_fit(spec, FEATURES, PEOPLE, COLD, mechanism, shipped.learning_rate, silent)
    samples = samples_of(spec, FEATURES, PEOPLE)
    best, _ = loss_and_gradient(FEATURES, samples, reference_fit(spec, FEATURES, PEOPLE).flat)
    found, _ = loss_and_gradient(FEATURES, samples, fitted.flat)
    cold, _ = loss_and_gradient(FEATURES, samples, COLD.flat)
    assert (found - best) / (cold - best) < 0.1


def test_nobody_is_refused() -> None:
    nobody = gather(make(4).where(np.zeros(16, dtype=np.bool_)), (), 20)
    with pytest.raises(ShouldFixArgument, match="without people"):
        reference_fit(SPEC, FEATURES, nobody)
    assert np.array_equal(unflatten(FEATURES, COLD.flat).flat, COLD.flat)
