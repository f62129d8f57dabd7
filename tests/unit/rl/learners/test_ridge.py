"""The bandits' posterior against what is computed by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.datasets import Float, Float32
from rl.learners.design import Design, design_of
from rl.learners.ridge import PENALTY, fit
from rl.learners.simulated import Decisions
from tests.learning.worlds import loop_of


def decisions(
    context: Float | Float32, action: list[int], reward: list[float], actions: int
) -> Decisions:
    return Decisions(
        context.astype(np.float32),
        np.ones((len(action), actions), dtype=np.bool_),
        np.array(action),
        np.array(reward),
    )


def test_two_actions_without_context_by_hand() -> None:
    """Rewards 1, 1, 0 of action 0 and 1 of action 1; B = 1 + n, theta = sum r / (1 + n).

    theta = (2/4, 1/2); residuals 1/2, 1/2, -1/2, 1/2, so s^2 = 1/4 and variances 1/16 and 1/8.
    """
    design = Design(np.eye(2), np.zeros(0, dtype=np.int64), shared=False)
    found = fit(decisions(np.zeros((4, 3)), [0, 0, 0, 1], [1, 1, 0, 1], 2), design)
    assert found.mean[:, 0].tolist() == pytest.approx([0.5, 0.5])
    assert found.noise == pytest.approx(0.5)
    assert (found.action_factor[:, 0, 0] ** 2).tolist() == pytest.approx([1 / 16, 1 / 8])


def test_a_shared_design_is_the_regression_on_products() -> None:
    """Against the textbook formula on the full (n, m q) rows."""
    rng = np.random.default_rng(0)
    phi = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, -0.5]])
    design = Design(phi, np.array([0, 2]), shared=True)
    context = rng.uniform(-1, 1, (50, 3)).astype(np.float32)
    action, reward = rng.integers(3, size=50), rng.uniform(-1, 1, 50)
    found = fit(decisions(context, action.tolist(), reward.tolist(), 3), design)
    u = np.hstack([np.ones((50, 1)), context[:, [0, 2]].astype(np.float64)])
    rows = np.array([np.kron(phi[a], x) for a, x in zip(action, u, strict=True)])
    precision = rows.T @ rows + PENALTY * np.eye(6)
    theta = np.linalg.solve(precision, rows.T @ reward)
    np.testing.assert_allclose(found.mean, [np.kron(p, np.eye(3)) @ theta for p in phi], atol=1e-10)
    noise = np.mean((reward - rows @ theta) ** 2)
    for a in range(3):
        turn = np.kron(phi[a], np.eye(3))
        wanted = noise * turn @ np.linalg.inv(precision) @ turn.T
        own = found.action_factor[a]
        np.testing.assert_allclose(own @ own.T, wanted, atol=1e-10)


@pytest.mark.parametrize("shared", [False, True])
def test_draws_have_the_posteriors_mean_and_covariance(shared: bool) -> None:
    rng = np.random.default_rng(1)
    phi = np.array([[1.0, 0.2], [1.0, 1.0]]) if shared else np.eye(2)
    design = Design(phi, np.array([0]), shared=shared)
    context, action = rng.uniform(-1, 1, (30, 2)), rng.integers(2, size=30)
    found = fit(decisions(context, action.tolist(), rng.normal(size=30).tolist(), 2), design)
    draws = found.draws(40_000, rng)
    np.testing.assert_allclose(draws.mean(axis=0), found.mean, atol=0.01)
    for a in range(2):
        own = found.action_factor[a]
        np.testing.assert_allclose(np.cov(draws[:, a].T), own @ own.T, atol=0.01)
    # actions that share coefficients move together, others do not
    together = np.cov(draws[:, 0].T, draws[:, 1].T)[:2, 2:]
    factor = found.action_factor
    wanted = factor[0] @ factor[1].T if shared else np.zeros((2, 2))
    np.testing.assert_allclose(together, wanted, atol=0.005)


def test_a_loop_without_action_features_learns_each_action_alone() -> None:
    design = design_of(loop_of(fields=2, actions=3))
    assert not design.shared
    np.testing.assert_array_equal(design.phi, np.eye(3))
    assert design.width == 1  # no field of this loop interacts


def test_a_loop_with_action_features_shares_them() -> None:
    spec = loop_of(fields=1, actions=2)
    described = spec.model_copy(
        update={
            "action_features": ("calm",),
            "actions": tuple(
                action.model_copy(update={"features": (value,)})
                for action, value in zip(spec.actions, (-0.5, 0.5), strict=True)
            ),
        }
    )
    design = design_of(described)
    assert design.shared
    np.testing.assert_array_equal(design.phi[:, -1], [-0.5, 0.5])
    assert (design.phi[:, 0] == 1.0).all()
