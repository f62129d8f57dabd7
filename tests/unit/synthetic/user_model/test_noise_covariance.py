"""The noise's covariance against differences, against the recursion, and against repeated fits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from everloop.contracts.datasets import Float
from everloop.contracts.privacy import GaussianMechanism
from synthetic.noise import SealedNoise
from synthetic.people import PeopleEpisodes, following, gather, people_of
from synthetic.user_model.linear import LinearHeads
from synthetic.user_model.made_people import decisions_each, made_contexts, made_people
from synthetic.user_model.noise_covariance import (
    clipped_jacobian,
    noise_share,
    responses,
    stable,
    uncertainty_of,
)
from synthetic.user_model.private_fit import private_fit
from synthetic.user_model.samples import Samples, samples_of
from synthetic.user_model.schedule import MOMENTUM, averaged_steps, noise_response
from synthetic.user_model.weights import cold_weights, gradient_of, logits_of, unflatten
from tests.unit.synthetic.releases import FEATURES, model_of, random_weights
from tests.unit.synthetic.world import LAYOUT, SPEC, make


def people_with_a_past(count: int, each: int) -> PeopleEpisodes:
    episodes = make(count, each=each, seed=3)
    return gather(episodes, people_of(episodes), 20, following(episodes, 1e9))


def clipped_gradients(samples: Samples, flat: Float, clip: float) -> Float:
    """(P, p), person by person."""
    each = len(samples.target) // samples.people
    found = []
    for person in range(samples.people):
        rows = slice(person * each, (person + 1) * each)
        seen = dataclasses.replace(
            samples.seen,
            **{n: getattr(samples.seen, n)[rows] for n in ("wide", "shared", "narrow", "motion")},
        )
        share = expit(logits_of(unflatten(FEATURES, flat), seen))
        gradient = gradient_of(
            FEATURES, seen, samples.weight[rows] * (share - samples.target[rows])
        )
        found.append(gradient * min(1.0, clip / np.linalg.norm(gradient)))
    return np.array(found)


def test_the_jacobian_is_that_of_clipped_gradients() -> None:
    samples = samples_of(SPEC, FEATURES, people_with_a_past(25, 3))
    flat = random_weights(scale=0.2).flat
    whole = np.linalg.norm(clipped_gradients(samples, flat, 1e9), axis=1)
    clip = float(np.median(whole)) + 1e-3
    jacobian, spread = clipped_jacobian(
        LinearHeads(FEATURES, unflatten(FEATURES, flat)), samples, clip
    )
    gradients = clipped_gradients(samples, flat, clip)
    np.testing.assert_allclose(spread, np.cov(gradients.T, bias=True), atol=1e-12)
    for position in range(0, len(flat), 6):
        step = np.zeros(len(flat))
        step[position] = 1e-6
        up, down = (clipped_gradients(samples, flat + s * step, clip).mean(axis=0) for s in (1, -1))
        np.testing.assert_allclose(jacobian[:, position], (up - down) / 2e-6, atol=1e-6)


def test_responses_are_those_of_linear_steps() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(0, 0.3, (4, 4))
    jacobian, rate, steps = root @ root.T + rng.normal(0, 0.02, (4, 4)), 0.7, 9

    def played(start: Float, noise: Float) -> Float:
        error, speed, kept = start, np.zeros(4), []
        for step in range(steps):
            speed = MOMENTUM * speed + jacobian @ error + noise[step]
            error = error - rate * speed
            kept.append(error)
        return np.asarray(np.mean(kept[-averaged_steps(steps) :], axis=0))

    kept, noise = responses(jacobian, rate, steps)
    quiet = np.zeros((steps, 4))
    expected = np.stack([played(e, quiet) for e in np.eye(4)], axis=1)
    np.testing.assert_allclose(kept, expected, atol=1e-12)
    total = np.zeros((4, 4))
    for step in range(steps):
        for axis in range(4):
            pushed = quiet.copy()
            pushed[step, axis] = 1.0
            moved = played(np.zeros(4), pushed)
            total += np.outer(moved, moved)
    np.testing.assert_allclose(noise, total, atol=1e-12)
    _, flat = responses(np.zeros((2, 2)), rate, steps)
    np.testing.assert_allclose(flat, np.eye(2) * rate**2 * (noise_response(steps) ** 2).sum())


def test_repeated_fits_differ_by_the_covariance() -> None:
    people = people_with_a_past(150, 6)
    spec = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"people_expected": 150})}
    )
    mechanism, rate = GaussianMechanism(sigma=2.0, clip=0.5, steps=6), 8.0

    def silent(shape: tuple[int, ...]) -> Float:
        return np.zeros(shape)

    cold = cold_weights(spec, FEATURES)
    start = private_fit(
        spec, FEATURES, people, cold, dataclasses.replace(mechanism, steps=40), rate, silent
    )
    fits = np.stack(
        [
            private_fit(
                spec, FEATURES, people, start, mechanism, rate, SealedNoise(bytes([i]) * 32, "a")
            ).flat
            for i in range(100)
        ]
    )
    samples = samples_of(spec, FEATURES, people)
    jacobian, _ = clipped_jacobian(LinearHeads(FEATURES, start), samples, mechanism.clip)
    deviation = mechanism.sigma * mechanism.clip / 150
    expected = deviation**2 * responses(jacobian, rate, mechanism.steps)[1]
    assert np.var(fits, axis=0).sum() == pytest.approx(np.trace(expected), rel=0.1)
    # of logits, which the made-up people of a release must get about right as well
    known = uncertainty_of(spec, model_of(start), mechanism, rate, None, LAYOUT)
    heads = LinearHeads(FEATURES, start)
    for head in range(FEATURES.heads):
        row, own = heads.row(samples.seen, head), heads.columns(head)
        found = np.var(row @ fits[:, own].T, axis=1).mean()
        block = expected[np.ix_(own, own)]
        assert found == pytest.approx(np.einsum("nq,qr,nr->n", row, block, row).mean(), rel=0.25)
        public = np.einsum("nq,qr,nr->n", row, known.noise[np.ix_(own, own)], row).mean()
        assert 1 / 3 < public / found < 3


def test_noise_of_earlier_nights_fades_and_every_night_adds_its_own() -> None:
    model = model_of(random_weights(scale=0.1))
    mechanism = GaussianMechanism(sigma=5.0, clip=0.5, steps=4)
    first = uncertainty_of(SPEC, model, mechanism, 6.0)
    second = uncertainty_of(SPEC, model, mechanism, 0.6, first)
    alone = uncertainty_of(SPEC, model, mechanism, 0.6)
    size = [np.trace(one.noise) for one in (first, second, alone)]
    assert size[2] < size[1] < size[0]
    more = uncertainty_of(SPEC, model, dataclasses.replace(mechanism, sigma=10.0), 6.0)
    np.testing.assert_allclose(more.noise, 4 * first.noise)
    np.testing.assert_allclose(more.sampling, first.sampling)
    assert 0.0 < noise_share(SPEC, model, alone) < noise_share(SPEC, model, first) <= 1.0
    assert np.linalg.eigvalsh(first.total).min() > -1e-9


def test_made_up_people_are_made_of_public_bounds() -> None:
    rng = np.random.default_rng(1)
    contexts = made_contexts(13, 400, rng, LAYOUT)
    assert np.abs(contexts).max() <= 1.0
    np.testing.assert_allclose(np.hypot(contexts[:, 6], contexts[:, 7]), 1.0, rtol=1e-6)
    assert contexts[:, 9:12].sum(axis=1).tolist() == [1.0] * 400
    assert not contexts[:, [3, 5, 8, 12]].any()
    assert decisions_each(SPEC) == 14
    people = made_people(SPEC, model_of(random_weights()), 20, rng, LAYOUT)
    assert people.rows.shape == (20, 14)
    ended = people.following.wait > SPEC.journeys.ends_after_hours * 3_600
    assert ended.any()
    assert not ended.all()
    again = made_people(SPEC, model_of(random_weights()), 20, np.random.default_rng(1), LAYOUT)
    assert again.episodes.context.shape == (280, 13)


def test_curvature_that_linear_steps_would_overshoot_counts_as_the_bound() -> None:
    rate = 12.0
    bound = (1.0 + MOMENTUM) / rate
    steep = np.diag([0.9, 0.5 * bound])
    np.testing.assert_allclose(stable(steep, rate), np.diag([bound, 0.5 * bound]), atol=1e-12)
    turned = np.array([[0.6, 0.8], [-0.8, 0.6]])
    np.testing.assert_allclose(
        stable(turned @ steep @ turned.T, rate),
        turned @ np.diag([bound, 0.5 * bound]) @ turned.T,
        atol=1e-12,
    )
    _, noise = responses(steep, rate, 16)
    assert noise.max() < (rate * 16) ** 2
