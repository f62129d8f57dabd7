"""Persona vectors: the public space, bounded moments, shrinkage, transport, and what profiles get."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from everloop.contracts.datasets import EncodedBlock, EncodingLayout
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import gather, people_of
from synthetic.profiles.persona import from_pool
from synthetic.profiles.persona_moments import (
    COUNT_WEIGHT,
    MEAN_WEIGHT,
    SECOND_WEIGHT,
    PersonaMoments,
    estimate,
    moment_vectors,
    moments_of,
    moments_width,
    pool_moments,
    to_covariance,
    transport,
)
from synthetic.profiles.persona_space import persona_projection, persona_space, space_of
from tests.unit.synthetic.world import LAYOUT, SPEC, make


def moments(seed: int, m: int = 3) -> PersonaMoments:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(m, m)) / (2 * m)
    return PersonaMoments(rng.normal(size=m) / 10, root @ root.T + 0.01 * np.eye(m))


def spec_with(**persona: object) -> LoopSpec:
    document = SPEC.model_dump()
    document["persona"] = persona
    return LoopSpec.model_validate(document)


def test_a_persons_moments_by_hand() -> None:
    vector = moments_of(np.array([[0.6, 0.8]]), np.array([True]))[0]
    second = np.array([0.36, 0.48 * np.sqrt(2), 0.64])
    expected = [COUNT_WEIGHT, 0.6 * MEAN_WEIGHT, 0.8 * MEAN_WEIGHT, *(SECOND_WEIGHT * second)]
    np.testing.assert_allclose(vector, expected)
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    assert not moments_of(np.array([[0.6, 0.8]]), np.array([False])).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100.0))
def test_nobody_moves_the_sum_by_more_than_one(seed: int, scale: float) -> None:
    coordinates = scale * np.random.default_rng(seed).normal(size=(5, 4))
    norms = np.linalg.norm(moments_of(coordinates, np.ones(5, dtype=np.bool_)), axis=1)
    assert norms.max() <= 1.0 + 1e-12


def test_people_of_the_world_are_bounded_too() -> None:
    episodes = make(20)
    space = persona_space(SPEC, LAYOUT)
    vectors = moment_vectors(space, gather(episodes, people_of(episodes), 20))
    assert vectors.shape == (20, moments_width(space.width))
    assert np.linalg.norm(vectors, axis=1).max() <= 1.0 + 1e-12


def test_moments_without_noise_are_found() -> None:
    rng = np.random.default_rng(2)
    truth = moments(2)
    people = rng.multivariate_normal(truth.mean, truth.covariance / 4, 4_000)
    sums = moments_of(people, np.ones(len(people), dtype=np.bool_)).sum(axis=0) / 5_000
    found = estimate(sums, 1e-9, moments(3))
    inside = pool_moments(people)
    np.testing.assert_allclose(found.mean, inside.mean, atol=1e-4)
    np.testing.assert_allclose(found.covariance, inside.covariance, atol=1e-3)


def test_noise_alone_gives_the_public_pool() -> None:
    prior, m = moments(4), 3
    errors = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(size=moments_width(m))
        found = estimate(noise, 1.0, prior)
        assert np.isfinite(found.covariance).all()
        errors.append(np.linalg.norm(found.mean - prior.mean))
    assert np.median(errors) <= 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 8), st.floats(0.01, 5.0))
def test_projected_covariances_are_covariances(seed: int, m: int, scale: float) -> None:
    noisy = scale * np.random.default_rng(seed).normal(size=(m, m))
    found = to_covariance(noisy + noisy.T)
    assert np.linalg.eigvalsh(found).min() >= -1e-12
    assert 0.0 < np.trace(found) <= 1.0 + 1e-9
    root = noisy @ noisy.T
    proper = root / (2 * np.trace(root))
    np.testing.assert_allclose(to_covariance(proper), proper, atol=1e-12)


def test_transport_gives_the_goals_moments_and_moves_least() -> None:
    start, goal = moments(5), moments(6)
    drawn = np.random.default_rng(1).multivariate_normal(start.mean, start.covariance, 50_000)
    moved = transport(drawn, start, goal)
    np.testing.assert_allclose(moved.mean(axis=0), goal.mean, atol=0.01)
    np.testing.assert_allclose(np.cov(moved.T), goal.covariance, atol=0.01)
    np.testing.assert_allclose(transport(drawn, start, start), drawn, atol=1e-9)


def test_the_space_takes_vectors_apart_and_together() -> None:
    space = persona_space(SPEC, LAYOUT)
    vectors = make(8).context.astype(np.float64) @ persona_projection(LAYOUT.width)
    again = space.vectors(space.coordinates(vectors), space.residual(vectors))
    np.testing.assert_allclose(again, vectors, atol=1e-9)
    assert persona_space(SPEC, LAYOUT).version == space.version
    inside = np.linalg.norm(space.coordinates(space.pool), axis=1) <= 1.0 + 1e-9
    assert inside.mean() == pytest.approx(0.95, abs=0.01)


def test_vectors_from_the_pool_have_the_released_moments() -> None:
    rng = np.random.default_rng(9)
    pool = rng.normal(size=(800, 512)) * 0.9 ** np.arange(512)
    space = space_of(pool, 3)
    goal = PersonaMoments(np.array([0.3, 0.0, -0.1]), np.diag([0.2, 0.1, 0.05]))
    ordinary = np.zeros(6_000, dtype=np.bool_)
    made = space.coordinates(from_pool(space, goal, ordinary, 1.0, rng))
    np.testing.assert_allclose(made.mean(axis=0), goal.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(made.T), goal.covariance, atol=0.03)
    wide = space.coordinates(from_pool(space, goal, ordinary, 4.0, rng))
    np.testing.assert_allclose(np.cov(wide.T), 4 * goal.covariance, atol=0.12)
    edge = space.coordinates(from_pool(space, goal, ~ordinary, 1.0, rng))
    assert np.trace(np.cov(edge.T)) > 3 * np.trace(np.cov(made.T))


def test_a_pool_file_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.safetensors"
    pool = np.random.default_rng(1).normal(size=(50, 512))
    save_file({"vectors": pool}, path)
    assert persona_space(spec_with(pool=str(path), components=4), LAYOUT).width == 4
    for name, bad in {"narrow": pool[:, :9], "few": pool[:3], "nan": pool * np.nan}.items():
        save_file({"vectors": np.ascontiguousarray(bad)}, tmp_path / name)
        with pytest.raises(ShouldFixLoopSpec, match=name):
            persona_space(spec_with(pool=str(tmp_path / name), components=4), LAYOUT)
    save_file({"other": pool}, tmp_path / "other")
    with pytest.raises(ShouldFixLoopSpec, match="'vectors'"):
        persona_space(spec_with(pool=str(tmp_path / "other")), LAYOUT)


def test_logged_vectors_are_what_people_logged() -> None:
    document = SPEC.model_dump()
    document["context"] = [
        *document["context"],
        {"name": "embedding", "kind": "vector", "width": 512, "low": -1, "high": 1},
    ]
    document["persona"] = {"field": "embedding", "components": 4}
    spec = LoopSpec.model_validate(document)
    embedding = EncodedBlock("embedding", "vector", 13, 512)
    wide = EncodingLayout("wide", 525, (*LAYOUT.blocks, embedding))
    space = persona_space(spec, wide)
    assert space.field == embedding
    episodes = make(3, each=2)
    context = np.zeros((6, 525), dtype=np.float32)
    context[:, :13] = episodes.context
    context[2:, 13:] = np.linspace(-1, 1, 512)
    episodes = dataclasses.replace(episodes, context=context, encoder="wide")
    vectors = moment_vectors(space, gather(episodes, people_of(episodes), 20))
    assert not vectors[0].any(), "who logged no vector is not counted"
    assert vectors[1].any()
    narrow = dataclasses.replace(embedding, width=6)
    short = EncodingLayout("short", 19, (*LAYOUT.blocks, narrow))
    with pytest.raises(ShouldFixLoopSpec, match="6 numbers"):
        persona_space(spec, short)
