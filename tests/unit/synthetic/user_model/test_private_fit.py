"""The mechanism against numpy, its sensitivity, and that nothing is divided by an exact count."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.contracts.privacy import GaussianMechanism, Mechanism, SubsampledGaussianMechanism
from synthetic.noise import Noise, SealedNoise
from synthetic.people import gather, people_of
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.private_fit import _Batches, private_fit
from synthetic.user_model.samples import SETTLED_DECISIONS
from synthetic.user_model.schedule import MOMENTUM, averaged_steps, noise_response
from synthetic.user_model.weights import (
    Weights,
    cold_weights,
    gradient_of,
    logits_of,
    shapes,
    unflatten,
)
from synthetic.user_model.widest import feature_map
from tests.unit.synthetic.releases import FEATURES, random_weights
from tests.unit.synthetic.world import INTERACTING, SPEC, make

EXPECTED = SPEC.privacy.people_expected


def silent(shape: tuple[int, ...]) -> Float:
    return np.zeros(shape)


def fit(
    episodes: EncodedEpisodes,
    mechanism: Mechanism,
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


COLD = cold_weights(SPEC, FEATURES).flat


def flat(weights: Weights) -> Float:
    return weights.flat


def by_hand(
    episodes: EncodedEpisodes,
    mechanism: GaussianMechanism,
    noise: Noise,
    start: Weights,
    rate: float,
    last: int,
) -> Float:
    """The same descent in numpy, person by person and episode by episode."""
    weights, velocity, iterates = start.flat, np.zeros(FEATURES.parameters), []
    own = [np.flatnonzero(episodes.person == p)[-last:] for p in np.unique(episodes.person)]
    for _ in range(mechanism.steps):
        summed = np.zeros_like(weights)
        for rows in own:
            gradient = np.zeros_like(weights)
            for place, row in enumerate(rows):
                others = np.delete(rows, place + 1) if place + 1 < len(rows) else rows
                resting = episodes.context[[row]].copy()
                resting[0, :3] = episodes.context[others, :3].mean(axis=0)
                seen = FEATURES.of(episodes.context[[row]], episodes.action[[row]], resting)
                following = rows[place + 1] if place + 1 < len(rows) else None
                target, weight = wanted(episodes, row, following)
                logits = logits_of(unflatten(FEATURES, weights), seen)
                weight[FEATURES.end] *= min(1.0, len(rows) / SETTLED_DECISIONS)
                residual = weight * (1 / (1 + np.exp(-logits)) - target)
                gradient += gradient_of(FEATURES, seen, residual) / len(rows)
            summed += gradient * min(1.0, mechanism.clip / np.linalg.norm(gradient))
        drawn = [noise(shape).ravel() for shape in noise_shapes()]
        total = summed + mechanism.sigma * mechanism.clip * np.concatenate(drawn)
        velocity = MOMENTUM * velocity + total / EXPECTED
        weights = weights - rate * velocity
        iterates.append(weights)
    return np.asarray(np.mean(iterates[-averaged_steps(mechanism.steps) :], axis=0))


def wanted(episodes: EncodedEpisodes, row: int, following: int | None) -> tuple[Float, Float]:
    engagement, thumb = episodes.signals[row]
    heard, followed = np.isfinite(thumb), following is not None
    after = episodes.context[following, :3] if followed else np.zeros(3)
    target = np.array(
        [
            engagement,
            (thumb + 1) / 2 if heard else 0.5,
            episodes.reward[row] >= 0.2,
            heard,
            0.0,
            *((after + 1) / 2),
        ]
    )
    # the episodes are seconds apart, and nobody is known to have stayed away
    weight = np.array([1.0, heard, 1.0, 0.2, 0.2 * followed, *[20.0 * followed] * 3])
    return target, weight


def noise_shapes() -> list[tuple[int, ...]]:
    return [(size,) if len(shape) < 2 else shape for shape, size in sized()]


def sized() -> list[tuple[tuple[int, ...], int]]:
    return [(shape, int(np.prod(shape))) for shape in shapes(FEATURES).values()]


@pytest.mark.parametrize("clip", [0.05, 0.5, 50.0])
def test_it_is_the_formula(clip: float) -> None:
    episodes = make(40, each=5)
    mechanism = GaussianMechanism(sigma=3.0, clip=clip, steps=8)
    start = random_weights(1)
    arguments = (mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 4)
    expected = by_hand(episodes, *arguments)
    found = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 4)
    np.testing.assert_allclose(flat(found), expected, atol=1e-5)
    assert np.abs(flat(found) - flat(start)).max() > 1e-2


def test_virtual_batches_change_nothing() -> None:
    episodes = make(50, each=3)
    mechanism = GaussianMechanism(sigma=3.0, clip=0.5, steps=2)
    whole = fit(episodes, mechanism, SealedNoise(bytes(32), "a"))
    parts = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), batch=7)
    np.testing.assert_allclose(flat(parts), flat(whole), atol=1e-12)


def uneven() -> EncodedEpisodes:
    """Forty people of one to nine episodes."""
    whole = make(40, each=9)
    rng = np.random.default_rng(3)
    return whole.where(np.arange(len(whole)) % 9 < rng.integers(1, 10, 40)[whole.person])


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_people_of_any_length_go_together_and_the_formula_holds(batch: int) -> None:
    episodes = uneven()
    mechanism = GaussianMechanism(sigma=3.0, clip=0.5, steps=4)
    start = random_weights(1)
    arguments = (mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 8)
    expected = by_hand(episodes, *arguments)
    found = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), start, 30.0, 8, batch)
    np.testing.assert_allclose(flat(found), expected, atol=1e-5)


def test_a_subsampled_step_reads_the_same_people_whatever_their_length() -> None:
    episodes = uneven()
    found = fit(episodes, SUBSAMPLED, SealedNoise(bytes(32), "a"), rate=1.0, batch=7)
    replayed = SealedNoise(bytes(32), "a")
    chosen = ndtr(replayed((40,))) < 0.3
    sample = episodes.where(chosen[episodes.person])
    quiet = flat(fit(sample, ONE_STEP, rate=1.0)) - COLD
    noise = np.concatenate([replayed(shape).ravel() for shape in noise_shapes()])
    expected = COLD + (quiet - 0.5 * noise / EXPECTED) / 0.3
    np.testing.assert_allclose(flat(found), expected, atol=1e-9)


def test_a_batch_is_as_long_as_its_longest_person() -> None:
    episodes = uneven()
    people = gather(episodes, people_of(episodes), 8)
    batches = _Batches(SPEC, FEATURES, people, 10)
    lengths = [part["weight"].shape[1] for part, _ in batches.of(None)]
    decided = np.sort((people.rows >= 0).sum(axis=1))
    assert lengths == [int(decided[last]) for last in (9, 19, 29, 39)]


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
        flat(fit(double, ONE_STEP)) - COLD, 2 * (flat(fit(once, ONE_STEP)) - COLD), atol=1e-12
    )


def test_ten_thousand_episodes_count_like_twenty() -> None:
    one = make(1, each=10_000, seed=3)
    moved = np.linalg.norm(flat(fit(one, ONE_STEP, rate=1.0)) - COLD) * EXPECTED
    assert moved <= ONE_STEP.clip * (1 + 1e-9)
    last = one.where(np.arange(10_000) >= 9_980)
    np.testing.assert_array_equal(flat(fit(one, ONE_STEP)), flat(fit(last, ONE_STEP)))


def test_missing_signals_teach_nothing() -> None:
    episodes = make(12, each=3, seed=2)
    episodes.signals[:, 1] = np.nan
    fitted = fit(episodes, ONE_STEP)
    assert not fitted.values[1].any()
    assert fitted.values[0].any()
    assert (fitted.presences[0] < 0.0).all()


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
    assert fitted.presences.shape == (0, 4)
    assert fitted.values.any()


def test_a_fit_that_moves_nothing_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="moved no weight"):
        fit(make(12), ONE_STEP, rate=0.0)


def test_a_fit_without_people_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="without people"):
        fit(make(4).where(np.zeros(16, dtype=np.bool_)), ONE_STEP)


def test_noise_moves_a_direction_without_curvature_by_its_response() -> None:
    """A head that nobody's episodes reach: only noise moves it."""
    episodes = make(12, each=1, seed=2)
    mechanism = GaussianMechanism(sigma=40.0, clip=0.5, steps=8)
    drawn = np.stack(
        [
            fit(episodes, mechanism, SealedNoise(bytes([i]) * 32, "a"), rate=1.0).motions.ravel()
            for i in range(60)
        ]
    )
    expected = 40.0 * 0.5 / EXPECTED * np.linalg.norm(noise_response(8))
    spread = np.std(drawn - unflatten(FEATURES, COLD).motions.ravel())
    assert spread == pytest.approx(expected, rel=0.05)


