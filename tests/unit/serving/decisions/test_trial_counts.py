"""What is counted once people meet the candidate, and who is held out of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.rollouts import TrialTally
from everloop.rollout.assignment import arm_of
from everloop.rollout.health import merged
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.watching import GRACE_S
from tests.unit.serving.decisions.conftest import World, loop, person, question
from tests.unit.serving.decisions.trials import Odd, begun

SPEC = loop()
POISON = {"x": 0.9, "group": "a"}
WALK, MUSIC = (0, 9, 0, 0, 0), (0, 0, 9, 0, 0)


def counted(engine: DecisionEngine) -> TrialTally:
    engine.watch.shadow.close()
    return merged(engine.watch.tallies.taken(), "trial")


@pytest.mark.parametrize("state", ["started", "paused"])
def test_at_full_traffic_everybody_but_the_holdout_meets_the_candidate(
    world: World, state: str
) -> None:
    world.deploy(SPEC, "coach-1", bias=WALK)
    trial = begun(world, SPEC, "coach-2", state, 100.0, 20.0, bias=MUSIC)  # type: ignore[arg-type]
    engine = world.engine(SPEC)
    found = engine.decide_many("default", [question(SPEC, who) for who in range(200)])
    for who, decision in enumerate(found):
        expected = arm_of(person(who), trial, 100.0)
        assert decision.arm is expected
        assert decision.model_version == ("coach-2" if expected is Arm.CANDIDATE else "coach-1")
    arms = Counter(decision.arm for decision in found)
    assert set(arms) == {Arm.CANDIDATE, Arm.HOLDOUT}
    assert 17 < arms[Arm.HOLDOUT] < 63, "40 expected, 5.7 standard deviation"
    counts = counted(engine)
    assert counts.asked == arms[Arm.CANDIDATE]
    assert counts.actions == {"music": arms[Arm.CANDIDATE]}
    assert counts.active_actions == {"walk": arms[Arm.HOLDOUT]}
    assert sum(counts.latency.values()) == 1


def test_in_shadow_nobody_meets_it_and_the_holdout_is_on_record_already(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    trial = begun(world, SPEC, "coach-2", "shadow", 0.0, 30.0)
    engine = world.engine(SPEC)
    found = engine.decide_many("default", [question(SPEC, who) for who in range(60)])
    assert [d.arm for d in found] == [arm_of(person(who), trial, 0.0) for who in range(60)]
    assert {d.arm for d in found} == {Arm.ACTIVE, Arm.HOLDOUT}
    assert {d.model_version for d in found} == {"coach-1"}


def test_without_a_live_trial_nobody_is_held_out(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2", "started", 50.0, 50.0)
    engine = world.engine(SPEC)
    world.rollouts.end(record.rollout_id, "enough")
    engine.refresh()
    found = engine.decide_many("default", [question(SPEC, who) for who in range(30)])
    assert {d.arm for d in found} == {Arm.ACTIVE}


def test_whom_the_active_model_fails_is_still_held_out(world: World) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    begun(world, SPEC, "coach-2", "started", 100.0, 50.0)
    engine = world.engine(SPEC)
    found = engine.decide_many("default", [question(SPEC, who, POISON) for who in range(30)])
    assert {(d.arm, d.model_version) for d in found} == {
        (Arm.CANDIDATE, "coach-2"),
        (Arm.HOLDOUT, "no_action"),
    }


def test_a_failing_call_for_one_person_is_one_failure(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", "started", 100.0, nan_above=0.5)
    engine = world.engine(SPEC)
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert (decision.arm, decision.model_version) == (Arm.ACTIVE, "coach-1")
    counts = counted(engine)
    assert (counts.asked, counts.invalid, counts.failed) == (1, 1, 0)


def test_a_failing_call_for_many_is_one_failure_and_those_of_its_states(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", "started", 100.0)
    engine = world.engine(SPEC)
    slot = engine._slots["default", "coach"]
    odd = Odd((0.2,) * 5, fails_above=0.5).served()
    slot.serving = replace(slot.serving, candidate=odd)
    asked = [question(SPEC, who, POISON if who == 3 else None) for who in range(10)]
    found = engine.decide_many("default", asked)
    assert {d.model_version for d in found} == {"coach-1"}
    engine.watch.shadow.work()
    counts = counted(engine)
    assert (counts.asked, counts.failed, counts.invalid) == (11, 2, 0)


def test_whom_a_candidate_that_is_left_alone_should_have_decided_for_it_failed(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", "started", 100.0, nan_above=0.5)
    engine = world.engine(SPEC)
    for _ in range(3):
        engine.decide("default", question(SPEC, context=POISON))
    engine.decide_many("default", [question(SPEC, who) for who in range(7)])
    counts = counted(engine)
    assert (counts.asked, counts.invalid, counts.failed) == (10, 3, 7)


def test_a_candidate_that_did_not_load_fails_whom_it_should_have_decided_for(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2", "started", 100.0)
    world.damage(world.registry.checkpoint(record.candidate))
    engine = world.engine(SPEC)
    engine.decide_many("default", [question(SPEC, who) for who in range(2)])
    world.clock.pass_(GRACE_S)
    engine.decide_many("default", [question(SPEC, who) for who in range(4)])
    counts = counted(engine)
    assert (counts.asked, counts.dropped, counts.failed) == (6, 2, 4)
    assert counts.active_actions == {"wait": 6}


def test_counts_reach_the_workspace_when_they_are_flushed_and_at_the_end(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2", "started", 100.0)
    one, two = world.engine(SPEC), world.engine(SPEC)
    one.decide("default", question(SPEC))
    one.flush()
    assert merged(world.tallies.tallies(record.rollout_id, "trial"), "trial").asked == 1
    one.decide("default", question(SPEC))
    two.decide_many("default", [question(SPEC, who) for who in range(3)])
    one.close()
    two.close()
    stored = world.tallies.tallies(record.rollout_id, "trial")
    assert len(stored) == 2, "one of each worker"
    assert merged(stored, "trial").asked == 5


def test_a_database_that_is_away_keeps_no_decision_from_being_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2", "started", 100.0)
    engine = world.engine(SPEC)
    engine.decide("default", question(SPEC))

    def away(*_: object) -> None:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.tallies), "add", away)
        engine.flush()
    assert engine.decide("default", question(SPEC)).model_version == "coach-2"
    engine.flush()
    assert merged(world.tallies.tallies(record.rollout_id, "trial"), "trial").asked == 2


def test_a_candidate_that_loads_after_a_moment_has_its_grace_again(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", "started", 100.0)
    engine = world.engine(SPEC)
    slot = engine._slots["default", "coach"]
    loaded = slot.serving
    for _ in range(2):
        slot.serving = replace(loaded, candidate=None)
        engine.decide("default", question(SPEC))
        slot.serving = loaded
        engine.decide("default", question(SPEC))
        world.clock.pass_(2 * GRACE_S)
    counts = counted(engine)
    assert (counts.asked, counts.dropped, counts.failed) == (4, 2, 0)
