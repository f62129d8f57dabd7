"""Slates in decisions: who is suggested, with which probability, and what stands in for a model."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.contracts.datasets import Float, Float32
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.serving import Decision
from everloop.registry.loading import ACTIVE_PAIRING, VerifiedModel
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.serving.decisions.candidates import Candidates
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.pairing import RegisteredPairings
from rl.encoders.context import layout
from rl.slates import SlateEvidence, log_propensity
from tests.unit.serving.decisions.conftest import START, World, loop, person, question

DESCRIBED = {"descriptors": ["warmth", "novelty"], "most": 200, "sharpness": 1.0}
ACTIONS = [
    {"id": "wait", "kind": "no_action"},
    {"id": "pair-one", "kind": "suggest_pairing", "people": 1},
    {"id": "pair-three", "kind": "suggest_pairing", "people": 3},
    {"id": "walk", "kind": "recommend_hive", "event_id": "w1"},
]
SPEC = loop("pairs", actions=ACTIONS, candidates=DESCRIBED)


def people(count: int, first: int = 100) -> Candidates:
    """``count`` people from ``first`` on, each described by numbers of their own."""
    numbers = np.array([[math.sin(n), math.cos(3 * n)] for n in range(first, first + count)])
    return Candidates(
        tuple(person(n) for n in range(first, first + count)), numbers.reshape(count, 2)
    )


@dataclass(frozen=True)
class Linear:
    """Scores descriptors by weights, plus what the state's first number says of the first of them."""

    version: str
    encoder: str
    weights: tuple[float, float]
    trouble: str = ""

    def scores(self, context: Float32, descriptors: Float) -> Float:
        if self.trouble == "raise":
            raise RuntimeError("no")
        if self.trouble == "shape":
            return np.zeros(len(descriptors) + 1)
        found: Float = descriptors @ np.array(self.weights) + context[0] * descriptors[:, 0]
        return found * math.nan if self.trouble == "nan" else found


def read(verified: VerifiedModel, spec: LoopSpec) -> Linear:
    told = json.loads(verified.weights.read_text())
    encoder = told["encoder"] or layout(spec).encoder
    return Linear(told["version"], encoder, tuple(told["weights"]), told["trouble"])


