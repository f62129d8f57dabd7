"""The abuse benchmark: what it measures, its record, and (slow) that its goals hold."""

from __future__ import annotations

import json
from random import Random

import pytest

from bench import abuse
from bench.abuse_replay import Outcome, held_share, replay_together
from bench.abuse_unseen_people import PEOPLE
from bench.record import record


def test_share_counts_feedback_not_sessions() -> None:
    held = Outcome("a", 9, 4, 9, 5, ())
    free = Outcome("b", 1, 0, 0, None, ())
    assert held_share([held, free]) == 0.9


def test_a_sender_is_the_same_for_the_same_seed() -> None:
    maker = next(iter(PEOPLE))
    assert maker(Random(3)) == maker(Random(3))
    assert maker(Random(3)) != maker(Random(4))


def test_sessions_meet_at_one_door_in_order_of_arrival() -> None:
    random = Random(5)
    sessions = [maker(random) for maker in PEOPLE]
    outcomes = replay_together(sessions)
    assert [o.kind for o in outcomes] == [s.kind for s in sessions]
    assert [o.n for o in outcomes] == [len(s.sent) for s in sessions]


def test_the_record_names_both_goals_and_every_type() -> None:
    rows, goals = abuse.measure(seed=1, count=1, rounds=1)
    told = json.loads(record("abuse", 1, rows, goals))
    assert [(g["name"], g["goal"], g["sense"]) for g in told["goals"]] == [
        ("recall_unseen", 0.9, "min"),
        ("honest_quarantined_share", 0.01, "max"),
    ]
    systems = [row["system"] for row in told["rows"]]
    assert len(systems) == len(set(systems))
    assert "machine patient_mimic (not in the goal)" in systems


@pytest.mark.slow
def test_goals_hold_on_unseen_senders() -> None:
    _, goals = abuse.measure(abuse.SEED, 30, 30)
    assert [goal.name for goal in goals if not goal.met] == []
