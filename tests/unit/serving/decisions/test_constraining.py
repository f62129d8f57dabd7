"""Limits and flags on decisions: budgets that hold under attack, true masks, and what fails closed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.serving import Decision, RecentDecision
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.question import Question
from tests.feedback_records import put
from tests.unit.serving.decisions.conftest import START, World, loop, person, question

MEDDLING = {"cheer", "alarm"}
EVERYTHING = ("wait", "walk", "music", "cheer", "alarm")


def limited(**limit: Any) -> dict[str, Any]:
    return {"limits": [{"kinds": ["intervention"], **limit}]}


BUDGET = loop(constraints=limited(per_day=2))
ONCE = loop(constraints=limited(per_day=1))
COOLING = loop(constraints=limited(cooldown_hours=4))
FLAGGED = loop(
    constraints={"flags": [{"field": "x", "never": ["cheer", "alarm"], "at_least": 0.5}]}
)


def store(world: World, engine: DecisionEngine, decisions: Iterable[Decision]) -> None:
    made = list(decisions)
    with engine.storing(made):
        put(world.database, *made, now=world.clock.now())


def answer(world: World, engine: DecisionEngine, asked: Question) -> Decision:
    decision = engine.decide("default", asked)
    store(world, engine, [decision])
    return decision


def met(world: World, spec: Any, who: int = 1, action: str = "cheer", **more: Any) -> Decision:
    """A decision that is in the database."""
    made = Decision(
        decision_id=str(uuid.uuid4()),
        user_id=person(who),
        loop=spec.name,
        context_snapshot={"x": 0.0, "group": "a"},
        action_taken=action,
        propensity=0.5,
        valid_actions=EVERYTHING,
        timestamp=world.clock.now(),
        model_version="old",
        arm=Arm.ACTIVE,
        epsilon=0.1,
        request_sha256="0" * 64,
    )
    put(world.database, replace(made, **more), now=world.clock.now())
    return made


@pytest.mark.parametrize("trial", [0.0, 100.0])
def test_a_client_that_hammers_one_person_never_passes_the_budget(
    world: World, trial: float
) -> None:
    world.deploy(BUDGET, "coach-1", bias=(0, 0, 0, 9, 0))
    if trial:
        world.trial(BUDGET, "coach-2", trial, bias=(0, 0, 0, 9, 0))
    engine = world.engine(BUDGET)
    days: dict[str, int] = {}
    for _ in range(200):
        decision = answer(world, engine, question(BUDGET))
        assert decision.arm is (Arm.CANDIDATE if trial else Arm.ACTIVE)
        assert decision.action_taken in decision.valid_actions
        day = decision.timestamp.date().isoformat()
        if days.get(day, 0) >= 2:
            assert decision.valid_actions == ("wait", "walk", "music")
        else:
            assert decision.valid_actions == EVERYTHING
        days[day] = days.get(day, 0) + (decision.action_taken in MEDDLING)
        world.clock.pass_(977)
    assert days == dict.fromkeys(("2026-03-10", "2026-03-11", "2026-03-12"), 2)


def test_two_workers_on_one_database_share_the_budget(world: World) -> None:
    world.deploy(BUDGET, "coach-1", bias=(0, 0, 0, 9, 0))
    workers = [world.engine(BUDGET, seed=seed) for seed in (1, 2)]
    taken = [
        answer(world, workers[turn % 2], question(BUDGET)).action_taken in MEDDLING
        for turn in range(60)
    ]
    assert sum(taken) == 2


def test_the_logged_propensity_is_the_constrained_masks(world: World) -> None:
    world.deploy(BUDGET, "coach-1", bias=(0, 0, 0, 9, 0))
    engine = world.engine(BUDGET)
    met(world, BUDGET)
    met(world, BUDGET, action="alarm")
    for _ in range(20):
        decision = engine.decide("default", question(BUDGET))
        assert decision.valid_actions == ("wait", "walk", "music")
        assert decision.propensity == pytest.approx(1 / 3, abs=1e-6), "three alike, explored alike"
    other = engine.decide("default", question(BUDGET, 2))
    assert other.valid_actions == EVERYTHING, "another person's budget is whole"


def test_a_budget_is_whole_again_at_midnight_utc(world: World) -> None:
    engine = world.engine(ONCE)
    met(world, ONCE)
    world.clock.pass_(12 * 3600 - 1e-6)
    assert not MEDDLING & set(engine.decide("default", question(ONCE)).valid_actions)
    world.clock.pass_(1e-6)
    assert "cheer" in engine.decide("default", question(ONCE)).valid_actions


def test_a_cool_down_spans_midnight_and_ends(world: World) -> None:
    world.clock.pass_(11 * 3600)
    engine = world.engine(COOLING)
    met(world, COOLING)
    world.clock.pass_(4 * 3600 - 1)
    assert "cheer" not in engine.decide("default", question(COOLING)).valid_actions
    world.clock.pass_(1)
    assert "cheer" in engine.decide("default", question(COOLING)).valid_actions


@pytest.mark.parametrize("spec", [ONCE, COOLING])
def test_a_worker_whose_clock_runs_ahead_counts(world: World, spec: Any) -> None:
    engine = world.engine(spec)
    met(world, spec, timestamp=START + timedelta(hours=30))
    assert "cheer" not in engine.decide("default", question(spec)).valid_actions


def test_what_is_answered_counts_before_it_is_stored(world: World) -> None:
    engine = world.engine(ONCE)
    asked = question(ONCE, valid=["wait", "cheer"])
    world.deploy(ONCE, "coach-1", bias=(-90, 0, 0, 90, 0))
    engine.refresh()
    first = engine.decide("default", asked)
    while first.action_taken != "cheer":  # epsilon; one that was answered wait takes nothing
        first = engine.decide("default", question(ONCE, valid=["wait", "cheer"]))
    assert engine.decide("default", question(ONCE)).valid_actions == ("wait", "walk", "music")
    store(world, engine, [first])
    assert engine.decide("default", question(ONCE)).valid_actions == ("wait", "walk", "music")


def test_what_the_database_refused_gives_its_budget_back(world: World) -> None:
    engine = world.engine(ONCE)
    asked = question(ONCE, valid=["cheer"])
    lost = engine.decide("default", asked)
    assert "cheer" not in engine.decide("default", question(ONCE)).valid_actions
    with pytest.raises(ShouldFreeDisk), engine.storing([lost]):
        raise ShouldFreeDisk("full")
    assert "cheer" in engine.decide("default", question(ONCE)).valid_actions


def test_what_nobody_waited_for_goes_on_counting(world: World) -> None:
    engine = world.engine(ONCE)
    gone = engine.decide("default", question(ONCE, valid=["cheer"]))
    with pytest.raises(KeyboardInterrupt), engine.storing([gone]):
        raise KeyboardInterrupt
    assert "cheer" not in engine.decide("default", question(ONCE)).valid_actions


def test_of_simultaneous_questions_one_steps_in(world: World) -> None:
    """Eight threads, and nothing is stored in between."""
    world.deploy(ONCE, "coach-1", bias=(0, 0, 0, 90, 0))
    engine = world.engine(ONCE)
    start, found = threading.Barrier(8), list[Decision]()

    def ask() -> None:
        start.wait()
        found.extend(engine.decide("default", question(ONCE)) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    assert sum(decision.action_taken in MEDDLING for decision in found) <= 1


def test_a_batch_that_names_one_person_often_keeps_the_budget(world: World) -> None:
    world.deploy(BUDGET, "coach-1", bias=(0, 0, 0, 90, 0))
    engine = world.engine(BUDGET)
    asked = [question(BUDGET, who) for who in (1, 1, 2, 1, 1)]
    decisions = engine.decide_many("default", asked)
    assert [len(d.valid_actions) for d in decisions] == [5, 5, 5, 3, 3]
    assert [d.user_id for d in decisions] == [q.user_id for q in asked]


def test_asking_again_is_answered_as_before_and_takes_nothing(world: World) -> None:
    engine = world.engine(ONCE)
    asked = question(ONCE, valid=["cheer"])
    first = answer(world, engine, asked)
    again = engine.decide("default", asked)
    assert (again.action_taken, again.valid_actions) == ("cheer", ("cheer",))
    with pytest.raises(
        ShouldFixArgument, match="constraints of loop 'coach' take away all of cheer"
    ):
        engine.decide("default", question(ONCE, valid=["cheer"]))
    second = met(world, ONCE)
    assert second.decision_id != first.decision_id
    assert engine.decide("default", asked).action_taken == "cheer", "whatever came since"


def test_asking_again_before_the_first_answer_is_stored_is_no_second_decision(world: World) -> None:
    engine = world.engine(ONCE)
    asked = question(ONCE, valid=["cheer"])
    both = [engine.decide("default", asked) for _ in range(2)]
    assert [decision.valid_actions for decision in both] == [("cheer",)] * 2
    for decision in both:
        with engine.storing([decision]):
            assert "cheer" not in engine.decide("default", question(ONCE)).valid_actions
    assert "cheer" in engine.decide("default", question(ONCE)).valid_actions


def test_a_question_that_constraints_leave_nothing_is_named(world: World) -> None:
    engine = world.engine(FLAGGED)
    fine, hopeless = (
        question(FLAGGED),
        question(FLAGGED, context={"x": 0.5, "group": "a"}, valid=["cheer", "alarm"]),
    )
    with pytest.raises(ShouldFixArgument, match=r"decisions\[1\]: The person.*cheer, alarm"):
        engine.decide_many("default", [fine, hopeless])
    assert engine.decide("default", fine).action_taken


def test_a_decision_that_no_limit_counts_is_not_held(world: World) -> None:
    engine = world.engine(ONCE)
    for _ in range(30):
        engine.decide("default", question(ONCE, valid=["wait", "walk"]))
    assert len(engine._constraining.pending) == 0
    engine.decide("default", question(ONCE, valid=["cheer"]))
    assert len(engine._constraining.pending) == 1


def test_a_question_that_failed_takes_nothing(world: World) -> None:
    spec = loop(constraints=limited(per_day=1))
    engine = world.engine(spec)
    for _ in range(5):
        with pytest.raises(ShouldRetryLater, match="safety-critical"):
            engine.decide("default", question(spec, valid=["alarm"]))
    assert "cheer" in engine.decide("default", question(spec)).valid_actions


def test_flags_hold_with_a_model_and_without_one(world: World) -> None:
    engine = world.engine(FLAGGED)
    high = {"x": 0.5, "group": "a"}
    for version in ("no_action", "coach-1"):
        for _ in range(10):
            decision = engine.decide("default", question(FLAGGED, context=high))
            assert decision.model_version == version
            assert decision.valid_actions == ("wait", "walk", "music")
        assert "cheer" in engine.decide("default", question(FLAGGED)).valid_actions
        world.deploy(FLAGGED, "coach-1", bias=(0, 0, 0, 90, 90))
        engine.refresh()


def test_the_stand_in_of_a_broken_model_obeys(world: World) -> None:
    class Broken:
        def __call__(self, *_: Any) -> Any:
            raise ShouldRestoreArtefact("damaged")

    world.deploy(ONCE, "coach-1")
    engine = world.engine(ONCE, models=Broken())
    met(world, ONCE)
    decision = engine.decide("default", question(ONCE))
    assert decision.fallback.startswith("standstill")
    assert decision.valid_actions == ("wait",)
    only = engine.decide("default", question(ONCE, valid=["walk", "cheer"]))
    assert only.valid_actions == ("walk",)


class Away:
    """A database that does not answer."""

    def recent(self, *_: Any, **__: Any) -> Any:
        raise OSError("the database is away")

    def decision(self, *_: Any, **__: Any) -> Any:
        raise OSError("the database is away")


def test_without_the_database_limited_actions_rest(world: World) -> None:
    world.deploy(BUDGET, "coach-1")
    engine = world.engine(BUDGET)
    world.decisions = Away()  # type: ignore[assignment]
    decision = engine.decide("default", question(BUDGET))
    assert decision.valid_actions == ("wait", "walk", "music")
    with pytest.raises(ShouldRetryLater, match="can't be read"):
        engine.decide("default", question(BUDGET, valid=["cheer"]))


def test_a_loop_without_limits_asks_the_database_nothing(world: World) -> None:
    plain = loop("plain")
    engine = world.engine(plain, FLAGGED)
    world.decisions = Away()  # type: ignore[assignment]
    assert engine.decide("default", question(plain)).action_taken
    assert engine.decide("default", question(FLAGGED)).action_taken
    engine_pending = engine._constraining.pending
    assert len(engine_pending) == 0


def test_questions_that_no_limited_action_can_answer_need_no_database(world: World) -> None:
    spec = loop(
        constraints={
            **limited(per_day=1),
            "flags": [{"field": "x", "never": ["cheer", "alarm"], "at_least": 0.5}],
        }
    )
    engine = world.engine(spec)
    world.decisions = Away()  # type: ignore[assignment]
    calm = engine.decide("default", question(spec, valid=["wait", "walk"]))
    assert calm.valid_actions == ("wait", "walk")
    excited = engine.decide("default", question(spec, context={"x": 0.5, "group": "a"}))
    assert excited.valid_actions == ("wait", "walk", "music")
    assert len(engine._constraining.pending) == 0


def test_other_loops_and_tenants_do_not_count(world: World) -> None:
    engine = world.engine(ONCE)
    met(world, ONCE, loop="another")
    met(world, ONCE, tenant="acme")
    assert "cheer" in engine.decide("default", question(ONCE)).valid_actions
    assert "cheer" not in engine.decide("acme", question(ONCE)).valid_actions


def test_only_what_matters_is_read(world: World) -> None:
    asked: list[tuple[Any, ...]] = []

    class Watching:
        def recent(
            self, loop_: str, people: Sequence[str], actions: Sequence[str], *more: Any
        ) -> dict[str, tuple[RecentDecision, ...]]:
            asked.append((loop_, tuple(people), tuple(actions), *more))
            return {}

    engine = world.engine(BUDGET)
    world.decisions = Watching()  # type: ignore[assignment]
    engine.decide_many("default", [question(BUDGET, who) for who in (1, 2)])
    engine.decide_many("default", [question(BUDGET, 1, valid=["wait"]), question(BUDGET, 2)])
    midnight = START.replace(hour=0)
    assert asked.pop() == ("coach", (person(2),), ("cheer", "alarm"), midnight, "default")
    assert asked == [("coach", (person(1), person(2)), ("cheer", "alarm"), midnight, "default")]
