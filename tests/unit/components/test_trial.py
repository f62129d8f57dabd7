"""A trial as arrays: arms by the hash, traffic by the history, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from components._trial import observations_of, percents_of
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.loops import load
from everloop.rollout.assignment import arm_of, expected_share
from rl.encoders.context import layout

SPEC = load("companion")
BEGUN = datetime(2026, 3, 10, tzinfo=UTC)
PEOPLE = 400


def record(**changes: Any) -> RolloutRecord:
    values: dict[str, Any] = {
        "rollout_id": "trial",
        "loop": SPEC.name,
        "candidate": "new",
        "active": "old",
        "state": "paused",
        "traffic_percent": 25.0,
        "reasons": ("It may.",),
        "recorded_at": BEGUN,
        "holdout_percent": 10.0,
        "history": (
            Stay("shadow", 0.0, BEGUN),
            Stay("started", 5.0, BEGUN + timedelta(days=1)),
            Stay("started", 25.0, BEGUN + timedelta(days=2)),
            Stay("paused", 25.0, BEGUN + timedelta(days=3)),
        ),
    }
    return RolloutRecord(**(values | changes))


def episodes(days: list[float], **changes: Any) -> EncodedEpisodes:
    """One decision of every person at each of some days after the trial began."""
    n, width = PEOPLE * len(days), layout(SPEC).width
    actions, signals = len(SPEC.actions), len(SPEC.signals)
    stamps = np.repeat([(BEGUN + timedelta(days=day)).timestamp() for day in days], PEOPLE)
    values: dict[str, Any] = {
        "episode_id": np.array([f"{i:06d}" for i in range(n)]),
        "person": np.tile(np.arange(PEOPLE), len(days)),
        "people": np.array([f"person-{i:04d}" for i in range(PEOPLE)]),
        "context": np.zeros((n, width), dtype=np.float32),
        "interacting": np.zeros(width, dtype=np.bool_),
        "action": np.zeros(n, dtype=np.int64),
        "mask": np.ones((n, actions), dtype=np.bool_),
        "propensity": np.full(n, 0.5),
        "reward": np.tile(np.linspace(-1, 1, PEOPLE), len(days)),
        "signals": np.zeros((n, signals)),
        "holdout": np.zeros(n, dtype=np.bool_),
        "comparison": np.zeros(n, dtype=np.bool_),
        "timestamp": stamps,
        "encoder": layout(SPEC).encoder,
    }
    return EncodedEpisodes(**(values | changes))


def observed(rows: EncodedEpisodes, **changes: Any) -> Any:
    n = len(rows.episode_id)
    given = {"logged_arm": np.full(n, "active"), "closed": np.ones(n, dtype=np.bool_)} | changes
    return observations_of(SPEC, record(), rows, given["logged_arm"], given["closed"])


def test_traffic_is_that_of_the_moment() -> None:
    moments = [BEGUN + timedelta(days=day) for day in (-1, 0.5, 1, 1.5, 2, 3.5)]
    found = percents_of(record(), np.array([moment.timestamp() for moment in moments]))
    assert found.tolist() == [0.0, 0.0, 5.0, 5.0, 25.0, 25.0]
    assert found.tolist() == [record().percent_at(moment) for moment in moments]


def test_every_person_is_in_the_arm_of_the_hash_at_that_traffic() -> None:
    found = observed(episodes([1.5, 2.5]))
    assert found.n == 2 * PEOPLE
    for row, percent in enumerate([5.0] * PEOPLE + [25.0] * PEOPLE):
        person = f"person-{row % PEOPLE:04d}"
        assert found.percent[row] == percent
        assert found.arm[row] == (arm_of(person, record(), percent) == "candidate")
    early, late = found.arm[:PEOPLE] == 1, found.arm[PEOPLE:] == 1
    assert 0 < early.sum() < late.sum()
    assert (late | ~early).all(), "a share that grows keeps whoever is in it"
    assert dict(found.shares) == {p: expected_share(record(), p) for p in (5.0, 25.0)}
    assert found.shares[25.0] == pytest.approx(0.9 * 0.25)


def test_decisions_before_people_met_it_are_earlier_behaviour() -> None:
    rewards = np.concatenate([np.full(PEOPLE, 0.2), np.full(PEOPLE, 0.4), np.full(PEOPLE, 0.9)])
    rewards[PEOPLE] = np.nan
    rewards[[1, PEOPLE + 1]] = np.nan
    found = observed(episodes([-3.0, 0.5, 2.5], reward=rewards))
    assert found.n == PEOPLE
    assert (found.reward == 0.9).all()
    assert found.before[0] == pytest.approx(0.2)
    assert np.isnan(found.before[1])
    assert found.before[2:] == pytest.approx(0.3)


def test_open_decisions_and_those_of_others_are_left_out() -> None:
    rows = episodes([2.5])
    closed = np.ones(PEOPLE, dtype=np.bool_)
    closed[:100] = False
    others = np.zeros(PEOPLE, dtype=np.bool_)
    others[100:150] = True
    found = observed(episodes([2.5], comparison=others), closed=closed)
    assert found.n == PEOPLE - 150
    assert found.people == PEOPLE - 150
    assert found.reward.tolist() == rows.reward[150:].tolist()


def test_something_else_that_decided_for_the_candidate_s_people_is_a_fallback() -> None:
    rows = episodes([2.5])
    arms = observed(rows).arm == 1
    logged = np.where(arms, "candidate", "active")
    assert observed(rows, logged_arm=logged).fallback_share() == 0.0
    failing = np.flatnonzero(arms)[: arms.sum() // 2]
    logged[failing] = "active"
    found = observed(rows, logged_arm=logged)
    assert found.fallback_share() == pytest.approx(len(failing) / arms.sum())
    assert (found.arm == arms).all(), "it still counts for the candidate"


def test_protected_groups_are_its_segments() -> None:
    found = observed(episodes([2.5]))
    assert set(found.segments) == set(SPEC.protected)
    assert all(labels.tolist() == [""] * PEOPLE for labels in found.segments.values())


def test_nothing_of_the_trial_is_nothing() -> None:
    found = observed(episodes([0.5]))
    assert (found.n, found.people, dict(found.shares)) == (0, 0, {})
