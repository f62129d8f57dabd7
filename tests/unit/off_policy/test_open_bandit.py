"""Our estimators on the real log that OBP's quickstart uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everloop.intake.open_bandit import read_open_bandit, zozotown_prior
from everloop.intake.wheel import fetch_wheel
from rl.off_policy.estimators import ips, snips, weigh
from rl.off_policy.intervals import clustered_mean


def test_obps_quickstart_figure() -> None:
    """V_IPS(production Thompson sampling) / V(random) = 1.198126 on random/all, campaign "all".

    The target's probabilities by position are the shares of 100,000 posterior draws with seed 12345.
    """
    wheel = fetch_wheel(Path(__file__).parents[3] / ".cache")
    log = read_open_bandit(wheel, "random", "all")
    alpha, beta = zozotown_prior(wheel, "all")
    draws = np.random.RandomState(12345).beta(alpha, beta, size=(100_000, 80))
    ranked = np.argsort(draws, axis=1)[:, ::-1][:, :3]
    share = np.stack([np.bincount(ranked[:, k], minlength=80) for k in range(3)]) / 100_000

    rows = weigh(
        reward=log.click.astype(float),
        action=log.item,
        propensity=log.propensity,
        target=share[log.position - 1],
        q_hat=np.zeros((len(log), 80)),
    )
    value = clustered_mean("ips", ips(rows), np.arange(len(log)), 0.95, "t interval over people")
    assert value.value / log.click.mean() == pytest.approx(1.198126, abs=1e-6)
    # 38 clicks: the interval cannot tell the two policies apart
    assert value.low < log.click.mean() < value.high
    assert snips(rows).mean() == pytest.approx(value.value / rows.weight.mean())
