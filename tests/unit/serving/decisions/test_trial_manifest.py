"""A person on trial meets the whole candidate, everybody else what serves: no mixture of the two."""

from __future__ import annotations

import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import RolloutRecord, RolloutState, Stay
from everloop.registry.manifest import manifest_of
from everloop.serving.decisions.deployment import Deployed, read_deployed
from everloop.serving.decisions.engine import DecisionEngine
from tests.unit.serving.decisions.conftest import START, World, question
from tests.unit.serving.decisions.test_slates import SPEC, Pairings, people, slate_of


@pytest.fixture
def pairings(world: World) -> Pairings:
    world.deploy(SPEC, "policy-1")
    made = Pairings(world)
    made.deploy("pairing-1")
    return made


def tried(
    world: World,
    *parts: ModelCheckpoint,
    state: RolloutState = "started",
    percent: float = 50.0,
    manifest: bool = True,
) -> RolloutRecord:
    """A live trial of some checkpoints, the first of them the policy."""
    made = manifest_of(parts, START)
    if manifest:
        world.deployments.record(made)
    return world.rollouts.start(
        RolloutRecord(
            rollout_id="trial",
            loop=SPEC.name,
            candidate=parts[0].checkpoint_id,
            active=None,
            state=state,
            traffic_percent=percent,
            reasons=(),
            recorded_at=START,
            deployment_id=made.deployment_id if manifest else "",
            history=(Stay(state, percent, START),),
        )
    )


def met(engine: DecisionEngine) -> dict[Arm, set[tuple[str, str]]]:
    """Arm -> the pairs of policy and pairing model that decided in it."""
    found: dict[Arm, set[tuple[str, str]]] = {}
    for who in range(40):
        asked = question(SPEC, who, valid=("pair-three",), candidates=people(5))
        decision = engine.decide("default", asked)
        pair = (decision.model_version, str(slate_of(decision)["model_version"]))
        found.setdefault(decision.arm, set()).add(pair)
    return found


def test_each_arm_has_its_own_policy_and_pairing_model(world: World, pairings: Pairings) -> None:
    tried(world, world.checkpoint(SPEC, "policy-2"), pairings.checkpoint("pairing-2"))
    engine = pairings.engine()
    assert met(engine) == {
        Arm.ACTIVE: {("policy-1", "pairing-1")},
        Arm.CANDIDATE: {("policy-2", "pairing-2")},
    }
    assert engine.state("default", SPEC.name).degraded == ""


def test_a_candidate_without_a_pairing_model_is_met_without_one(
    world: World, pairings: Pairings
) -> None:
    tried(world, world.checkpoint(SPEC, "policy-2"))
    assert met(pairings.engine())[Arm.CANDIDATE] == {("policy-2", "")}


def test_a_trial_of_a_policy_alone_keeps_the_pairing_model_that_serves(
    world: World, pairings: Pairings
) -> None:
    tried(world, world.checkpoint(SPEC, "policy-2"), manifest=False)
    assert met(pairings.engine())[Arm.CANDIDATE] == {("policy-2", "pairing-1")}


def test_a_candidates_pairing_model_that_does_not_load_leaves_the_active_one_alone(
    world: World, pairings: Pairings
) -> None:
    broken = pairings.checkpoint("pairing-2", encoder="other")
    tried(world, world.checkpoint(SPEC, "policy-2"), broken)
    engine = pairings.engine()
    assert met(engine) == {
        Arm.ACTIVE: {("policy-1", "pairing-1")},
        Arm.CANDIDATE: {("policy-2", "")},
    }
    assert "candidate's pairing: " in engine.state("default", SPEC.name).degraded


def test_people_of_a_candidate_that_fails_get_the_active_pairing_model(
    world: World, pairings: Pairings
) -> None:
    policy = world.checkpoint(SPEC, "policy-2")
    tried(world, policy, pairings.checkpoint("pairing-2"), percent=100.0)
    world.damage(policy)
    assert met(pairings.engine()) == {Arm.ACTIVE: {("policy-1", "pairing-1")}}


def test_a_shadow_is_known_with_its_parts_and_met_by_nobody(
    world: World, pairings: Pairings
) -> None:
    record = tried(
        world,
        world.checkpoint(SPEC, "policy-2"),
        pairings.checkpoint("pairing-2"),
        state="shadow",
        percent=0.0,
    )
    deployed = read_deployed(
        SPEC.name, "default", world.registry, world.deployments, Deployed(), pairs=True
    )
    assert deployed.rollout == record
    assert {part.role for part in deployed.trial_artefacts} == {"policy", "pairing"}
    assert set(met(pairings.engine())) == {Arm.ACTIVE}


def test_what_is_promoted_serves_with_the_next_look(world: World, pairings: Pairings) -> None:
    policy, pairing = world.checkpoint(SPEC, "policy-2"), pairings.checkpoint("pairing-2")
    tried(world, policy, pairing)
    engine = pairings.engine()
    head = world.deployments.head(SPEC.name)
    assert head.trial is not None
    asked = question(SPEC, valid=("pair-three",), candidates=people(5))
    assert engine.decide_under("default", asked).under == {SPEC.name: head.revision}
    world.rollouts.end("trial", "enough")
    after = world.deployments.swap(
        manifest_of((policy, pairing), START), head.revision + 1, "deployed", "better", "a test"
    )
    # until it has looked, it says under what it decided and not what serves by now
    assert engine.decide_under("default", asked).under == {SPEC.name: head.revision}
    engine.catch_up("default", {SPEC.name: head.revision})
    assert met(engine) == {Arm.ACTIVE: {("policy-2", "pairing-2")}}
    assert engine.decide_under("default", asked).under == {SPEC.name: after.revision}
