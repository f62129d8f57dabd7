"""The guard looks at live trials: what is bad leaves by itself, what is good goes on."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, cast

import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord, TrialTally
from everloop.rollout.breaker import set_breaker
from everloop.rollout.health import merged
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.guard import TrialGuard
from everloop.wiring import Workspace
from tests.unit.serving.decisions.conftest import START, World, loop, question
from tests.unit.serving.decisions.trials import Odd, begun

SHADOW = {"decisions": 100, "hours": 1.0, "max_p99_ms": 40.0}
SPEC = loop(rollout={"shadow": SHADOW, "dwell_hours": [24.0]})
TAME = loop(
    actions=[
        {"id": "wait", "kind": "no_action"},
        {"id": "walk", "kind": "recommend_hive", "event_id": "w1"},
        {"id": "music", "kind": "recommend_hive", "event_id": "m1"},
    ],
    rollout={"shadow": SHADOW},
)
POISON = {"x": 0.9, "group": "a"}
HOUR = 3600.0


def guard(world: World, engine: DecisionEngine, spec: LoopSpec = SPEC) -> TrialGuard:
    return TrialGuard(cast("Workspace", world), {"coach": spec}, engine, world.clock)


def asked(engine: DecisionEngine, n: int, spec: LoopSpec = SPEC, **more: Any) -> None:
    engine.decide_many("default", [question(spec, who, **more) for who in range(n)])
    engine.watch.shadow.work()


def now(world: World, record: RolloutRecord) -> RolloutRecord:
    return world.rollouts.rollout(record.rollout_id)


def swapped(engine: DecisionEngine, odd: Odd) -> None:
    """Another model in the candidate's place."""
    slot = engine._slots["default", "coach"]
    slot.serving = replace(slot.serving, candidate=odd.served())


def still(world: World, spec: LoopSpec = SPEC) -> DecisionEngine:
    """An engine whose shadow works only when a test says so."""
    engine = world.engine(spec)
    engine.watch.shadow.close()
    engine.watch.shadow = type(engine.watch.shadow)(engine.watch.tallies)
    return engine


def breaker_open(world: World) -> bool:
    return world.deployments.head("coach").breaker.open


def test_a_good_candidate_goes_on_when_its_shadow_is_over(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 1, 0, 0, 0))
    record = begun(world, SPEC, "coach-2", bias=(0, 1, 0.5, 0, 0))
    engine = still(world)
    look = guard(world, engine).look
    asked(engine, 99)
    world.clock.pass_(2 * HOUR)
    look()
    assert now(world, record).state == "shadow", "one decision is missing"
    asked(engine, 1)
    look()
    after = now(world, record)
    assert (after.state, after.traffic_percent) == ("started", 1.0)
    assert not breaker_open(world)


def test_a_good_candidate_waits_for_its_time_in_shadow(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 1, 0, 0, 0))
    record = begun(world, SPEC, "coach-2", bias=(0, 1, 0.5, 0, 0))
    engine = still(world)
    asked(engine, 200)
    world.clock.pass_(HOUR - 1)
    guard(world, engine).look()
    assert now(world, record).state == "shadow"
    world.clock.pass_(1)
    guard(world, engine).look()
    assert now(world, record).state == "started"


