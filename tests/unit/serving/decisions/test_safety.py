"""The safety breaker: while it is open nobody takes a safety-critical action."""

from __future__ import annotations

import random

import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldRetryLater
from everloop.intake.conformity import conform_episode
from everloop.rollout.breaker import set_breaker
from everloop.serving.bodies import ConfirmedDecision
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.events import confirmed_episode
from tests.unit.serving.decisions.conftest import START, World, loop, question
from tests.unit.serving.decisions.trials import begun

SPEC = loop()
ALARM = (0, 0, 0, 0, 9)
HARMLESS = ("wait", "walk", "music", "cheer")


def switch(world: World, engine: DecisionEngine, is_open: bool) -> None:
    set_breaker(world.deployments, "coach", is_open, "it rang too often", "cli:eve", START)
    engine.refresh()


def test_the_active_model_decides_among_what_is_left(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    engine = world.engine(SPEC)
    before = engine.decide_many("default", [question(SPEC, who) for who in range(40)])
    assert sum(d.action_taken == "alarm" for d in before) > 20
    switch(world, engine, True)
    found = engine.decide_many("default", [question(SPEC, who) for who in range(40)])
    assert {d.action_taken for d in found} <= set(HARMLESS)
    assert {(d.valid_actions, d.model_version, d.fallback) for d in found} == {
        (HARMLESS, "coach-1", "")
    }
    assert {round(d.propensity, 6) for d in found} == {0.25}, "of what is left"
    switch(world, engine, False)
    after = engine.decide_many("default", [question(SPEC, who) for who in range(40)])
    assert sum(d.action_taken == "alarm" for d in after) > 20


def test_the_candidate_and_the_stand_ins_are_bound_by_it_too(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    world.deploy(SPEC, "coach-2", bias=ALARM, nan_above=0.5)
    begun(world, SPEC, "coach-3", "started", 50.0, bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    poison = {"x": 0.9, "group": "a"}
    found = engine.decide_many("default", [question(SPEC, who, poison) for who in range(60)])
    assert {d.model_version for d in found} == {"coach-1", "coach-3"}
    assert {d.valid_actions for d in found} == {HARMLESS}
    assert "alarm" not in {d.action_taken for d in found}


def test_who_asks_for_a_safety_critical_action_gets_no_action_for_certain(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    decision = engine.decide("default", question(SPEC, valid=["walk", "alarm", "wait"]))
    assert (decision.action_taken, decision.propensity) == ("wait", 1.0)
    assert (decision.valid_actions, decision.epsilon) == (("wait",), 0.0)
    assert (decision.model_version, decision.arm) == ("no_action", Arm.ACTIVE)
    told = "breaker_open: the safety breaker is open (it rang too often)"
    assert decision.fallback == told
    other = engine.decide("default", question(SPEC, valid=["walk", "wait"]))
    assert (other.model_version, other.fallback) == ("coach-1", "")


def test_where_nothing_cannot_be_done_it_is_uniform_over_what_is_harmless(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    decision = engine.decide("default", question(SPEC, valid=["walk", "music", "alarm"]))
    assert decision.valid_actions == ("walk", "music")
    assert (decision.propensity, decision.model_version) == (0.5, "uniform")


def test_where_only_safety_critical_actions_are_valid_it_is_asked_for_later(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    engine = world.engine(SPEC)
    switch(world, engine, True)
    with pytest.raises(ShouldRetryLater, match="breaker of loop 'coach' is open"):
        engine.decide("default", question(SPEC, valid=["alarm"]))
    switch(world, engine, False)
    assert engine.decide("default", question(SPEC, valid=["alarm"])).action_taken == "alarm"


def test_without_any_model_it_is_the_same(world: World) -> None:
    engine = world.engine(SPEC)
    switch(world, engine, True)
    named = engine.decide("default", question(SPEC, valid=["alarm", "wait"]))
    assert named.fallback.startswith("breaker_open")
    assert engine.decide("default", question(SPEC)).fallback.startswith("cold_start")


def test_what_the_breaker_decided_is_no_decision_of_the_candidates(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", "started", 100.0)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    decision = engine.decide("default", question(SPEC, valid=["alarm", "wait"]))
    assert (decision.arm, decision.model_version) == (Arm.ACTIVE, "no_action")
    assert engine.watch.tallies.taken() == ()


def test_the_shadow_sees_the_mask_that_served(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    engine.decide_many("default", [question(SPEC, who) for who in range(9)])
    engine.decide("default", question(SPEC, valid=["alarm", "wait"]))
    engine.watch.shadow.work()
    engine.watch.close()
    (tally,) = engine.watch.tallies.taken()
    assert tally.asked == 9
    assert "alarm" not in tally.actions


def test_decisions_under_an_open_breaker_can_be_confirmed_as_episodes(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    for valid in (None, ["wait", "alarm"], ["walk", "alarm"]):
        decision = engine.decide("default", question(SPEC, valid=valid))
        confirmed = ConfirmedDecision(decision_id=decision.decision_id)
        conform_episode(SPEC, confirmed_episode(decision, confirmed))


def test_safety_critical_actions_of_the_active_model_are_counted_where_it_had_a_choice(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    begun(world, SPEC, "coach-2", "started", 50.0, bias=(9, 0, 0, 0, 0))
    engine = world.engine(SPEC)
    found = engine.decide_many("default", [question(SPEC, who) for who in range(100)])
    engine.decide_many("default", [question(SPEC, who, valid=["alarm"]) for who in range(50)])
    mine = [d for d in found if d.arm is Arm.ACTIVE]
    share = engine.watch.critical_shares()["default", "coach"]
    assert share.decisions == len(mine)
    assert share.taken == sum(d.action_taken == "alarm" for d in mine) > 0
    engine.watch.forget_critical("default", "coach")
    assert engine.watch.critical_shares() == {}


def test_a_block_of_decisions_is_judged_without_those_before_it(world: World) -> None:
    engine = world.engine(SPEC)
    engine.watch.took("default", "coach", 0, 5000)
    engine.watch.took("default", "coach", 7, 10)
    share = engine.watch.critical_shares()["default", "coach"]
    assert (share.taken, share.decisions) == (7, 10)


def test_random_masks_never_let_one_through(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=ALARM)
    engine = world.engine(SPEC)
    switch(world, engine, True)
    rng = random.Random(11)
    actions = [*HARMLESS, "alarm"]
    for _ in range(60):
        valid = rng.sample(actions, rng.randint(2, 5))
        decision = engine.decide("default", question(SPEC, valid=valid))
        assert decision.action_taken != "alarm"
        assert "alarm" not in decision.valid_actions
        assert set(decision.valid_actions) <= set(valid)
