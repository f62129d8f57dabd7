"""The candidate decides unseen: what is counted, and that nobody notices."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.models import States
from everloop.contracts.rollouts import RolloutRecord, TrialTally
from everloop.rollout.health import merged
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.question import Catalogue
from everloop.serving.decisions.shadow import TOGETHER, Shadow, Unseen
from everloop.serving.decisions.tallying import Tallies
from everloop.serving.decisions.watching import GRACE_S
from tests.unit.serving.decisions.conftest import START, World, loop, question
from tests.unit.serving.decisions.trials import Odd, begun

SPEC = loop()
CATALOGUE = Catalogue(SPEC)
POISON = {"x": 0.9, "group": "a"}
EVEN = (0.2, 0.2, 0.2, 0.2, 0.2)
TRIAL = RolloutRecord("r-1", "coach", "c", "a", "shadow", 0.0, ("x",), START)


def shadowed(engine: DecisionEngine) -> TrialTally:
    """What the engine's shadow counts once it has caught up."""
    engine.watch.shadow.work()
    return merged(engine.watch.tallies.taken(), "shadow")


def quiet(world: World, **more: Any) -> DecisionEngine:
    """An engine whose shadow works only when a test says so."""
    engine = world.engine(SPEC, **more)
    engine.watch.shadow = Shadow(engine.watch.tallies)
    return engine


def unseen(odd: Odd, n: int = 1, x: float = 0.0, **changes: Any) -> Unseen:
    context = np.zeros((n, 4), dtype=np.float32)
    context[:, 0] = x
    states = States(context, np.ones((n, 5), dtype=np.bool_))
    likely = np.zeros(n, dtype=np.int64)
    made = Unseen(
        CATALOGUE, TRIAL, "shadow", changes.pop("model", None) or odd.served(), 0.1, states, likely
    )
    return replace(made, **changes)


def test_every_answered_question_is_put_to_the_candidate_unseen(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 3, 0, 0, 0))
    begun(world, SPEC, "coach-2", bias=(0, 0, 3, 0, 0))
    engine = quiet(world)
    questions = [question(SPEC, who) for who in range(5)]
    questions += [question(SPEC, who, valid=["wait", "walk"]) for who in range(3)]
    found = engine.decide_many("default", questions)
    assert {(d.arm, d.model_version, d.fallback) for d in found} == {(Arm.ACTIVE, "coach-1", "")}
    counts = shadowed(engine)
    assert (counts.asked, counts.answered, counts.failed, counts.dropped) == (8, 8, 0, 0)
    assert counts.active_actions == {"walk": 8}
    assert counts.actions == {"music": 5, "wait": 3}, "with the masks that served"
    assert counts.agreed == 0
    assert sum(counts.latency.values()) == 1, "one call"


def test_agreement_counts_the_most_likely_actions_and_not_the_draws(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 0.1, 0, 0, 0))
    begun(world, SPEC, "coach-2", bias=(0, 0.2, 0, 0, 0))
    engine = quiet(world)
    drawn = engine.decide_many("default", [question(SPEC, who) for who in range(50)])
    assert len({decision.action_taken for decision in drawn}) > 1
    counts = shadowed(engine)
    assert (counts.agreed, counts.actions) == (50, {"walk": 50})


def test_a_shadow_changes_no_answer(world: World) -> None:
    world.deploy(SPEC, "coach-1", bias=(0, 1, 2, 0, 0))
    asked = [question(SPEC, who) for who in range(40)]
    before = world.engine(SPEC, seed=3).decide_many("default", asked)
    begun(world, SPEC, "coach-2", bias=(5, 0, 0, 0, 0), nan_above=0.5)
    assert world.engine(SPEC, seed=3).decide_many("default", asked) == before