def test_a_nan_candidate_in_shadow_never_reaches_a_person_and_is_rolled_back(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2", nan_above=0.5)
    engine = still(world)
    asked(engine, 300)
    asked(engine, 1, context=POISON)
    guard(world, engine).look()
    after = now(world, record)
    assert after.state == "rolled_back"
    assert "no distribution" in after.reasons[0]
    event = world.deployments.last_event(record.rollout_id)
    assert event is not None
    assert (event.kind, event.actor) == ("rolled_back", "system:guard")
    assert event.evidence["decided_by"] == ["shadow_answers"]
    assert all(stay.traffic_percent == 0.0 for stay in after.history)
    engine.refresh()
    found = engine.decide_many("default", [question(SPEC, who) for who in range(50)])
    assert {decision.model_version for decision in found} == {"coach-1"}
    assert not breaker_open(world), "nobody met it"


def test_a_slow_candidate_in_shadow_is_rolled_back(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2")
    engine = still(world)
    swapped(engine, Odd((0.2,) * 5, slow_s=0.045))
    for who in range(4):
        engine.decide_many("default", [question(SPEC, who) for _ in range(64)])
    engine.watch.shadow.work()
    guard(world, engine).look()
    after = now(world, record)
    assert after.state == "rolled_back"
    assert "longer than 40 ms" in after.reasons[0]


def test_a_failing_candidate_in_shadow_is_rolled_back(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2")
    engine = still(world)
    swapped(engine, Odd((0.2,) * 5, fails_above=0.5))
    asked(engine, 95)
    asked(engine, 1, context=POISON)
    guard(world, engine).look()
    assert now(world, record).state == "shadow", "once is chance"
    asked(engine, 9, context=POISON)
    guard(world, engine).look()
    assert now(world, record).state == "rolled_back"
    assert "got no answer" in now(world, record).reasons[0]


def test_a_collapsed_candidate_in_shadow_is_rolled_back(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 1, 0, 0, 0))
    record = begun(world, SPEC, "coach-2", bias=(9, 0, 0, 0, 0))
    engine = still(world)
    asked(engine, 600)
    world.clock.pass_(2 * HOUR)
    look = guard(world, engine).look
    look()
    assert now(world, record).state == "shadow", "the active keeps to one action too"
    asked(engine, 300, valid=["wait", "music"])
    look()
    after = now(world, record)
    assert after.state == "rolled_back"
    assert "collapsed" in after.reasons[0]


def test_at_a_cold_start_the_candidate_is_compared_with_what_explores(world: World) -> None:
    """Alike questions: a policy that answers them alike is neither rolled back nor let on."""
    record = begun(world, SPEC, "coach-1", bias=(0, 9, 0, 0, 0))
    engine = still(world)
    asked(engine, 301)
    world.clock.pass_(2 * HOUR)
    look = guard(world, engine).look
    look()
    assert now(world, record).state == "shadow"
    counts = merged(engine.watch.tallies.taken(), "shadow")
    assert (counts.agreed, counts.active_actions) == (0, {"wait": 301})
    asked(engine, 100, valid=["wait", "music"])
    look()
    assert now(world, record).state == "started"


def on_trial(world: World, spec: LoopSpec = SPEC, **policy: Any) -> RolloutRecord:
    world.deploy(spec, "coach-1", bias=[0, 1, *[0] * (len(spec.actions) - 2)])
    return begun(world, spec, "coach-2", "started", 100.0, 10.0, **policy)


def test_a_hard_failure_on_trial_rolls_back_and_opens_the_breaker(world: World) -> None:
    record = on_trial(world, nan_above=0.5)
    engine = still(world)
    asked(engine, 5)
    asked(engine, 20, context=POISON)
    guard(world, engine).look()
    assert now(world, record).state == "rolled_back"
    breaker = world.deployments.head("coach").breaker
    assert breaker.open
    assert record.rollout_id in breaker.reason
    assert "no distribution" in breaker.reason
    kinds = [event.kind for event in world.deployments.events("coach")]
    assert kinds[-2:] == ["breaker_opened", "rolled_back"]
    engine.refresh()
    found = engine.decide_many("default", [question(SPEC, who) for who in range(30)])
    assert {(d.model_version, "alarm" in d.valid_actions) for d in found} == {("coach-1", False)}


def test_a_loop_without_safety_critical_actions_has_no_breaker_to_open(world: World) -> None:
    record = on_trial(world, TAME, nan_above=0.5)
    engine = still(world, TAME)
    asked(engine, 20, TAME, context=POISON)
    guard(world, engine, TAME).look()
    assert now(world, record).state == "rolled_back"
    assert not breaker_open(world)


def test_a_healthy_trial_stays_at_its_traffic(world: World) -> None:
    record = on_trial(world, bias=(0, 0, 1, 0, 0))
    engine = still(world)
    asked(engine, 80)
    asked(engine, 80, context={"x": -0.5, "group": "b"})
    guard(world, engine).look()
    assert now(world, record) == record
    assert not breaker_open(world)


def test_the_breaker_opens_where_the_active_model_leans_on_safety_critical_actions(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 0, 0, 0, 9))
    engine = still(world)
    look = guard(world, engine).look
    asked(engine, 4)
    look()
    assert not breaker_open(world), "four say nothing"
    asked(engine, 300)
    look()
    assert breaker_open(world)
    assert "at most 50.0% may be" in world.deployments.head("coach").breaker.reason
    assert engine.watch.critical_shares() == {}


def test_an_active_model_within_its_limit_keeps_the_breaker_closed(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 0, 0, 0, 0.5))
    engine = still(world)
    asked(engine, 400)
    guard(world, engine).look()
    assert not breaker_open(world)


def test_two_workers_act_once_on_counts_that_add_up(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 1, 0, 0, 0))
    record = begun(world, SPEC, "coach-2", bias=(0, 1, 0.5, 0, 0))
    workers = [still(world), still(world)]
    for engine in workers:
        asked(engine, 60)
        engine.flush()
    world.clock.pass_(2 * HOUR)
    threads = [threading.Thread(target=guard(world, engine).look) for engine in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = now(world, record)
    assert (after.state, after.traffic_percent, after.generation) == ("started", 1.0, 1)


def test_a_trial_that_cannot_be_judged_keeps_no_other_look_from_being_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 0, 0, 0, 9))
    begun(world, SPEC, "coach-2")
    engine = still(world)
    asked(engine, 300)

    def away(*_: object) -> tuple[TrialTally, ...]:
        raise OSError("away")

    monkeypatch.setattr(type(world.tallies), "tallies", away)
    guard(world, engine).look()
    assert breaker_open(world)


def test_the_thread_looks_by_itself_and_ends(world: World) -> None:
    engine = still(world)
    looked = threading.Event()
    made = TrialGuard(cast("Workspace", world), {"coach": SPEC}, engine, world.clock, 0.01)
    made.look = looked.set  # type: ignore[method-assign]
    with made:
        assert looked.wait(10)
        assert made.alive
    assert not made.alive


def test_a_breaker_that_is_as_wanted_stays_with_its_first_reason(world: World) -> None:
    first = set_breaker(world.deployments, "coach", True, "it rang", "cli:eve", START)
    again = set_breaker(world.deployments, "coach", True, "once more", "cli:bob", START)
    assert again == first
    closed = set_breaker(world.deployments, "coach", False, "mended", "cli:eve", START)
    assert (closed.breaker.open, closed.breaker.opened_at) == (False, None)
    kinds = [event.kind for event in world.deployments.events("coach")]
    assert kinds == ["breaker_opened", "breaker_closed"]
