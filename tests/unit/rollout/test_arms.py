"""Who meets a candidate, who never does, and the same for a million decisions at once."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import RolloutRecord
from everloop.rollout.assignment import (
    arm_of,
    arms_of,
    bucket,
    buckets,
    expected_share,
    holdout_seed,
    in_trial,
)

RAMP = (0.0, 1.0, 5.0, 25.0, 50.0, 100.0)
PEOPLE = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(4000)]


def trial(**changes: Any) -> RolloutRecord:
    values: dict[str, Any] = {
        "rollout_id": "r-1",
        "loop": "companion",
        "candidate": "c",
        "active": "a",
        "state": "started",
        "traffic_percent": 25.0,
        "reasons": ("x",),
        "recorded_at": datetime(2025, 11, 20, tzinfo=UTC),
        "holdout_percent": 10.0,
    }
    return RolloutRecord(**(values | changes))


def shares(found: list[Arm]) -> dict[Arm, float]:
    return {arm: found.count(arm) / len(found) for arm in (Arm.ACTIVE, Arm.CANDIDATE, Arm.HOLDOUT)}


@pytest.mark.parametrize("percent", RAMP)
def test_the_holdout_has_its_share_and_the_candidate_that_of_the_others(percent: float) -> None:
    found = shares([arm_of(person, trial(), percent) for person in PEOPLE])
    candidate = 0.9 * percent / 100
    assert candidate == pytest.approx(expected_share(trial(), percent))
    for arm, share in ((Arm.HOLDOUT, 0.1), (Arm.CANDIDATE, candidate)):
        assert abs(found[arm] - share) <= 4 * math.sqrt(share * (1 - share) / len(PEOPLE))


def test_at_full_traffic_everybody_but_the_holdout_meets_the_candidate() -> None:
    found = {arm_of(person, trial(), 100.0) for person in PEOPLE}
    assert found == {Arm.CANDIDATE, Arm.HOLDOUT}
    without = {arm_of(person, trial(holdout_percent=0.0), 100.0) for person in PEOPLE}
    assert without == {Arm.CANDIDATE}


def test_a_ramp_moves_nobody_out_and_touches_no_holdout() -> None:
    for person in PEOPLE[:500]:
        arms = [arm_of(person, trial(), percent) for percent in RAMP]
        if arms[0] is Arm.HOLDOUT:
            assert set(arms) == {Arm.HOLDOUT}
        else:
            first = arms.index(Arm.CANDIDATE)
            assert set(arms[:first]) == {Arm.ACTIVE}
            assert set(arms[first:]) == {Arm.CANDIDATE}


def test_the_holdout_is_the_same_in_every_trial_of_a_loop_and_another_in_other_loops() -> None:
    def held(**changes: Any) -> set[str]:
        rollout = trial(**changes)
        return {p for p in PEOPLE if arm_of(p, rollout, 50.0) is Arm.HOLDOUT}

    assert held() == held(rollout_id="r-2", candidate="d", active="c") != set()
    assert held() != held(loop="coach")
    assert held() != held(tenant="other")
    assert held() < held(holdout_percent=20.0), "a holdout that grows keeps its people"


def test_whom_a_trial_meets_does_not_depend_on_whom_the_last_one_met() -> None:
    met = [
        {p for p in PEOPLE if arm_of(p, trial(rollout_id=r), 50.0) is Arm.CANDIDATE}
        for r in ("r-1", "r-2")
    ]
    both = len(met[0] & met[1]) / len(PEOPLE)
    assert abs(both - 0.9 * 0.25) < 4 * math.sqrt(0.225 * 0.775 / len(PEOPLE))


@pytest.mark.parametrize(
    ("state", "meets"),
    [
        ("started", True),
        ("paused", True),
        ("shadow", False),
        ("waiting", False),
        ("awaiting_approval", False),
        ("promoted", False),
        ("rolled_back", False),
        ("ended", False),
        ("refused", False),
    ],
)
def test_only_a_trial_with_traffic_meets_anybody(state: str, meets: bool) -> None:
    rollout = trial(state=state, traffic_percent=100.0, holdout_percent=0.0)
    assert in_trial("somebody", rollout) is meets


@given(
    people=st.lists(st.text(min_size=1).filter(lambda t: not t.endswith("\0")), max_size=8),
    seed=st.text(min_size=1),
)
def test_many_buckets_are_the_buckets_of_each(people: list[str], seed: str) -> None:
    if any("\0" in person for person in people):
        return  # padding of NumPy's texts; ids hold none
    assert buckets(people, seed).tolist() == [bucket(person, seed) for person in people]


@pytest.mark.parametrize("percent", RAMP)
def test_many_arms_are_the_arms_of_each(percent: float) -> None:
    found = arms_of(PEOPLE, trial(), percent)
    assert found.tolist() == [arm_of(person, trial(), percent).value for person in PEOPLE]


def test_whoever_stands_on_the_edge_of_a_share_is_on_the_same_side_of_it_in_both() -> None:
    many = [f"{n:064x}" for n in range(60_000)]
    for seed, edge in ((holdout_seed(trial()), 0.1), (trial().rollout_id, 0.75)):
        on_edge = [many[n] for n in np.flatnonzero(buckets(many, seed) == edge)]
        assert on_edge
        found = [arm_of(person, trial(), 25.0).value for person in on_edge]
        assert arms_of(on_edge, trial(), 25.0).tolist() == found
    assert Arm.HOLDOUT not in {
        arm_of(many[n], trial(), 25.0)
        for n in np.flatnonzero(buckets(many, holdout_seed(trial())) == 0.1)
    }


def test_each_moment_has_its_own_traffic() -> None:
    percents = np.resize(np.array(RAMP), len(PEOPLE))
    expected = [arm_of(p, trial(), float(at)).value for p, at in zip(PEOPLE, percents, strict=True)]
    assert arms_of(PEOPLE, trial(), percents).tolist() == expected


def test_what_is_no_percentage_or_nobody_is_refused() -> None:
    for percent in (-1.0, 101.0, math.nan):
        with pytest.raises(ShouldFixArgument, match="outside"):
            arm_of("p", trial(), percent)
        with pytest.raises(ShouldFixArgument, match="outside"):
            arms_of(["p"], trial(), percent)
    with pytest.raises(ShouldFixArgument, match="shape"):
        arms_of(["p", "q"], trial(), np.array([1.0]))
    with pytest.raises(ShouldFixArgument, match="empty"):
        arms_of([""], trial(), 5.0)
    assert arms_of([], trial(), 5.0).tolist() == []


def test_holdout_and_ramp_are_drawn_by_different_seeds() -> None:
    assert holdout_seed(trial()) != trial().rollout_id
