"""The line and its evidence, against Robbins' formula by hand and against Brownian motion."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.boundary import log_evidence, reach, tuned_to


def test_the_line_is_robbins_by_hand() -> None:
    assert float(reach(1.0, 1.0, 0.05)) == pytest.approx(math.sqrt(2 * math.log(2 / 0.0025)))
    assert float(reach(3.0, 1.0, 0.05)) == pytest.approx(math.sqrt(4 * math.log(4 / 0.0025)))
    assert float(reach(0.0, 2.0, 0.1)) == pytest.approx(math.sqrt(2 * math.log(100)))


@pytest.mark.parametrize("variance", [0.1, 1.0, 40.0])
def test_evidence_reaches_one_over_alpha_exactly_on_the_line(variance: float) -> None:
    line = float(reach(variance, 2.0, 0.05))
    assert float(log_evidence(line, variance, 2.0)) == pytest.approx(math.log(20))
    assert float(log_evidence(-line, variance, 2.0)) == pytest.approx(math.log(20))
    assert float(log_evidence(0.99 * line, variance, 2.0)) < math.log(20)


def test_tuning_makes_the_line_tightest_where_it_is_asked_to() -> None:
    tuned = tuned_to(7.0, 0.05)
    there = float(reach(7.0, tuned, 0.05))
    assert there < float(reach(7.0, 0.8 * tuned, 0.05))
    assert there < float(reach(7.0, 1.25 * tuned, 0.05))


def test_brownian_motion_crosses_no_more_often_than_alpha() -> None:
    steps = np.random.default_rng(11).normal(size=(2000, 400)) * 0.5
    walk = np.cumsum(steps, axis=1)
    variance = 0.25 * np.arange(1, 401)
    crossed = (np.abs(walk) >= reach(variance, 2.0, 0.1)).any(axis=1).mean()
    assert 0.02 < crossed <= 0.1
    one_look = (np.abs(walk) >= 1.645 * np.sqrt(variance)).any(axis=1).mean()
    assert one_look > 0.4


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_an_alpha_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ShouldFixArgument, match="alpha"):
        reach(1.0, 1.0, alpha)
    with pytest.raises(ShouldFixArgument, match="alpha"):
        tuned_to(1.0, alpha)
