"""OBP's quickstart figure, from our reading of its data and of its production prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everloop.intake.open_bandit import read_open_bandit, zozotown_prior


def test_ipw_of_thompson_sampling_over_random_is_the_quickstart_figure(wheel: Path) -> None:
    """V_IPW(BernoulliTS) / mean click = 1.198126 on random/all (seed 12345, 100,000 draws).

    One ``beta`` call of shape (draws, items) consumes the random stream in the order of OBP's loop
    of one call per draw; each draw ranks the items by ``argsort()[::-1]`` and shows the first three.
    """
    log = read_open_bandit(wheel, "random", "all")
    alpha, beta = zozotown_prior(wheel, "all")
    draws = 100_000
    theta = np.random.RandomState(12345).beta(alpha, beta, size=(draws, len(alpha)))
    ranked = np.argsort(theta, axis=1)[:, ::-1][:, :3]
    share = np.stack([np.bincount(ranked[:, k], minlength=80) / draws for k in range(3)], axis=1)

    weight = share[log.item, log.position - 1] / log.propensity
    ratio = float((log.click * weight).mean() / log.click.mean())

    assert ratio == pytest.approx(1.198126, abs=1e-6)
