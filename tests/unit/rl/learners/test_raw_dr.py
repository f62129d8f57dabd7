"""The doubly robust policy on the raw log: its gradient, its optimum and what it may learn from."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad

from everloop.contracts.datasets import Float
from rl.learners import raw_dr
from rl.learners.raw_dr import LogView, optimise


def view(n: int = 400, seed: int = 0) -> LogView:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 3)) < 0.8
    mask[:, 0] = True
    u = np.hstack([np.ones((n, 1)), rng.uniform(-1, 1, (n, 1))])
    # action 1 is best where x > 0, action 2 where x < 0
    worth = np.stack([np.zeros(n), u[:, 1], -u[:, 1]], axis=1)
    return LogView(u, np.eye(3), mask, worth + rng.normal(scale=0.3, size=(n, 3)))


def test_it_takes_what_is_worth_most() -> None:
    log = view()
    chance = log.chance(optimise(log, 1e-5))
    clear = log.mask.all(axis=1) & (np.abs(log.u[:, 1]) > 0.3)
    best = np.where(log.u[clear, 1] > 0, 1, 2)
    assert (chance[clear].argmax(axis=1) == best).mean() > 0.97
    assert (chance[~log.mask] == 0.0).all()


def test_a_strong_penalty_keeps_it_near_uniform() -> None:
    log = view()
    chance = log.chance(optimise(log, 1e3))
    np.testing.assert_allclose(chance, log.mask / log.mask.sum(axis=1, keepdims=True), atol=0.01)


def test_its_slope_is_the_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient that the optimiser is given, against finite differences."""
    at = np.random.default_rng(1).normal(size=6)
    errors = []

    def spied(loss: Callable[[Float], tuple[float, Float]], start: Float, **_: Any) -> Any:
        def value(x: Float) -> float:
            return loss(x)[0]

        def slope(x: Float) -> Float:
            return loss(x)[1]

        errors.append(check_grad(value, slope, at))
        return SimpleNamespace(x=start)

    monkeypatch.setattr(raw_dr, "minimize", spied)
    optimise(view(60), 0.05)
    assert errors[0] < 1e-5
