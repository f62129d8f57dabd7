"""Who decides, with what probability, for which tenant."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from everloop.contracts.episodes import Arm, Episode
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldRetryLater
from everloop.intake.conformity import conform_episode
from everloop.rollout.assignment import in_trial
from everloop.serving.decisions.stats import DecisionLabel
from tests.unit.serving.decisions.conftest import START, World, loop, person, question

SPEC = loop(exploration={"start": 0.3, "serving_floor": 0.1})
BIAS = (0.0, 1.0, 2.0, -1.0, 0.5)


def softmax(values: list[float]) -> list[float]:
    top = [math.exp(v) for v in values]
    return [t / sum(top) for t in top]


def test_before_the_first_model_it_explores_around_doing_nothing(world: World) -> None:
    engine = world.engine(SPEC)
    found = [engine.decide("default", question(SPEC, who)) for who in range(400)]
    for decision in found:
        assert decision.model_version == "no_action"
        assert decision.arm is Arm.ACTIVE
        assert decision.epsilon == 0.3
        assert decision.valid_actions == ("wait", "walk", "music", "cheer")
        quiet = decision.action_taken == "wait"
        assert decision.propensity == pytest.approx(0.775 if quiet else 0.075, abs=1e-15)
        assert decision.fallback == "cold_start: no model is deployed"
    taken = Counter(decision.action_taken for decision in found)
    assert set(taken) == {"wait", "walk", "music", "cheer"}
    assert 280 < taken["wait"] < 340, "310 expected, 8.4 standard deviation"
    state = engine.state("default", "coach")
    assert (state.active, state.generation, state.degraded) == (None, 0, "")


def test_safety_critical_alone_without_a_model_is_refused(world: World) -> None:
    engine = world.engine(SPEC)
    with pytest.raises(ShouldRetryLater, match="safety-critical"):
        engine.decide("default", question(SPEC, valid=["alarm"]))
    world.deploy(SPEC, "coach-1")
    engine.refresh()
    decision = engine.decide("default", question(SPEC, valid=["alarm"]))
    assert (decision.action_taken, decision.propensity) == ("alarm", 1.0)


def test_the_active_model_decides_with_the_propensity_computed_by_hand(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=BIAS)
    engine = world.engine(SPEC)
    pi = softmax([BIAS[0], BIAS[2], BIAS[4]])
    for who in range(50):
        decision = engine.decide("default", question(SPEC, who, valid=["alarm", "wait", "music"]))
        assert decision.valid_actions == ("wait", "music", "alarm"), "in catalogue order"
        place = decision.valid_actions.index(decision.action_taken)
        assert decision.epsilon == 0.3, "no episode was logged yet"
        assert decision.propensity == pytest.approx(0.7 * pi[place] + 0.1, abs=1e-6)
        assert (decision.model_version, decision.fallback) == ("coach-1", "")
        assert (decision.timestamp, decision.tenant) == (START, "default")


def test_the_logged_propensity_is_the_frequency(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=BIAS)
    engine = world.engine(SPEC, seed=5)
    n = 20_000
    decisions = engine.decide_many("default", [question(SPEC) for _ in range(n)])
    logged = {decision.action_taken: decision.propensity for decision in decisions}
    assert sum(logged.values()) == pytest.approx(1.0, abs=1e-9)
    taken = Counter(decision.action_taken for decision in decisions)
    chi = sum((taken[a] - n * p) ** 2 / (n * p) for a, p in logged.items())
    assert chi < 18.47, "the .999 quantile of chi-square with 4 degrees of freedom"


def test_one_by_one_and_together_the_same_numbers_draw_the_same(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=BIAS)
    asked = [question(SPEC, who, {"x": who / 50, "group": "b"}) for who in range(50)]
    together = world.engine(SPEC, seed=3).decide_many("default", asked)
    alone = world.engine(SPEC, seed=3)
    assert together == [alone.decide("default", asked_one) for asked_one in asked]


def test_a_decision_can_be_confirmed_as_an_episode(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=BIAS)
    engine = world.engine(SPEC)
    asked = question(SPEC, valid=["music", "wait"], action_arguments={"item": 7})
    decision = engine.decide("default", asked)
    episode = Episode(
        episode_id=decision.decision_id,
        user_id=decision.user_id,
        loop=decision.loop,
        context_snapshot=decision.context_snapshot,
        action_taken=decision.action_taken,
        timestamp=decision.timestamp,
        model_version=decision.model_version,
        propensity=decision.propensity,
        valid_actions=decision.valid_actions,
        action_arguments=decision.action_arguments,
    )
    assert conform_episode(SPEC, episode) is episode
    assert episode.action_arguments == {"item": 7}
    assert decision.request_sha256 == asked.request_sha256


def test_people_stick_to_their_arm(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    rollout = world.trial(SPEC, "coach-2", 30.0)
    engine = world.engine(SPEC)
    arms = {}
    for who in range(300):
        decision = engine.decide("default", question(SPEC, who))
        arms[who] = decision.arm
        expected = in_trial(person(who), rollout)
        assert decision.arm is (Arm.CANDIDATE if expected else Arm.ACTIVE)
        assert decision.model_version == ("coach-2" if expected else "coach-1")
        assert decision.fallback == ""
    assert 60 < sum(arm is Arm.CANDIDATE for arm in arms.values()) < 120
    again = world.engine(SPEC, seed=99)  # another process
    batch = again.decide_many("default", [question(SPEC, who) for who in range(300)])
    assert {who: decision.arm for who, decision in enumerate(batch)} == arms
    state = engine.state("default", "coach")
    assert (state.active, state.candidate, state.traffic_percent) == ("coach-1", "coach-2", 30.0)
    assert (state.rollout_id, state.candidate_checkpoint) == (rollout.rollout_id, rollout.candidate)


def test_a_candidate_that_is_active_is_no_trial(world: World) -> None:
    rollout = world.trial(SPEC, "coach-1", 100.0)
    world.point(SPEC, rollout.candidate)
    decision = world.engine(SPEC).decide("default", question(SPEC))
    assert (decision.arm, decision.model_version) == (Arm.ACTIVE, "coach-1")


def test_the_first_trial_of_all_runs_beside_the_cold_start(world: World) -> None:
    rollout = world.trial(SPEC, "coach-1", 50.0)
    engine = world.engine(SPEC)
    asked = [question(SPEC, who) for who in range(60)]
    for who, decision in enumerate(engine.decide_many("default", asked)):
        if in_trial(person(who), rollout):
            assert (decision.arm, decision.model_version) == (Arm.CANDIDATE, "coach-1")
        else:
            assert (decision.arm, decision.model_version) == (Arm.ACTIVE, "no_action")


def test_exploration_falls_as_episodes_are_logged(world: World) -> None:
    spec = loop(
        exploration={"start": 0.3, "serving_floor": 0.1},
        serving={"exploration_halves_after": 100},
    )
    world.deploy(spec, "coach-1")
    engine = world.engine(spec)
    for episodes, epsilon in ((0, 0.3), (100, 0.2), (300, 0.125)):
        world.jobs.episodes["coach"] = world.jobs.last = episodes
        engine.refresh()
        decision = engine.decide("default", question(spec))
        assert decision.epsilon == pytest.approx(epsilon, abs=1e-12)
        assert decision.propensity == pytest.approx(0.2, abs=1e-6), "all are equal"
    asked = world.jobs.questions
    world.jobs.last += 3  # one per cent
    engine.refresh()
    assert world.jobs.questions == asked, "counting costs, and nothing would change"
    world.jobs.last += 1
    engine.refresh()
    assert world.jobs.questions == asked + 1
    world.jobs.episodes["coach"] = world.jobs.last = 100_000
    engine.refresh()
    world.jobs.last *= 10
    engine.refresh()
    assert world.jobs.questions == asked + 2, "at the floor nobody counts on"
    assert engine.state("default", "coach").epsilon == pytest.approx(0.1, abs=1e-6)


def test_tenants_have_models_of_their_own(world: World) -> None:
    world.deploy(SPEC, "theirs-1", tenant="theirs")
    engine = world.engine(SPEC)
    assert not engine.is_ready("theirs", "coach")
    engine.prepare("theirs", "coach")
    assert engine.is_ready("theirs", "coach")
    theirs = engine.decide("theirs", question(SPEC))
    ours = engine.decide("default", question(SPEC))
    assert (theirs.model_version, theirs.tenant) == ("theirs-1", "theirs")
    assert (ours.model_version, ours.tenant) == ("no_action", "default")
    world.deploy(SPEC, "ours-1")
    world.deploy(SPEC, "theirs-2", tenant="theirs")
    engine.refresh()
    assert engine.decide("theirs", question(SPEC)).model_version == "theirs-2"
    assert engine.decide("default", question(SPEC)).model_version == "ours-1"
    assert [(s.tenant, s.active) for s in engine.states()] == [
        ("default", "ours-1"),
        ("theirs", "theirs-2"),
    ]


def test_idle_and_surplus_tenants_are_let_go_of_and_come_back(world: World) -> None:
    engine = world.engine(SPEC, most=3, idle_s=60.0)
    for tenant in ("a", "b"):
        engine.decide(tenant, question(SPEC))
        world.clock.pass_(1.0)
    engine.decide("a", question(SPEC))
    engine.decide("c", question(SPEC))
    assert [engine.is_ready(t, "coach") for t in ("default", "a", "b", "c")] == [
        True,
        True,
        False,
        True,
    ]
    world.clock.pass_(61.0)
    engine.refresh()
    assert [engine.is_ready(t, "coach") for t in ("default", "a", "c")] == [True, False, False]
    world.deploy(SPEC, "b-1", tenant="b")
    assert engine.decide("b", question(SPEC)).model_version == "b-1"


def test_a_batch_may_mix_loops_and_is_whole_or_refused(world: World) -> None:
    other = loop("guide")
    world.deploy(SPEC, "coach-1")
    world.deploy(other, "guide-1")
    engine = world.engine(SPEC, other)
    asked = [question(spec, who) for who, spec in enumerate((other, SPEC, other, SPEC))]
    found = engine.decide_many("default", asked)
    assert [d.model_version for d in found] == ["guide-1", "coach-1", "guide-1", "coach-1"]
    assert [d.decision_id for d in found] == [q.decision_id for q in asked]
    wrong = [*asked[:3], question(SPEC, context={"x": 9, "group": "a"})]
    with pytest.raises(ShouldFixArgument, match=r"^decisions\[3\]: context\.x=9 is outside"):
        engine.decide_many("default", wrong)
    assert engine.decide_many("default", []) == []
    with pytest.raises(ShouldNameKnownId, match="no loop 'third'"):
        engine.decide("default", question(loop("third")))


def test_decisions_are_counted(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    rollout = world.trial(SPEC, "coach-2", 40.0)
    engine = world.engine(SPEC)
    found = engine.decide_many("default", [question(SPEC, who) for who in range(50)])
    cold = engine.decide("other", question(SPEC))
    assert engine.counts().decisions == {}
    engine.stored([*found, cold])
    tried = sum(in_trial(person(who), rollout) for who in range(50))
    assert engine.counts().decisions == {
        DecisionLabel("coach", Arm.CANDIDATE, "coach-2", ""): tried,
        DecisionLabel("coach", Arm.ACTIVE, "coach-1", ""): 50 - tried,
        DecisionLabel("coach", Arm.ACTIVE, "no_action", "cold_start"): 1,
    }


def test_answers_do_not_depend_on_who_else_is_in_the_batch(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=BIAS)
    engine = world.engine(SPEC)
    masks = [None, ["wait"], ["walk", "music"], ["alarm", "cheer", "wait"]] * 5
    asked = [question(SPEC, who, valid=valid) for who, valid in enumerate(masks)]
    for decision in engine.decide_many("default", asked):
        index = [SPEC.action_index[a] for a in decision.valid_actions]
        pi = softmax([BIAS[i] for i in index])
        wanted = 0.7 * np.array(pi) + 0.3 / len(index)
        place = decision.valid_actions.index(decision.action_taken)
        assert decision.propensity == pytest.approx(wanted[place], abs=1e-6)
