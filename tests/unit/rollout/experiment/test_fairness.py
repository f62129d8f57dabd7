"""Parity among the candidate's people: by hand, in both directions, and over many looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.rollout.experiment.boundary import log_evidence, tuned_to
from everloop.rollout.experiment.fairness import (
    GroupSums,
    exposure_fairness,
    groups_sums,
    holm,
    parities,
)
from tests.unit.rollout.experiment.made import SPEC, observed

WIDTH = SPEC.reward.attainable_high - SPEC.reward.attainable_low


def ones(name: str, n: int, k: int) -> GroupSums:
    return GroupSums(name, n, n, float(k), k * (n - k) / n)


def said(**changes: Any) -> Any:
    found = exposure_fairness(SPEC, observed(11, people=2000, **changes))
    assert found is not None
    return found


def test_sums_are_rescaled_clustered_and_of_the_candidates_people_alone() -> None:
    observations = observed(12, people=400, days=2)
    old, young = groups_sums(SPEC, observations, "age_group")
    rows = (observations.arm == 1) & (observations.person % 2 == 0)
    value = (observations.reward[rows] - SPEC.reward.attainable_low) / WIDTH
    sums = np.bincount(observations.person[rows], value - value.mean())
    assert (old.name, young.name) == ("age_group old", "age_group young")
    assert (old.people, old.n) == (len(np.unique(observations.person[rows])), rows.sum())
    assert old.total == pytest.approx(value.sum())
    assert old.squares == pytest.approx((sums**2).sum())


def test_a_groups_parity_by_hand() -> None:
    """Means .3 and .5; squares 210 and 250 of 1,000 each, at least the 230 of everybody."""
    below, rest = parities((ones("a", 1000, 300), ones("b", 1000, 500)), 0.9, 0.05)
    error = 230 / 1e6 + 0.81 * 250 / 1e6
    tuning = tuned_to((4 / (0.1 * 0.5)) ** 2, 0.1)
    evidence = float(log_evidence((0.3 - 0.9 * 0.5) / error, 1 / error, tuning))
    assert below.below == pytest.approx(0.5 * math.exp(-evidence))
    assert below.above == 1.0
    assert below.ratio == pytest.approx(0.6)
    assert rest.below == 1.0
    assert rest.above < 0.01


def test_the_parity_that_is_asked_for_is_what_is_tested() -> None:
    groups = (ones("a", 4000, 1600), ones("b", 4000, 2000))
    assert parities(groups, 0.9, 0.05)[0].below < 0.01
    assert parities(groups, 0.7, 0.05)[0].below == 1.0


def test_one_group_is_compared_with_nobody() -> None:
    assert parities((ones("a", 100, 50),), 0.9, 0.05) == ()


def test_a_group_without_a_rare_reward_yet_is_not_refuted_for_having_no_variance() -> None:
    found = parities((ones("a", 200, 0), ones("b", 2000, 10)), 0.9, 0.05)
    assert found[0].below > 0.2


def test_holm_steps_down_and_stops_at_the_first_that_holds() -> None:
    assert holm([0.04, 0.01, 0.03], 0.05) == [1]
    assert holm([0.02, 0.01, 0.03], 0.05) == [1, 0, 2]
    assert holm([0.02, 0.02, 0.001], 0.05) == [2, 0, 1]
    assert holm([1.0, 0.06], 0.05) == []
    assert holm([], 0.05) == []


def test_equal_groups_are_certified() -> None:
    found = said()
    assert found.status is CheckStatus.PASSED
    assert found.threshold == 0.9
    assert "certified" in found.reason


def test_a_group_that_earns_less_is_an_alarm() -> None:
    found = said(group_effect=-0.4)
    assert found.status is CheckStatus.FAILED
    assert "age_group old" in found.reason
    assert found.value is not None
    assert found.value < 0.8


def test_an_unfair_control_is_not_the_candidates() -> None:
    """The other arm's groups do not matter: people of the control are not among those compared."""
    fair = observed(13, people=2000)
    old = (fair.arm == 0) & (fair.person % 2 == 0)
    changed = np.where(old, np.clip(fair.reward - 0.6, -1, 1), fair.reward)
    unfair = observed(13, people=2000, reward=changed)
    assert exposure_fairness(SPEC, unfair) == exposure_fairness(SPEC, fair)


def test_too_few_people_wait_for_a_person() -> None:
    found = exposure_fairness(SPEC, observed(14, people=250, days=1))
    assert found is not None
    assert found.status is CheckStatus.INSUFFICIENT
    assert found.person_decides


def test_no_group_is_no_certificate() -> None:
    found = said(segments={})
    assert found.status is CheckStatus.INSUFFICIENT
    assert "age_group" in found.reason
    assert found.person_decides


def test_a_loop_without_protected_groups_asks_nothing() -> None:
    spec: LoopSpec = SPEC.model_copy(update={"protected": ()})
    assert exposure_fairness(spec, observed(15)) is None


def test_looking_every_day_does_not_make_false_alarms() -> None:
    """A group at the limit itself; the z test of one look would be wrong more often."""
    rng = np.random.default_rng(16)
    alarms = 0
    for _ in range(200):
        days = np.cumsum(rng.binomial(200, [[0.36], [0.4]], (2, 12)), axis=1).T.tolist()
        alarms += any(
            parities((ones("a", 200 * (d + 1), a), ones("b", 200 * (d + 1), b)), 0.9, 0.05)[0].below
            <= 0.05
            for d, (a, b) in enumerate(days)
        )
    assert alarms <= 0.05 * 200