def test_a_candidate_that_answers_nan_in_shadow_reaches_nobody_and_is_counted(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2", nan_above=0.5)
    engine = quiet(world)
    asked = [question(SPEC, who, POISON if who % 4 == 0 else None) for who in range(40)]
    found = engine.decide_many("default", asked)
    assert {(d.model_version, d.fallback) for d in found} == {("coach-1", "")}
    counts = shadowed(engine)
    assert (counts.asked, counts.invalid, counts.failed) == (40, 10, 0), "each state by itself"
    assert engine.counts().breaker_openings == {}, "its people-facing breaker is left alone"


def test_what_the_active_model_did_not_answer_is_no_agreement(world: World) -> None:
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    begun(world, SPEC, "coach-2")
    engine = quiet(world)
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert decision.fallback.startswith("standstill")
    counts = shadowed(engine)
    assert (counts.asked, counts.agreed, counts.active_actions) == (1, 0, {})
    assert sum(counts.actions.values()) == 1


def test_what_stands_in_for_the_active_model_is_what_the_candidate_is_compared_with(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-0", bias=(0, 3, 0, 0, 0))
    world.deploy(SPEC, "coach-1", nan_above=0.5)
    begun(world, SPEC, "coach-2", bias=(0, 3, 0, 0, 0))
    engine = quiet(world)
    decision = engine.decide("default", question(SPEC, context=POISON))
    assert decision.model_version == "coach-0"
    counts = shadowed(engine)
    assert (counts.agreed, counts.active_actions) == (1, {"walk": 1})


def test_the_first_of_equally_likely_ones_counts_where_nothing_is_preferred(world: World) -> None:
    begun(world, SPEC, "coach-1", bias=(0, 3, 0, 0, 0))
    engine = quiet(world)
    engine.decide_many("default", [question(SPEC, valid=["walk", "music"]) for _ in range(20)])
    counts = shadowed(engine)
    assert (counts.agreed, counts.active_actions) == (20, {"walk": 20})


def test_a_candidate_that_did_not_load_should_have_been_asked(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = begun(world, SPEC, "coach-2")
    world.damage(world.registry.checkpoint(record.candidate))
    engine = quiet(world)
    engine.decide_many("default", [question(SPEC, who) for who in range(6)])
    counts = shadowed(engine)
    assert (counts.asked, counts.failed, counts.dropped) == (6, 0, 6), "it may yet load"
    world.clock.pass_(GRACE_S)
    engine.decide_many("default", [question(SPEC, who) for who in range(3)])
    counts = shadowed(engine)
    assert (counts.asked, counts.failed, counts.dropped, counts.answered) == (9, 3, 6, 0)


def test_without_a_trial_nothing_is_counted(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    engine = world.engine(SPEC)
    engine.decide("default", question(SPEC))
    assert engine.watch.tallies.taken() == ()


def test_a_full_queue_drops_and_counts() -> None:
    tallies, odd = Tallies(), Odd(EVEN)
    shadow = Shadow(tallies, waiting=10)
    model = odd.served()
    for _ in range(3):
        shadow.offer(unseen(odd, 4, model=model))
    assert shadow.waiting == 8
    counts = merged(tallies.taken(), "shadow")
    assert (counts.asked, counts.dropped) == (4, 4)
    assert shadow.work() == 8
    counts = merged(tallies.taken(), "shadow")
    assert (counts.asked, counts.dropped, counts.answered, shadow.waiting) == (12, 4, 8, 0)


def test_what_waits_when_it_is_closed_is_dropped_and_nothing_is_taken_any_more() -> None:
    tallies, odd = Tallies(), Odd(EVEN)
    shadow = Shadow(tallies)
    shadow.offer(unseen(odd, 3))
    shadow.close()
    shadow.offer(unseen(odd, 2))
    counts = merged(tallies.taken(), "shadow")
    assert (counts.asked, counts.dropped, odd.asked) == (5, 5, [])


def test_questions_go_together_in_calls_of_bounded_size() -> None:
    tallies, odd = Tallies(), Odd(EVEN)
    shadow, model = Shadow(tallies), odd.served()
    for _ in range(TOGETHER + 3):
        shadow.offer(unseen(odd, model=model))
    shadow.offer(unseen(odd, 2 * TOGETHER, model=model))
    shadow.offer(unseen(odd, model=odd.served()))
    shadow.work()
    assert [len(s.mask) for s in odd.asked] == [TOGETHER, 3, 2 * TOGETHER, 1]
    assert merged(tallies.taken(), "shadow").asked == 3 * TOGETHER + 4


@pytest.mark.parametrize("phase", ["shadow", "trial"])
def test_phases_and_trials_are_not_mixed(phase: str) -> None:
    tallies, odd = Tallies(), Odd(EVEN)
    shadow, model = Shadow(tallies), odd.served()
    shadow.offer(unseen(odd, model=model))
    shadow.offer(unseen(odd, model=model, phase="trial"))
    shadow.offer(unseen(odd, model=model, trial=replace(TRIAL, rollout_id="r-2"), phase="trial"))
    shadow.work()
    assert len(odd.asked) == 3
    mine = [t for t in tallies.taken() if t.rollout_id == "r-1"]
    assert merged(mine, phase).asked == 1


def test_one_state_that_raises_is_one_failure_and_not_a_batch_of_them() -> None:
    tallies, odd = Tallies(), Odd(EVEN, fails_above=0.5)
    shadow, model = Shadow(tallies), odd.served()
    for x in (0.0, 0.9, 0.0, 0.0):
        shadow.offer(unseen(odd, x=x, model=model))
    shadow.work()
    counts = merged(tallies.taken(), "shadow")
    assert (counts.asked, counts.failed, counts.invalid, counts.answered) == (4, 1, 0, 3)


def test_a_slow_candidate_is_measured_and_waited_for_by_nobody(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    begun(world, SPEC, "coach-2")
    engine = quiet(world)
    slow = Odd(EVEN, slow_s=0.06).served()
    slot = engine._slots["default", "coach"]
    slot.serving = replace(slot.serving, candidate=slow)
    deciding = threading.get_ident()
    asked_by: list[int] = []
    act = slow.policy.act

    def noting(states: States, epsilon: float) -> Any:
        asked_by.append(threading.get_ident())
        return act(states, epsilon)

    slow.policy.act = noting  # type: ignore[method-assign]
    engine.decide("default", question(SPEC))
    assert asked_by == [], "nothing was asked while somebody waited"
    worker = threading.Thread(target=engine.watch.shadow.work)
    worker.start()
    worker.join()
    assert asked_by
    assert deciding not in asked_by
    (edge,) = merged(engine.watch.tallies.taken(), "shadow").latency
    assert float(edge) >= 100


def test_the_thread_asks_by_itself() -> None:
    tallies, odd = Tallies(), Odd(EVEN)
    shadow, model = Shadow(tallies), odd.served()
    asked = threading.Event()
    act = odd.act

    def noting(states: States, epsilon: float) -> Any:
        asked.set()
        return act(states, epsilon)

    odd.act = noting  # type: ignore[method-assign]
    shadow.start()
    for _ in range(5):
        shadow.offer(unseen(odd, model=model))
    assert asked.wait(10)
    shadow.close()
    assert merged(tallies.taken(), "shadow").asked == 5


def test_questions_for_two_models_are_two_calls() -> None:
    tallies, one, two = Tallies(), Odd(EVEN), Odd(EVEN)
    shadow = Shadow(tallies)
    shadow.offer(unseen(one))
    shadow.offer(unseen(two))
    shadow.work()
    assert [len(s.mask) for odd in (one, two) for s in odd.asked] == [1, 1]
