"""People who come back as the ramp grows: the chance that is left of their arms, and what is seen by it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from everloop.contracts.documents import from_json, to_json
from everloop.contracts.rollouts import SampleRatio
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.returning import Returned, returned
from everloop.rollout.experiment.srm import sample_ratio
from everloop.rollout.experiment.visits import visits

RAMP = {1.0: 0.0095, 5.0: 0.0475, 25.0: 0.2375, 50.0: 0.475}
DAYS = (1.0, 1.0, 5.0, 5.0, 25.0, 25.0, 25.0, 50.0, 50.0, 50.0)


def logged(
    rows: list[tuple[int, float, int]], people: int, shares: dict[float, float]
) -> TrialObservations:
    """Of (person, percent, arm), an hour apart."""
    person, percent, arm = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return TrialObservations(
        person=person,
        timestamp=np.datetime64("2026-03-01", "us") + np.arange(n) * np.timedelta64(1, "h"),
        arm=arm.astype(np.int8),
        percent=percent,
        reward=np.full(n, np.nan),
        signals=np.zeros((n, 0)),
        signal_names=(),
        before=np.full(people, np.nan),
        shares=shares,
    )


def test_the_chance_of_who_comes_back_is_what_earlier_arms_leave() -> None:
    shares = {10.0: 0.1, 50.0: 0.5, 80.0: 0.8}
    rows = [
        (0, 10.0, 0),
        (0, 10.0, 0),  # the same step again
        (0, 50.0, 1),  # (.5 - .1) / .9
        (0, 80.0, 1),  # for certain
        (1, 50.0, 0),
        (1, 80.0, 1),  # (.8 - .5) / .5
        (2, 10.0, 0),
        (2, 80.0, 0),  # (.8 - .1) / .9
        (3, 80.0, 1),  # never before
    ]
    assert returned(logged(rows, 4, shares)) == (
        Returned(50.0, pytest.approx(4 / 9), 0, 1),  # type: ignore[arg-type]
        Returned(80.0, pytest.approx(0.6), 0, 1),  # type: ignore[arg-type]
        Returned(80.0, pytest.approx(7 / 9), 1, 0),  # type: ignore[arg-type]
    )


def test_a_ramp_that_goes_down_leaves_a_chance_of_those_who_met_the_candidate() -> None:
    shares = {10.0: 0.1, 50.0: 0.5}
    rows = [(0, 50.0, 1), (0, 10.0, 0), (1, 50.0, 0), (1, 10.0, 0)]
    (only,) = returned(logged(rows, 2, shares))
    assert (only.percent, only.share) == (10.0, pytest.approx(0.2))
    assert (only.control, only.candidate) == (1, 0)


def test_who_is_left_in_the_control_at_full_traffic_is_wrong() -> None:
    rows = [(0, 50.0, 0), (0, 100.0, 0)]
    (only,) = returned(logged(rows, 1, {50.0: 0.5, 100.0: 1.0}))
    assert (only.share, only.control) == (1.0, 1)
    assert sample_ratio(logged(rows, 1, {50.0: 0.5, 100.0: 1.0})).mismatch


def test_what_was_seen_before_leaves_the_evidence_a_martingale() -> None:
    """Whatever the arms of the first step were, the second moves the evidence by nothing in the mean."""
    shares = {20.0: 0.2, 50.0: 0.5}
    later = {0: {0: 1 - 0.3 / 0.8, 1: 0.3 / 0.8}, 1: {1: 1.0}}
    for first in itertools.product((0, 1), repeat=3):
        rows = [(i, 20.0, arm) for i, arm in enumerate(first)]
        before = math.exp(sample_ratio(logged(rows, 3, shares)).log_evidence)
        mean = 0.0
        for second in itertools.product(*(later[arm] for arm in first)):
            chance = math.prod(later[a][b] for a, b in zip(first, second, strict=True))
            more = [(i, 50.0, arm) for i, arm in enumerate(second)]
            found = sample_ratio(logged([*rows, *more], 3, shares))
            mean += chance * math.exp(found.log_evidence)
        assert mean == pytest.approx(before)


def played(seed: int, people: int, lost: float = 0.0, stays: float = 1.0) -> TrialObservations:
    """Regular users along the ramp. ``lost``: share of the candidate's decisions that are not logged
    from 25 % on; ``stays``: how much less often people come once they met the candidate."""
    rng = np.random.default_rng(seed)
    place, met = rng.random(people), np.zeros(people, dtype=np.bool_)
    person: list[NDArray[np.int64]] = []
    day: list[int] = []
    arm: list[NDArray[np.bool_]] = []
    for number, percent in enumerate(DAYS):
        candidate = place < RAMP[percent]
        here = rng.random(people) < 0.8 * np.where(met, stays, 1.0)
        met |= here & candidate
        kept = here & ~(candidate & (percent >= 25.0) & (rng.random(people) < lost))
        person.append(np.flatnonzero(kept))
        arm.append(candidate[kept])
        day += [number] * int(kept.sum())
    when = np.array(day)
    n = len(when)
    return TrialObservations(
        person=np.concatenate(person),
        timestamp=np.datetime64("2026-03-01T12", "us") + when.astype("timedelta64[D]"),
        arm=np.concatenate(arm).astype(np.int8),
        percent=np.array(DAYS)[when],
        reward=np.full(n, np.nan),
        signals=np.zeros((n, 0)),
        signal_names=(),
        before=np.full(people, np.nan),
        shares=RAMP,
    )


def on_day(observations: TrialObservations, day: int) -> TrialObservations:
    last = np.datetime64("2026-03-02", "us") + np.timedelta64(day, "D")
    return observations.where(observations.timestamp < last)


def test_regular_users_of_equal_arms_raise_no_alarm_at_any_look() -> None:
    """100 trials of 10 looks: at error .01 more than 6 alarms have a chance below 1e-4."""
    alarms = warnings = 0
    for seed in range(100):
        whole = played(1_100 + seed, 1_000)
        looks = [on_day(whole, day) for day in range(len(DAYS))]
        alarms += any(sample_ratio(look).mismatch for look in looks)
        warnings += any(v.departs for look in looks for v in visits(look))
    assert alarms <= 6
    assert warnings <= 6


def test_decisions_that_are_lost_after_the_first_step_are_a_mismatch() -> None:
    whole = played(11, 5_000, lost=0.5)
    assert not sample_ratio(on_day(whole, 3)).mismatch
    found = sample_ratio(on_day(whole, 4))
    assert found.mismatch
    (_, at_25) = found.returning
    assert at_25.percent == 25.0
    assert at_25.observed["candidate"] < 0.7 * at_25.expected["candidate"]


def test_fewer_visits_because_of_the_candidate_are_a_warning_and_no_mismatch() -> None:
    whole = played(12, 5_000, stays=0.5)
    assert not sample_ratio(whole).mismatch
    told = {v.percent: v for v in visits(whole)}
    assert told[50.0].departs
    assert told[50.0].candidate < told[50.0].control


def test_decisions_per_person_by_hand() -> None:
    rows = [(i, 50.0, 0) for i in range(50) for _ in range(2 + i % 2)]
    rows += [(50 + i, 50.0, 1) for i in range(50) for _ in range(4 + i % 2)]
    (found,) = visits(logged(rows, 100, {50.0: 0.5}))
    assert (found.control, found.candidate, found.departs) == (2.5, 4.5, True)
    (turned,) = visits(logged([(p, at, 1 - arm) for p, at, arm in rows], 100, {50.0: 0.5}))
    assert (turned.control, turned.candidate, turned.departs) == (4.5, 2.5, True)
    assert visits(logged([r for r in rows if r[0] != 99], 100, {50.0: 0.5})) == ()


def test_figures_that_were_stored_without_returns_and_visits_are_read() -> None:
    stored = (
        '{"expected":{"control":1.0},"log_evidence":0.5,"mismatch":false,"observed":{"control":1}}'
    )
    assert from_json(SampleRatio, stored) == SampleRatio(
        {"control": 1.0}, {"control": 1}, 0.5, False
    )
    whole = sample_ratio(logged([(0, 10.0, 0), (0, 50.0, 1)], 1, {10.0: 0.1, 50.0: 0.5}))
    assert from_json(SampleRatio, to_json(whole)) == whole