class Pairings:
    """Pairing models of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def checkpoint(self, version: str, **more: Any) -> ModelCheckpoint:
        told = {"version": version, "weights": [2.0, -1.0], "trouble": "", "encoder": "", **more}
        kind = told.pop("kind", ModelType.PAIRING)
        provenance = told.pop("provenance", Provenance.PRIVATE_RELEASE)
        tenant = told.pop("tenant", "default")
        path = self.world.home / f"{version}.json"
        path.write_text(json.dumps(told))
        return register(
            Candidate(
                loop=SPEC.name,
                model_type=kind,
                files={"pairing.json": path},
                served="pairing.json",
                performance_metrics={},
                lineage=dict.fromkeys(REQUIRED_LINEAGE, version),
                provenance=provenance,
                verdict="continue",
                training_date=START,
                tenant=tenant,
            ),
            self.world.registry,
            self.world.blobs,
        )

    def deploy(self, version: str, **more: Any) -> ModelCheckpoint:
        made = self.checkpoint(version, **more)
        self.world.point(SPEC, made.checkpoint_id, ACTIVE_PAIRING)
        return made

    def engine(self, seed: int = 7) -> DecisionEngine:
        source = RegisteredPairings(self.world.registry, self.world.blobs, read)
        return self.world.engine(SPEC, seed=seed, pairings=source)


@pytest.fixture
def pairings(world: World) -> Pairings:
    return Pairings(world)


def decided(
    engine: DecisionEngine, named: Candidates | None, valid: tuple[str, ...] = ("pair-three",)
) -> Decision:
    return engine.decide("default", question(SPEC, valid=valid, candidates=named))


def slate_of(decision: Decision) -> Mapping[str, Any]:
    found = decision.action_arguments["slate"]
    assert isinstance(found, Mapping)
    return found


def recomputed(decision: Decision) -> float:
    """P(slate | action) from what the record holds alone."""
    kept = slate_of(decision)
    evidence = SlateEvidence(
        tuple(kept["scores"]), kept["rest"], kept["candidates"], kept["epsilon"]
    )
    return math.exp(evidence.log_propensity)


def test_without_a_pairing_model_every_slate_is_as_likely(pairings: Pairings) -> None:
    engine = pairings.engine()
    decision = decided(engine, people(5))
    about = decision.action_arguments
    assert about["slate_propensity"] == pytest.approx(1 / 60, rel=1e-12)
    assert slate_of(decision) == {
        "scores": [0.0] * 3,
        "rest": pytest.approx(math.log(2)),
        "candidates": 5,
        "epsilon": decision.epsilon,
        "model_version": "",
        "fallback": "no_model",
    }
    assert engine.state("default", SPEC.name).degraded == ""


def test_an_active_pairing_model_scores_the_candidates(pairings: Pairings, world: World) -> None:
    world.deploy(SPEC, "policy-1")
    made = pairings.deploy("pairing-1")
    engine = pairings.engine()
    state = engine.state("default", SPEC.name)
    assert (state.pairing, state.pairing_checkpoint) == ("pairing-1", made.checkpoint_id)
    named = people(6)
    decision = engine.decide(
        "default",
        question(SPEC, valid=("pair-three",), candidates=named, context={"x": 0.5, "group": "a"}),
    )
    about = decision.action_arguments
    picked = [named.user_ids.index(who) for who in about["user_ids"]]
    assert about["descriptors"] == named.descriptors[picked].tolist()
    scores = named.descriptors @ np.array([2.5, -1.0])
    expected = math.exp(log_propensity(scores, picked, decision.epsilon))
    assert about["slate_propensity"] == pytest.approx(expected, rel=1e-9)
    assert slate_of(decision)["scores"] == pytest.approx(scores[picked], rel=1e-6)
    assert slate_of(decision)["model_version"] == "pairing-1"
    assert decision.propensity == 1.0, "the action's own"


def test_slates_come_as_often_as_they_say(pairings: Pairings) -> None:
    pairings.deploy("pairing-1", weights=[1.0, 0.5])
    engine, named, rounds = pairings.engine(seed=3), people(4), 6000
    asked = [question(SPEC, valid=("pair-one", "pair-three"), candidates=named)] * rounds
    said: dict[tuple[str, ...], float] = {}
    counted: Counter[tuple[str, ...]] = Counter()
    for decision in engine.decide_many("default", asked):
        who = tuple(map(str, decision.action_arguments["user_ids"]))
        counted[who] += 1
        said[who] = decision.propensity * float(decision.action_arguments["slate_propensity"])
    every = list(itertools.permutations(named.user_ids, 1)) + list(
        itertools.permutations(named.user_ids, 3)
    )
    assert set(counted) == set(every)
    assert math.fsum(said.values()) == pytest.approx(1.0, abs=1e-9)
    # chi-squared over 28 outcomes; 55.5 is exceeded once in a thousand
    distance = sum((counted[w] - rounds * said[w]) ** 2 / (rounds * said[w]) for w in every)
    assert distance < 55.5


@given(
    count=st.integers(3, 60),
    trouble=st.sampled_from(["", "nan", "raise", "shape"]),
    weights=st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
    seed=st.integers(0, 1000),
)
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_slate_holds_candidates_alone_each_once_and_its_log_recomputes_it(
    world: World, count: int, trouble: str, weights: tuple[float, float], seed: int
) -> None:
    made = Linear("v", layout(SPEC).encoder, weights, trouble)
    pairings = Pairings(world)
    if world.registry.alias(SPEC.name, ACTIVE_PAIRING)[0] is None:
        pairings.deploy("any")
    engine = world.engine(
        SPEC,
        seed=seed,
        pairings=RegisteredPairings(world.registry, world.blobs, lambda *_: made),
    )
    named = people(count)
    for valid in (("pair-three",), ("pair-one",), ("wait", "pair-one", "pair-three")):
        decision = decided(engine, named, valid)
        size = {"pair-one": 1, "pair-three": 3}.get(decision.action_taken)
        about = decision.action_arguments
        if size is None:
            assert about == {}
            continue
        who = about["user_ids"]
        assert len(who) == len(set(who)) == len(about["descriptors"]) == size
        assert set(who) <= set(named.user_ids)
        assert person(1) not in who
        assert recomputed(decision) == pytest.approx(about["slate_propensity"], rel=1e-9)
        assert json.loads(json.dumps(about)) == about


def test_pairings_of_more_people_than_there_are_candidates_are_not_valid(
    pairings: Pairings,
) -> None:
    engine = pairings.engine()
    every = ("wait", "pair-one", "pair-three", "walk")
    assert decided(engine, people(3), every).valid_actions == every
    assert decided(engine, people(2), every).valid_actions == ("wait", "pair-one", "walk")
    assert decided(engine, people(0), every).valid_actions == ("wait", "walk")
    assert decided(engine, None, every).valid_actions == every, "the product picks"
    assert decided(engine, None).action_arguments == {}
    with pytest.raises(ShouldFixArgument, match=r"2 candidates .* too few .*pair-three"):
        decided(engine, people(2))
    with pytest.raises(ShouldFixArgument, match=r"^decisions\[1\]: 0 candidates"):
        engine.decide_many(
            "default",
            [
                question(SPEC, candidates=people(3)),
                question(SPEC, valid=("pair-one",), candidates=people(0)),
            ],
        )


def test_candidates_do_not_change_the_actions_propensity(pairings: Pairings, world: World) -> None:
    world.deploy(SPEC, "policy-1", bias=[0.1, 0.7, 0.2, -0.3])
    pairings.deploy("pairing-1")
    alone, named = pairings.engine(), pairings.engine()
    every = ("wait", "pair-one", "pair-three", "walk")
    without, chosen = decided(alone, None, every), decided(named, people(9), every)
    assert (without.action_taken, without.propensity) == (chosen.action_taken, chosen.propensity)


def test_whoever_the_product_says_it_is_about_stays_beside_the_slate(pairings: Pairings) -> None:
    asked = question(
        SPEC, valid=("pair-one",), candidates=people(2), action_arguments={"place": "park"}
    )
    about = pairings.engine().decide("default", asked).action_arguments
    assert set(about) == {"place", "user_ids", "descriptors", "slate_propensity", "slate"}
    quiet = question(
        SPEC, valid=("wait",), candidates=people(2), action_arguments={"place": "park"}
    )
    assert pairings.engine().decide("default", quiet).action_arguments == {"place": "park"}


def test_another_pairing_model_serves_once_its_alias_moves(
    pairings: Pairings, world: World
) -> None:
    pairings.deploy("pairing-1")
    engine = pairings.engine()
    versions = [slate_of(decided(engine, people(4)))["model_version"]]
    second = pairings.deploy("pairing-2")
    versions.append(slate_of(decided(engine, people(4)))["model_version"])
    engine.refresh()
    versions.append(slate_of(decided(engine, people(4)))["model_version"])
    world.point(SPEC, None, ACTIVE_PAIRING)
    engine.refresh()
    versions.append(slate_of(decided(engine, people(4)))["fallback"])
    assert versions == ["pairing-1", "pairing-1", "pairing-2", "no_model"]
    assert second.checkpoint_id is not None
    assert engine.state("default", SPEC.name).active is None, "no alias of the policy moved"


def test_a_damaged_pairing_model_leaves_uniform_slates_until_it_is_whole(
    pairings: Pairings, world: World
) -> None:
    made = pairings.deploy("pairing-1")
    good = world.damage(made)
    engine = pairings.engine()
    decision = decided(engine, people(4))
    assert slate_of(decision)["fallback"] == "model_failed"
    assert decision.action_arguments["slate_propensity"] == pytest.approx(1 / 24)
    assert decision.fallback == "cold_start: no model is deployed", "said of the action alone"
    state = engine.state("default", SPEC.name)
    assert state.pairing is None
    assert state.pairing_checkpoint == made.checkpoint_id
    assert state.degraded.startswith("pairing: ")
    assert engine.counts().load_failures[SPEC.name, made.checkpoint_id] == 1
    world.blob(made).write_bytes(good)
    world.clock.pass_(1.5)
    engine.refresh()
    assert slate_of(decided(engine, people(4)))["model_version"] == "pairing-1"


def _raw_log(pairings: Pairings) -> ModelCheckpoint:
    return pairings.checkpoint("raw", provenance=Provenance.RAW_LOG)


def _policy(pairings: Pairings) -> ModelCheckpoint:
    return pairings.world.checkpoint(SPEC, "policy-9")


def _emotion(pairings: Pairings) -> ModelCheckpoint:
    return pairings.checkpoint("emotion", kind=ModelType.EMOTION)


def _other_encoder(pairings: Pairings) -> ModelCheckpoint:
    return pairings.checkpoint("old", encoder="pairs-0000")


def _no_numbers(pairings: Pairings) -> ModelCheckpoint:
    return pairings.checkpoint("poison", trouble="nan")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_raw_log, "may not leave the trust boundary"),
        (_policy, "is of kind intervention"),
        (_emotion, "is of kind emotion"),
        (_other_encoder, "reads states of encoder 'pairs-0000'"),
        (_no_numbers, "can't score"),
    ],
)
def test_what_may_not_score_never_does(
    pairings: Pairings, make: Callable[[Pairings], ModelCheckpoint], reason: str
) -> None:
    pairings.world.point(SPEC, make(pairings).checkpoint_id, ACTIVE_PAIRING)
    engine = pairings.engine()
    assert slate_of(decided(engine, people(4)))["fallback"] == "model_failed"
    assert reason in engine.state("default", SPEC.name).degraded


def test_a_pairing_model_that_keeps_failing_is_left_alone_for_a_while(
    pairings: Pairings, world: World
) -> None:
    pairings.deploy("pairing-1")
    calls: list[int] = []

    class Moody(Linear):
        def scores(self, context: Float32, descriptors: Float) -> Float:
            calls.append(len(descriptors))
            if len(descriptors) == 5:
                raise RuntimeError("no")
            return super().scores(context, descriptors)

    made = Moody("moody", layout(SPEC).encoder, (1.0, 0.0))
    engine = world.engine(
        SPEC, pairings=RegisteredPairings(world.registry, world.blobs, lambda *_: made)
    )
    for _ in range(5):
        assert slate_of(decided(engine, people(5)))["fallback"] == "model_failed"
    assert calls == [2, 5, 5, 5], "tried once when loaded, and left alone after three failures"
    assert engine.counts().breaker_openings[SPEC.name, "moody"] == 1
    assert "moody keeps failing" in engine.state("default", SPEC.name).degraded


def test_another_tenants_pairing_model_scores_nobody_of_ours(pairings: Pairings) -> None:
    made = pairings.checkpoint("theirs", tenant="theirs")
    pairings.world.point(SPEC, made.checkpoint_id, ACTIVE_PAIRING, tenant="theirs")
    engine = pairings.engine()
    assert slate_of(decided(engine, people(4)))["fallback"] == "no_model"
    theirs = engine.decide("theirs", question(SPEC, valid=("pair-one",), candidates=people(4)))
    assert slate_of(theirs)["model_version"] == "theirs"


def test_a_loop_without_candidates_never_looks_for_a_pairing_model(world: World) -> None:
    plain = loop("plain")
    made = world.checkpoint(plain, "plain-1")
    world.point(plain, made.checkpoint_id, ACTIVE_PAIRING)
    state = world.engine(plain).state("default", "plain")
    assert (state.pairing, state.pairing_checkpoint, state.degraded) == (None, None, "")


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        (("a", "a"), np.zeros((2, 2))),
        (("a",), np.zeros((2, 2))),
        (("a",), np.zeros(2)),
        (("a",), np.array([[0.0, 1.5]])),
        (("a",), np.array([[0.0, math.nan]])),
    ],
)
def test_candidates_that_are_not_described_are_refused(
    ids: tuple[str, ...], numbers: Float
) -> None:
    with pytest.raises(ShouldFixArgument):
        Candidates(ids, numbers)
