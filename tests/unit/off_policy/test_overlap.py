from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import ThresholdSpec
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.overlap import diagnose
from rl.off_policy.scoring import Scored

THRESHOLDS = ThresholdSpec(min_effective_sample=50, max_weight_share=0.1)


def _log(propensity: np.ndarray) -> EncodedEpisodes:
    n = len(propensity)
    return EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)]),
        person=np.arange(n),
        people=np.array([f"p{i}" for i in range(n)]),
        context=np.zeros((n, 1), dtype=np.float32),
        interacting=np.ones(1, dtype=bool),
        action=np.zeros(n, dtype=int),
        mask=np.ones((n, 2), dtype=bool),
        propensity=propensity,
        reward=np.zeros(n),
        signals=np.zeros((n, 1)),
        holdout=np.ones(n, dtype=bool),
        comparison=np.zeros(n, dtype=bool),
        timestamp=np.arange(n, dtype=float),
        encoder="e",
    )


def _scored(weight: np.ndarray, unsupported: float = 0.0) -> Scored:
    n = len(weight)
    rows = WeightedDecisions(np.zeros(n), weight, np.zeros(n), np.zeros(n))
    return Scored(rows, np.full(n, unsupported), np.array([1.0, 0.0]))


def test_figures_by_hand() -> None:
    found = diagnose(_scored(np.array([2.0, 0.0, 1.0, 1.0])), _log(np.full(4, 0.5)), THRESHOLDS)
    assert found.n == 4
    assert found.effective_sample == pytest.approx(16 / 6)
    assert found.mean_weight == 1.0
    assert found.max_weight == 2.0
    assert found.max_weight_share == 0.5
    assert len(found.problems) == 2


def test_the_logging_policy_overlaps_with_itself() -> None:
    found = diagnose(_scored(np.ones(500)), _log(np.full(500, 0.5)), THRESHOLDS)
    assert found.problems == ()
    assert found.effective_sample == 500
    assert found.mean_weight_low == found.mean_weight_high == 1.0


@pytest.mark.parametrize(
    ("weight", "propensity", "unsupported", "says"),
    [
        (np.full(500, 1.3), 0.5, 0.0, "mean importance weight is 1.300"),
        (np.full(500, 1.05), 0.5, 0.0, "mean importance weight is 1.050"),
        (np.ones(500), 0.35, 0.0, r"mean of 1 / \(valid actions x propensity\) is 1.429"),
        (np.tile([20.0] + [0.0] * 19, 25), 0.5, 0.0, "effective sample is 25 of 500"),
        (np.r_[np.full(300, 0.7), [90.0]], 0.5, 0.0, "One decision carries 30.0%"),
        (np.ones(500), 0.5, 0.2, "20.0% of its probability on actions that were never logged"),
        (np.zeros(500), 0.5, 0.0, "mean importance weight is 0.000"),
    ],
    ids=["mean", "small but certain", "propensity", "sample", "share", "support", "no weight"],
)
def test_each_problem_is_a_sentence(
    weight: np.ndarray, propensity: float, unsupported: float, says: str
) -> None:
    found = diagnose(
        _scored(weight, unsupported), _log(np.full(len(weight), propensity)), THRESHOLDS
    )
    assert any(re.search(says, problem) for problem in found.problems), found.problems
    assert all(problem.endswith(".") for problem in found.problems)


def test_single_precision_is_no_problem() -> None:
    rng = np.random.default_rng(0)
    weight = np.float64(np.float32(1.0) + np.float32(1e-6) * rng.normal(size=500))
    found = diagnose(_scored(weight), _log(np.full(500, np.float32(0.5))), THRESHOLDS)
    assert found.problems == ()


def test_chance_alone_raises_no_alarm() -> None:
    """True propensities: over 300 logs no more than one alarm of the 99.9 % intervals is expected."""
    rng = np.random.default_rng(3)
    logging, target = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    alarms = 0
    for _ in range(300):
        action = (rng.random(400) > logging[0]).astype(int)
        log = _log(logging[action])
        log = replace(log, action=action)
        scored = _scored(target[action] / logging[action])
        alarms += bool(diagnose(scored, log, THRESHOLDS).problems)
    assert alarms <= 4
