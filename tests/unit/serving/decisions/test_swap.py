"""Models come and go under load; what does not load never serves."""

from __future__ import annotations

import threading
import time

import pytest

from everloop.contracts.errors import EverloopError
from everloop.contracts.models import Provenance
from everloop.contracts.serving import Decision
from everloop.serving.decisions.engine import DecisionEngine
from tests.unit.serving.decisions.conftest import World, loop, question

SPEC = loop()


def version(engine: DecisionEngine) -> str:
    return engine.decide("default", question(SPEC)).model_version


def test_the_poller_follows_the_alias(world: World) -> None:
    engine = world.engine(SPEC, poll_s=0.02)
    assert version(engine) == "no_action"
    for name in ("coach-1", "coach-2"):
        world.deploy(SPEC, name)
        deadline = time.monotonic() + 10.0
        while version(engine) != name:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    engine.close()
    world.deploy(SPEC, "coach-3")
    time.sleep(0.1)
    assert version(engine) == "coach-2", "closed: it answers and looks no more"


def test_swaps_under_load_drop_and_delay_no_request(world: World) -> None:
    world.deploy(SPEC, "coach-0")
    spare = [world.checkpoint(SPEC, f"coach-{n}") for n in range(1, 6)]
    engine = world.engine(SPEC)
    stop = threading.Event()
    found: list[Decision] = []
    wrong: list[BaseException] = []

    def ask(who: int) -> None:
        mine = []
        try:
            while not stop.is_set():
                mine.append(engine.decide("default", question(SPEC, who)))
                mine += engine.decide_many("default", [question(SPEC, who) for _ in range(3)])
        except BaseException as problem:
            wrong.append(problem)
        found.extend(mine)

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for made in spare * 3:
        world.point(SPEC, made.checkpoint_id)
        engine.refresh()
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    versions = {decision.model_version for decision in found}
    assert versions <= {f"coach-{n}" for n in range(6)}
    assert len(versions) >= 3
    assert {decision.fallback for decision in found} == {""}
    assert all(abs(decision.propensity - 0.2) < 1e-6 for decision in found)
    assert not engine.counts().load_failures


