"""Models that fail while they answer: who steps in, and when they are asked again."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import PolicyOutput, States
from everloop.rollout.assignment import in_trial
from everloop.serving.decisions.breaker import CircuitBreaker
from everloop.serving.decisions.models import ServedModel, rehearse
from tests.unit.serving.decisions.conftest import World, loop, person, question

SPEC = loop()
POISON = {"x": 0.9, "group": "a"}
"""States above .5 make the poisoned models answer NaN."""


def test_without_another_model_a_failing_one_is_stood_in_for_by_doing_nothing(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    engine = world.engine(SPEC)
    for _ in range(3):
        decision = engine.decide("default", question(SPEC, context=POISON))
        assert (decision.action_taken, decision.propensity) == ("wait", 1.0)
        assert (decision.valid_actions, decision.epsilon) == (("wait",), 0.0)
        assert (decision.model_version, decision.arm) == ("no_action", Arm.ACTIVE)
        assert decision.fallback.startswith("standstill: coach-1 failed: Policy coach-1 answered")
    assert engine.counts().breaker_openings == {("coach", "coach-1"): 1}
    healthy = engine.decide("default", question(SPEC))
    assert healthy.fallback == "standstill: coach-1 keeps failing and is left alone"
    state = engine.state("default", "coach")
    assert state.open_breakers == ("coach-1",)
    assert "coach-1 keeps failing" in state.degraded
    world.clock.pass_(10.0)
    assert engine.decide("default", question(SPEC)).model_version == "coach-1"
    assert engine.state("default", "coach").degraded == ""
    assert engine.decide("default", question(SPEC)).fallback == ""


def test_where_nothing_cannot_be_done_a_standstill_is_uniform_over_what_is_harmless(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    engine = world.engine(SPEC)
    asked = question(SPEC, context=POISON, valid=["walk", "music", "alarm"])
    decision = engine.decide("default", asked)
    assert decision.action_taken in {"walk", "music"}
    assert (decision.model_version, decision.propensity) == ("uniform", 0.5)
    assert decision.valid_actions == ("walk", "music")


def test_a_failed_try_opens_the_breaker_again(world: World) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    engine = world.engine(SPEC)
    for _ in range(3):
        engine.decide("default", question(SPEC, context=POISON))
    world.clock.pass_(10.0)
    assert "failed" in engine.decide("default", question(SPEC, context=POISON)).fallback
    assert "left alone" in engine.decide("default", question(SPEC)).fallback
    assert engine.counts().breaker_openings == {("coach", "coach-1"): 1}


def test_a_failing_candidate_leaves_its_people_to_the_active_model(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    rollout = world.trial(SPEC, "coach-2", 50.0, nan_above=0.5)
    engine = world.engine(SPEC)
    tried = [who for who in range(40) if in_trial(person(who), rollout)]
    spared = [who for who in range(40) if who not in tried]
    found = engine.decide_many("default", [question(SPEC, who, POISON) for who in range(40)])
    for who in range(40):
        assert (found[who].arm, found[who].model_version) == (Arm.ACTIVE, "coach-1")
    assert all(found[who].fallback.startswith("candidate_failed: coach-2") for who in tried)
    assert all(found[who].fallback == "" for who in spared)
    assert engine.decide("default", question(SPEC, tried[0])).arm is Arm.CANDIDATE
    for _ in range(3):
        engine.decide("default", question(SPEC, tried[0], POISON))
    assert engine.decide("default", question(SPEC, tried[0])).arm is Arm.ACTIVE
    assert engine.decide("default", question(SPEC, spared[0])).fallback == ""
    world.clock.pass_(10.0)
    assert engine.decide("default", question(SPEC, tried[0])).arm is Arm.CANDIDATE


def test_a_failing_active_model_is_stood_in_for_by_the_last_good_one(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    world.deploy(SPEC, "coach-2", nan_above=0.5)
    engine = world.engine(SPEC)
    assert engine.decide("default", question(SPEC)).model_version == "coach-2"
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert (decision.model_version, decision.arm) == ("coach-1", Arm.ACTIVE)
    assert decision.fallback.startswith("active_failed: coach-2 failed")
    assert decision.valid_actions == SPEC.action_ids, "a trained model decides, so all may be"
    assert engine.state("default", "coach").standby == "coach-1"


def test_all_models_failing_ends_in_doing_nothing_and_says_why(world: World) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    world.deploy(SPEC, "coach-2", nan_above=0.5)
    world.trial(SPEC, "coach-3", 100.0, nan_above=0.5)
    engine = world.engine(SPEC)
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert (decision.action_taken, decision.propensity) == ("wait", 1.0)
    why = decision.fallback.removeprefix("standstill: ").split("; ")
    assert [reason.partition(" ")[0] for reason in why] == ["coach-3", "coach-2", "coach-1"]


def test_the_first_candidate_failing_leaves_its_people_to_the_cold_start(world: World) -> None:
    world.trial(SPEC, "coach-1", 100.0, nan_above=0.5)
    engine = world.engine(SPEC)
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert (decision.model_version, decision.epsilon) == ("no_action", 0.3)
    assert decision.fallback.startswith("candidate_failed: coach-1 failed")


class Answering:
    """A policy that answers what it is told to."""

    version, encoder = "fake", "fake"

    def __init__(self, propensity: object) -> None:
        self._propensity = propensity

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        if isinstance(self._propensity, Exception):
            raise self._propensity
        found = np.array(self._propensity, dtype=np.float64)
        return PolicyOutput(found, found, np.zeros(len(found)))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([[0.5, 0.5]], r"answered shape \(1, 2\), not \(1, 5\)"),
        ([[0.2, 0.2, 0.2, 0.2, np.nan]], "answered NaN"),
        ([[0.2, 0.2, 0.2, 0.2, 0.1]], "do not sum to 1"),
        ([[1.2, -0.2, 0, 0, 0]], "a negative probability"),
        ([[np.inf, 0, 0, 0, 0]], "do not sum to 1"),
        (RuntimeError("out of memory"), "out of memory"),
    ],
)
def test_an_answer_that_is_no_policys_is_a_failure(answer: object, problem: str) -> None:
    model = ServedModel("x", Answering(answer), CircuitBreaker())
    with pytest.raises(ShouldRestoreArtefact, match=problem):
        rehearse(model, SPEC)


def test_a_probability_of_an_invalid_action_is_a_failure() -> None:
    model = ServedModel("x", Answering([[0.5, 0.5, 0, 0, 0]]), CircuitBreaker())
    mask = np.array([[True, False, True, False, False]])
    with pytest.raises(ShouldRestoreArtefact, match="invalid action"):
        model.propensities(States(np.zeros((1, 5), dtype=np.float32), mask), 0.1)
