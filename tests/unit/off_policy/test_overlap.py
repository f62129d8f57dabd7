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


def test_what_lies_exactly_at_a_limit_is_no_problem_and_a_little_beyond_is_one() -> None:
    """Each threshold alone, by hand: sample 100 of 100, share 1 / 100, support 5 %, mean weight 1."""
    weight, log = np.ones(100), _log(np.full(100, 0.5))
    exact = ThresholdSpec(min_effective_sample=100, max_weight_share=0.01, margin=0.05)
    assert diagnose(_scored(weight, 0.05), log, exact).problems == ()
    for change, says in (
        ({"min_effective_sample": 100.01}, "effective sample is 100 of 100"),
        ({"max_weight_share": 0.0099}, "One decision carries 1.0%"),
        ({"margin": 0.049}, "5.0% of its probability"),
    ):
        beyond = exact.model_copy(update=change)
        (problem,) = diagnose(_scored(weight, 0.05), log, beyond).problems
        assert says in problem


@pytest.mark.parametrize(
    ("weight", "far"), [(0.79, True), (1.21, True), (0.81, False), (1.19, False)]
)
def test_a_mean_weight_too_far_from_one_counts_on_both_sides(weight: float, far: bool) -> None:
    """Two people with weights 0 and 2 w: the interval says nothing, the tolerance of .2 does."""
    weights, log = np.array([0.0, 2 * weight] * 2), _log(np.full(4, 0.5))
    found = diagnose(
        _scored(weights), log, ThresholdSpec(min_effective_sample=1, max_weight_share=0.9)
    )
    assert found.mean_weight == pytest.approx(weight)
    assert found.mean_weight_low < 1 < found.mean_weight_high
    assert bool(found.problems) is far


@pytest.mark.parametrize("weight", [0.95, 1.05])
def test_a_mean_weight_that_is_surely_not_one_counts_within_the_tolerance(weight: float) -> None:
    problems = diagnose(_scored(np.full(500, weight)), _log(np.full(500, 0.5)), THRESHOLDS).problems
    assert len(problems) == 1
    assert f"is {weight:.3f}" in problems[0]


def test_one_person_with_many_decisions_is_one_observation_of_the_weights() -> None:
    """250 weights of 1.1 from one person and 250 of .9 from another: nothing is certain."""
    log = replace(_log(np.full(500, 0.5)), person=np.repeat([0, 1], 250))
    found = diagnose(_scored(np.repeat([1.15, 0.9], 250)), log, THRESHOLDS)
    assert found.problems == ()
    alone = diagnose(_scored(np.repeat([1.15, 0.9], 250)), _log(np.full(500, 0.5)), THRESHOLDS)
    assert "mean importance weight is 1.025" in alone.problems[0]
