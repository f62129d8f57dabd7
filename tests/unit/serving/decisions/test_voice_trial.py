"""While a voice is tried, what serves decides for everybody, and its people's decisions say so."""

from __future__ import annotations

from collections import Counter

from everloop.contracts.episodes import Arm
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.registry.manifest import voice_candidate_of
from everloop.registry.registration import VOICE_LINEAGE, Candidate, register
from everloop.rollout.assignment import in_trial
from tests.unit.serving.decisions.conftest import START, World, loop, question

SPEC = loop()


def adapter(world: World, version: str = "voice-1") -> ModelCheckpoint:
    path = world.home / f"{version}.safetensors"
    path.write_bytes(version.encode())
    return register(
        Candidate(
            loop=SPEC.name,
            model_type=ModelType.ADAPTER,
            files={"adapter_model.safetensors": path},
            served="adapter_model.safetensors",
            performance_metrics={},
            lineage=dict.fromkeys(VOICE_LINEAGE, version),
            provenance=Provenance.CONSENTED_TEXT,
            verdict="continue",
            training_date=START,
        ),
        world.registry,
        world.blobs,
    )


def tried(world: World, holdout: float = 0.0) -> RolloutRecord:
    made = adapter(world)
    manifest = world.deployments.record(voice_candidate_of(made, None, None, START))
    return world.rollouts.start(
        RolloutRecord(
            rollout_id="voice trial",
            loop=SPEC.name,
            candidate=made.checkpoint_id,
            active=None,
            state="started",
            traffic_percent=50.0,
            reasons=("a test",),
            recorded_at=START,
            deployment_id=manifest.deployment_id,
            holdout_percent=holdout,
            history=(Stay("started", 50.0, START),),
            subject="adapter",
        )
    )


def test_both_arms_are_decided_for_by_what_serves(world: World) -> None:
    world.deploy(SPEC, "v1")
    trial = tried(world, holdout=20.0)
    engine = world.engine(SPEC)
    arms: Counter[Arm] = Counter()
    for who in range(80):
        asked = question(SPEC, who)
        decision = engine.decide("default", asked)
        assert (decision.model_version, decision.fallback) == ("v1", "")
        assert (decision.arm is Arm.CANDIDATE) == in_trial(asked.user_id, trial)
        arms[decision.arm] += 1
    assert set(arms) == {Arm.ACTIVE, Arm.CANDIDATE, Arm.HOLDOUT}
    state = engine.state("default", SPEC.name)
    assert (state.candidate, state.degraded) == (None, "")
    assert (state.rollout_id, state.trial_state) == ("voice trial", "started")
    assert engine.counts().load_failures == {}
    engine.flush()
    assert world.tallies.tallies("voice trial", "trial") == ()


def test_without_a_policy_the_arms_are_those_of_exploration(world: World) -> None:
    trial = tried(world)
    engine = world.engine(SPEC)
    for who in range(20):
        asked = question(SPEC, who)
        decision = engine.decide("default", asked)
        assert decision.fallback.startswith("cold_start")
        assert (decision.arm is Arm.CANDIDATE) == in_trial(asked.user_id, trial)


def test_the_parts_on_trial_are_there_for_whoever_speaks(world: World) -> None:
    world.deploy(SPEC, "v1")
    trial = tried(world)
    engine = world.engine(SPEC)
    engine.prepare("default", SPEC.name)
    serving = engine._slot("default", SPEC.name).serving
    assert [part.artefact_id for part in serving.trial_artefacts] == [trial.candidate]
    assert serving.deployed.trial_policy is None
    world.point(SPEC, trial.candidate, "active-adapter")
    engine.refresh()
    assert engine.state("default", SPEC.name).rollout_id is None, "it serves everybody"
