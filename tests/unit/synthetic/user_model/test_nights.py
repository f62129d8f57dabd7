"""Nights one after another: their rates, and that noise does not pile up over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from everloop.contracts.privacy import GaussianMechanism, Mechanism
from synthetic.noise import Noise, SealedNoise
from synthetic.people import PeopleEpisodes, gather, people_of
from synthetic.user_model.nights import MEMORY_NIGHTS, Released, night_rate, play_nights
from synthetic.user_model.reference_fit import loss_and_gradient, reference_fit
from synthetic.user_model.samples import samples_of
from synthetic.user_model.weights import cold_weights
from tests.unit.synthetic.releases import FEATURES
from tests.unit.synthetic.world import SPEC, make

PRIVACY = SPEC.privacy


def test_rates_by_hand() -> None:
    rate, precision = night_rate(PRIVACY, 0.02, None)
    assert (rate, precision) == (pytest.approx(PRIVACY.learning_rate), 0.02)
    rate, precision = night_rate(PRIVACY, 0.001, 0.02)
    kept = 0.02 * (1 - 1 / MEMORY_NIGHTS)
    assert precision == pytest.approx(kept + 0.001)
    assert rate == pytest.approx(PRIVACY.learning_rate * 0.001 / (kept + 0.001))


def test_the_rate_of_a_night_tends_to_that_of_a_running_mean() -> None:
    precision: float | None = None
    rate = 0.0
    for _ in range(600):
        rate, precision = night_rate(PRIVACY, 0.001, precision)
    assert rate == pytest.approx(PRIVACY.learning_rate / MEMORY_NIGHTS, rel=1e-3)


def test_nights_neither_drift_away_nor_decay() -> None:
    """A first fit and many noisy nights after it, as the plan of a year shares its budget."""
    episodes = make(400, each=6, seed=8)
    people = gather(episodes, people_of(episodes), 20)
    spec = SPEC.model_copy(update={"privacy": PRIVACY.model_copy(update={"people_expected": 400})})
    whole = 16.0

    def nights(count: int) -> Iterator[tuple[PeopleEpisodes, Mechanism, float, Noise]]:
        for night in range(count):
            share = 0.25 if night == 0 else 0.75 / 365
            steps = 16 if night == 0 else 2
            sigma = (steps / (whole * share)) ** 0.5
            mechanism = GaussianMechanism(sigma, PRIVACY.clip, steps)
            yield people, mechanism, whole * share, SealedNoise(bytes([night]) * 32, "a")

    samples = samples_of(spec, FEATURES, people)
    best, _ = loss_and_gradient(FEATURES, samples, reference_fit(spec, FEATURES, people).flat)
    cold, _ = loss_and_gradient(FEATURES, samples, cold_weights(spec, FEATURES).flat)
    played = list(play_nights(spec, FEATURES, nights(90)))
    left = [
        (loss_and_gradient(FEATURES, samples, one.weights.flat)[0] - best) / (cold - best)
        for one in played
    ]
    assert left[0] < 0.1
    assert max(left[1:]) < left[0] + 0.02
    assert np.mean(left[-10:]) < left[0]


def test_nights_go_on_from_a_release() -> None:
    episodes = make(60, each=2, seed=8)
    people = gather(episodes, people_of(episodes), 20)
    mechanism = GaussianMechanism(3.0, 0.5, 2)

    def night(seed: int) -> tuple[PeopleEpisodes, Mechanism, float, Noise]:
        return people, mechanism, 0.01, SealedNoise(bytes([seed]) * 32, "a")

    both = list(play_nights(SPEC, FEATURES, [night(1), night(2)]))
    first = next(play_nights(SPEC, FEATURES, [night(1)]))
    second = next(play_nights(SPEC, FEATURES, [night(2)], start=first))
    assert np.array_equal(both[1].weights.flat, second.weights.flat)
    assert isinstance(second, Released)
    assert second.precision == both[1].precision