def test_a_damaged_model_is_not_swapped_in_and_is_tried_again(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    engine = world.engine(SPEC)
    bad = world.checkpoint(SPEC, "coach-2")
    good = world.damage(bad)
    world.point(SPEC, bad.checkpoint_id)
    engine.refresh()
    decision = engine.decide("default", question(SPEC))
    assert decision.model_version == "coach-1"
    assert decision.fallback.startswith("active_failed: ")
    assert "is damaged" in decision.fallback
    state = engine.state("default", "coach")
    assert (state.active, state.standby) == (None, "coach-1")
    assert (state.active_checkpoint, state.generation) == (bad.checkpoint_id, 2)
    assert state.degraded.startswith("active: ")
    world.blob(bad).write_bytes(good)
    engine.refresh()
    assert version(engine) == "coach-1", "it waits a second before it tries again"
    world.clock.pass_(1.0)
    engine.refresh()
    assert version(engine) == "coach-2"
    assert engine.state("default", "coach").degraded == ""
    assert engine.counts().load_failures == {("coach", bad.checkpoint_id): 1}


def test_tries_are_spaced_further_and_further_up_to_a_minute(world: World) -> None:
    bad = world.deploy(SPEC, "coach-1")
    world.damage(bad)
    engine = world.engine(SPEC)
    tries = []
    for second in range(200):
        before = engine.counts().load_failures[("coach", bad.checkpoint_id)]
        engine.refresh()
        if engine.counts().load_failures[("coach", bad.checkpoint_id)] > before:
            tries.append(second)
        world.clock.pass_(1.0)
    assert tries == [1, 3, 7, 15, 31, 63, 123, 183]


def test_a_new_deployment_is_tried_at_once(world: World) -> None:
    bad = world.deploy(SPEC, "coach-1")
    good = world.damage(bad)
    engine = world.engine(SPEC)
    world.blob(bad).write_bytes(good)
    world.point(SPEC, bad.checkpoint_id)
    engine.refresh()
    assert version(engine) == "coach-1"


def test_after_a_restart_a_damaged_model_is_stood_in_for_by_an_earlier_one_that_verifies(
    world: World,
) -> None:
    world.deploy(SPEC, "coach-1")
    for name in ("coach-2", "coach-3"):
        world.damage(world.deploy(SPEC, name))
    decision = world.engine(SPEC).decide("default", question(SPEC))
    assert decision.model_version == "coach-1"
    assert decision.fallback.startswith("active_failed: ")


def test_a_model_that_was_rolled_back_never_comes_back_by_itself(world: World) -> None:
    first = world.deploy(SPEC, "coach-1")
    world.damage(first)
    world.deploy(SPEC, "coach-2")
    engine = world.engine(SPEC)
    assert version(engine) == "coach-2"
    world.point(SPEC, first.checkpoint_id)
    engine.refresh()
    decision = engine.decide("default", question(SPEC))
    assert (decision.model_version, decision.propensity) == ("no_action", 1.0)
    assert decision.fallback.startswith("standstill: ")


def test_a_file_damaged_after_its_model_was_loaded_does_not_matter(world: World) -> None:
    first = world.deploy(SPEC, "coach-1")
    world.deploy(SPEC, "coach-2")
    engine = world.engine(SPEC)
    world.damage(first)
    world.point(SPEC, first.checkpoint_id)
    engine.refresh()
    assert version(engine) == "coach-1", "the bytes in memory are those that were verified"


def test_nothing_that_verifies_ends_in_a_standstill_without_exploration(world: World) -> None:
    world.damage(world.deploy(SPEC, "coach-1"))
    engine = world.engine(SPEC)
    decision = engine.decide("default", question(SPEC))
    assert (decision.action_taken, decision.propensity) == ("wait", 1.0)
    assert "is damaged" in decision.fallback


def test_clearing_the_alias_takes_the_model_away(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    engine = world.engine(SPEC)
    world.point(SPEC, None)
    engine.refresh()
    decision = engine.decide("default", question(SPEC))
    assert decision.fallback == "cold_start: no model is deployed"


def test_a_candidate_that_does_not_load_leaves_everyone_to_the_active_model(world: World) -> None:
    world.deploy(SPEC, "coach-1")
    record = world.trial(SPEC, "coach-2", 100.0)
    world.damage(world.registry.checkpoint(record.candidate))
    engine = world.engine(SPEC)
    decision = engine.decide("default", question(SPEC))
    assert decision.model_version == "coach-1"
    assert decision.fallback.startswith("candidate_failed: ")
    assert engine.state("default", "coach").degraded.startswith("candidate: ")


def test_a_missing_model_an_unregistered_encoder_and_one_that_answers_nan_do_not_load(
    world: World,
) -> None:
    for name, policy, problem in (
        ("gone", {}, "cannot be read"),
        ("alien", {"encoder": "coach-000"}, "was trained for encoder"),
        ("broken", {"nan_above": -0.5}, "can't decide"),
        ("raw", {"provenance": Provenance.RAW_LOG}, "may not leave the trust boundary"),
    ):
        made = world.deploy(SPEC, name, **policy)
        if name == "gone":
            world.blob(made).unlink()
        engine = world.engine(SPEC)
        assert version(engine) == "no_action"
        assert problem in engine.state("default", "coach").degraded
        world.point(SPEC, None)


def test_what_is_known_serves_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deploy(SPEC, "coach-1")
    engine = world.engine(SPEC)

    def away(*_: object, **__: object) -> None:
        raise EverloopError("The database is away.")

    with monkeypatch.context() as patched:
        patched.setattr(world.deployments, "head", away)
        engine.refresh()
        assert version(engine) == "coach-1"
        assert "The database is away." in engine.state("default", "coach").degraded
        unknown = engine.decide("other", question(SPEC))
        assert (unknown.action_taken, unknown.propensity) == ("wait", 1.0)
        assert unknown.fallback.startswith("standstill: Deployments can't be read")
    engine.refresh()
    assert engine.state("default", "coach").degraded == ""
    assert engine.decide("other", question(SPEC)).model_version == "no_action"
