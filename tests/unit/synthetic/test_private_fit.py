"""The mechanism against numpy, its sensitivity, and that nothing is divided by an exact count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.contracts.privacy import GaussianMechanism
from synthetic.features import FeatureMap, feature_map
from synthetic.linear_user_model import Weights, cold_weights
from synthetic.noise import Noise, SealedNoise
from synthetic.people import gather, people_of
from synthetic.private_fit import private_fit
from tests.unit.synthetic.world import INTERACTING, SPEC, make

FEATURES = feature_map(SPEC, INTERACTING)
EXPECTED = SPEC.privacy.people_expected


def silent(shape: tuple[int, ...]) -> Float:
    return np.zeros(shape)


def fit(
    episodes: EncodedEpisodes,
    mechanism: GaussianMechanism,
    noise: Noise = silent,
    start: Weights | None = None,
    rate: float = 2.0,
    last: int = 20,
    batch: int = 2_000,
    spec: LoopSpec = SPEC,
    features: FeatureMap = FEATURES,
) -> Weights:
    people = gather(episodes, people_of(episodes), last)
    return private_fit(
        spec, features, people, start or cold_weights(spec, features), mechanism, rate, noise, batch
    )


def flat(weights: Weights) -> Float:
    return np.concatenate([weights.values.ravel(), weights.presences.ravel()])


def random_weights(seed: int, scale: float = 0.5) -> Weights:
    rng = np.random.default_rng(seed)
    zero = cold_weights(SPEC, FEATURES)
    return Weights(
        rng.normal(0, scale, zero.values.shape), rng.normal(0, scale, zero.presences.shape)
    )


def by_hand(
    episodes: EncodedEpisodes,
    mechanism: GaussianMechanism,
    noise: Noise,
    start: Weights,
    rate: float,
    last: int,
) -> Weights:
    """The same descent in numpy, person by person."""
    values, presences = start.values.copy(), start.presences.copy()
    for _ in range(mechanism.steps):
        summed_values, summed_presences = np.zeros_like(values), np.zeros_like(presences)
        for person in np.unique(episodes.person):
            rows = np.flatnonzero(episodes.person == person)[-last:]
            gradient, gradient_presence = np.zeros_like(values), np.zeros_like(presences)
            for row in rows:
                wide, narrow = FEATURES.of(episodes.context[[row]], episodes.action[[row]])
                found = episodes.signals[row]
                target = np.array([found[0], (found[1] + 1) / 2])
                for head in range(2):
                    if np.isfinite(found[head]):
                        residual = 1 / (1 + np.exp(-values[head] @ wide[0])) - target[head]
                        gradient[head] += residual * wide[0] / len(rows)
                residual = 1 / (1 + np.exp(-presences[0] @ narrow[0])) - np.isfinite(found[1])
                gradient_presence[0] += residual * narrow[0] / len(rows)
            norm = np.sqrt((gradient**2).sum() + (gradient_presence**2).sum())
            factor = min(1.0, mechanism.clip / norm)
            summed_values += factor * gradient
            summed_presences += factor * gradient_presence
        deviation = mechanism.sigma * mechanism.clip
        values -= rate * (summed_values + deviation * noise(values.shape)) / EXPECTED
        presences -= rate * (summed_presences + deviation * noise(presences.shape)) / EXPECTED
    return Weights(values, presences)


@pytest.mark.parametrize("clip", [0.05, 0.5, 50.0])
def test_it_is_the_formula(clip: float) -> None:
    episodes = make(40, each=5)
    mechanism = GaussianMechanism(sigma=3.0, clip=clip, steps=3)
    start = random_weights(1)
    arguments = (mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 4)
    expected = by_hand(episodes, *arguments)
    found = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 4)
    np.testing.assert_allclose(flat(found), flat(expected), atol=1e-5)
    assert np.abs(flat(found) - flat(start)).max() > 1e-2


def test_virtual_batches_change_nothing() -> None:
    episodes = make(50, each=3)
    mechanism = GaussianMechanism(sigma=3.0, clip=0.5, steps=2)
    whole = fit(episodes, mechanism, SealedNoise(bytes(32), "a"))
    parts = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), batch=7)
    np.testing.assert_allclose(flat(parts), flat(whole), atol=1e-12)


ONE_STEP = GaussianMechanism(sigma=1.0, clip=0.5, steps=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 11), st.integers(0, 10_000), st.floats(0.0, 20.0), st.floats(0.01, 2.0))
def test_one_person_moves_the_clipped_sum_by_at_most_the_clip(
    person: int, seed: int, scale: float, clip: float
) -> None:
    episodes = make(12, each=3, seed=2)
    mechanism = GaussianMechanism(sigma=1.0, clip=clip, steps=1)
    start = random_weights(seed, scale)
    with_all = fit(episodes, mechanism, start=start, rate=1.0)
    without = fit(episodes.where(episodes.person != person), mechanism, start=start, rate=1.0)
    moved = np.linalg.norm(flat(with_all) - flat(without)) * EXPECTED
    assert moved <= clip * (1 + 1e-9)


def test_neighbours_differ_by_the_clip_alone_under_the_same_noise() -> None:
    """Nothing un-noised gets through: not the count, not a mean, not a normalisation."""
    episodes = make(12, each=3, seed=2)
    extreme = episodes.where(episodes.person != 0)
    rate = 2.0
    for neighbour in (extreme, extreme.where(extreme.person != 1)):
        people = 12 - len(np.unique(neighbour.person))
        one = fit(episodes, ONE_STEP, SealedNoise(bytes(32), "a"), rate=rate)
        two = fit(neighbour, ONE_STEP, SealedNoise(bytes(32), "a"), rate=rate)
        bound = people * rate * ONE_STEP.clip / EXPECTED
        assert np.linalg.norm(flat(one) - flat(two)) <= bound * (1 + 1e-9)


def test_the_divisor_is_public() -> None:
    """Everyone twice moves the weights twice as far: no exact count is divided by."""
    once, twice = make(12, each=3, seed=2), make(12, each=3, seed=2)
    rows = ("episode_id", "context", "action", "mask", "propensity", "reward", "signals")
    flags = ("holdout", "comparison", "timestamp")
    double = EncodedEpisodes(
        **{n: np.concatenate([getattr(once, n), getattr(twice, n)]) for n in (*rows, *flags)},
        person=np.concatenate([once.person, twice.person + 12]),
        people=np.concatenate([once.people, np.array([f"z{p[1:]}" for p in twice.people])]),
        interacting=once.interacting,
        encoder=once.encoder,
    )
    np.testing.assert_allclose(
        flat(fit(double, ONE_STEP)), 2 * flat(fit(once, ONE_STEP)), atol=1e-12
    )


def test_ten_thousand_episodes_count_like_twenty() -> None:
    one = make(1, each=10_000, seed=3)
    moved = np.linalg.norm(flat(fit(one, ONE_STEP, rate=1.0))) * EXPECTED
    assert moved <= ONE_STEP.clip * (1 + 1e-9)
    last = one.where(np.arange(10_000) >= 9_980)
    np.testing.assert_array_equal(flat(fit(one, ONE_STEP)), flat(fit(last, ONE_STEP)))


def test_missing_signals_teach_nothing() -> None:
    episodes = make(12, each=3, seed=2)
    episodes.signals[:, 1] = np.nan
    fitted = fit(episodes, ONE_STEP)
    assert not fitted.values[1].any()
    assert fitted.values[0].any()
    assert fitted.presences[0, 0] < 0.0


def test_noise_has_the_deviation_that_was_paid_for() -> None:
    episodes = make(12, each=3, seed=2)
    mechanism = GaussianMechanism(sigma=40.0, clip=0.5, steps=1)
    quiet = flat(fit(episodes, mechanism, rate=1.0))
    drawn = [
        flat(fit(episodes, mechanism, SealedNoise(bytes([i]) * 32, "a"), rate=1.0)) - quiet
        for i in range(60)
    ]
    assert np.std(drawn) * EXPECTED == pytest.approx(40.0 * 0.5, rel=0.05)


def test_a_loop_without_missing_types_has_no_presence_heads() -> None:
    signals = tuple(s.model_copy(update={"silence": Silence.ZERO}) for s in SPEC.signals)
    spec = SPEC.model_copy(update={"signals": signals})
    table = feature_map(spec, INTERACTING)
    fitted = fit(make(12), ONE_STEP, spec=spec, features=table)
    assert fitted.presences.shape == (0, 5)
    assert fitted.values.any()


def test_a_fit_that_moves_nothing_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="moved no weight"):
        fit(make(12), ONE_STEP, rate=0.0)


def test_a_fit_without_people_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="without people"):
        fit(make(4).where(np.zeros(16, dtype=np.bool_)), ONE_STEP)
