"""Served forms against their formulas in numpy, on a thousand states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.models import States
from rl.encoders.context import layout
from rl.export import export_served
from rl.learners.served import DrawVotes, OptimisticScores, SoftScores, sharpness
from rl.runtime import OnnxPolicy, load_policy
from tests.learning.worlds import loop_of

SPEC = loop_of(fields=3, actions=5)
WIDTH = layout(SPEC).width
DIMENSIONS = np.array([0, 2, 4])


def states(n: int = 1000) -> States:
    rng = np.random.default_rng(4)
    mask = rng.random((n, 5)) < 0.5
    mask[np.arange(n), rng.integers(5, size=n)] = True
    return States(rng.uniform(-1, 1, (n, WIDTH)).astype(np.float32), mask)


def seen(context: Any) -> Float:
    return np.hstack([np.ones((len(context), 1)), context[:, DIMENSIONS].astype(np.float64)])


def exported(module: Any, folder: Path) -> OnnxPolicy:
    assert export_served(module, WIDTH, SPEC, "v", folder / "policy.onnx", "lin_ts") <= 1e-5
    return load_policy(folder / "policy.onnx", spec=SPEC)


def explored(chance: Float, mask: Bool, epsilon: float) -> Float:
    return np.asarray((1 - epsilon) * chance + epsilon * mask / mask.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_thompsons_propensity_is_the_share_of_draws(tmp_path: Path, epsilon: float) -> None:
    """Counted draw by draw and state by state: the logged propensity is the chance it acted with."""
    draws = np.random.default_rng(5).normal(size=(16, 5, 4))
    asked = states()
    found = exported(DrawVotes(draws, DIMENSIONS), tmp_path).act(asked, epsilon).propensity
    share = np.zeros(asked.mask.shape)
    u = seen(asked.context)
    for draw in draws:
        scores = np.where(asked.mask, u @ draw.T, -np.inf)
        share[np.arange(len(u)), scores.argmax(axis=1)] += 1 / 16
    np.testing.assert_allclose(found, explored(share, asked.mask, epsilon), atol=1e-6)


@pytest.mark.parametrize("bonus", [0.0, 1.0, 3.0])
def test_the_optimist_takes_the_largest_mean_plus_bonus(tmp_path: Path, bonus: float) -> None:
    rng = np.random.default_rng(6)
    mean, factor = rng.normal(size=(5, 4)), rng.normal(size=(5, 4, 6))
    asked, policy = states(), OptimisticScores(mean, factor, DIMENSIONS, bonus)
    found = exported(policy, tmp_path).act(asked, 0.0).propensity
    u = seen(asked.context)
    covariance = factor @ factor.transpose(0, 2, 1)
    spread = np.sqrt(np.einsum("nq,aqr,nr->na", u, covariance, u))
    best = np.where(asked.mask, u @ mean.T + bonus * spread, -np.inf).argmax(axis=1)
    np.testing.assert_array_equal(found.argmax(axis=1), best)
    np.testing.assert_allclose(found.max(axis=1), 1.0)


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_soft_scores_are_a_softmax_over_valid_actions(tmp_path: Path, scale: float) -> None:
    """However large scores grow, no valid action falls to where invalid ones are."""
    weight = scale * np.random.default_rng(7).normal(size=(5, 4)) - 2 * scale
    asked = states()
    found = exported(SoftScores(weight, DIMENSIONS, 0.5), tmp_path).act(asked, 0.1)
    z = np.where(asked.mask, seen(asked.context) @ weight.T / 0.5, -np.inf)
    chance = np.exp(z - z.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.propensity, explored(chance, asked.mask, 0.1), atol=1e-5)
    assert (found.propensity[~asked.mask] == 0.0).all()
    assert (found.logits[asked.mask] > -1e8).all()


def test_a_hundredth_of_the_range_is_a_factor_e() -> None:
    assert sharpness(-0.7, 1.0) == pytest.approx(0.017)