SUBSAMPLED = SubsampledGaussianMechanism(sigma=1.0, clip=0.5, steps=1, sampling_rate=0.3)


def test_a_subsampled_step_sums_over_the_sample_and_divides_by_its_expected_size() -> None:
    episodes = make(200, each=2, seed=2)
    found = fit(episodes, SUBSAMPLED, SealedNoise(bytes(32), "a"), rate=1.0)
    replayed = SealedNoise(bytes(32), "a")
    chosen = ndtr(replayed((200,))) < 0.3
    assert 30 < chosen.sum() < 90
    sample = episodes.where(chosen[episodes.person])
    quiet = flat(fit(sample, ONE_STEP, rate=1.0)) - COLD
    noise = np.concatenate([replayed(shape).ravel() for shape in noise_shapes()])
    expected = COLD + (quiet - 0.5 * noise / EXPECTED) / 0.3
    np.testing.assert_allclose(flat(found), expected, atol=1e-9)


def test_a_subsampled_step_reads_the_same_people_in_any_batches() -> None:
    episodes = make(50, each=3)
    mechanism = dataclasses.replace(SUBSAMPLED, steps=5, sampling_rate=0.05)
    whole = fit(episodes, mechanism, SealedNoise(bytes(32), "a"))
    parts = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), batch=7)
    np.testing.assert_allclose(flat(parts), flat(whole), atol=1e-12)


def test_features_are_made_again_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = make(40, each=3)
    mechanism = GaussianMechanism(sigma=3.0, clip=0.5, steps=3)
    kept = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), batch=10)
    monkeypatch.setattr("synthetic.user_model.private_fit.KEPT_BYTES", 0)
    again = fit(episodes, mechanism, SealedNoise(bytes(32), "a"), batch=10)
    assert np.array_equal(flat(kept), flat(again))


def test_people_who_are_all_alike_fit() -> None:
    episodes = make(60, each=2, seed=2)
    same = dataclasses.replace(
        episodes,
        context=np.repeat(episodes.context[:1], 120, axis=0),
        action=np.zeros(120, np.int64),
        signals=np.repeat([[0.0, -1.0]], 120, axis=0),
        reward=np.full(120, -0.6),
    )
    fitted = fit(same, GaussianMechanism(sigma=3.0, clip=0.5, steps=8), SealedNoise(bytes(32), "a"))
    assert np.isfinite(flat(fitted)).all()
