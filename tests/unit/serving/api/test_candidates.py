"""``POST /api/ml/decide`` with candidates: the slate over HTTP, on disk, and once somebody is forgotten."""

from __future__ import annotations

import itertools
import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from everloop.contracts.access import Scope
from everloop.contracts.episodes import Consent
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.serving.api import decide, episodes, privacy
from rl.encoders import encode_context, layout
from rl.slates import SlateEvidence, log_propensity
from synthetic.heads import export_heads
from tests.deciding import CONTEXT, Served, asked, serving
from tests.made_pairings import made_pairing
from tests.unit.synthetic.heads.test_export import model_of

NAMES = ("bob", "carla", "dan", "eve", "fay")
PAIR = {"valid_actions": ["pair-three"]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("candidates") / "home"
    loops = ("companion", "open_bandit")
    routes = (decide.router, episodes.router, privacy.router)
    with serving(home, *routes, loops=loops) as made:
        made.deploy("companion-1")
        yield made


@pytest.fixture(scope="module")
def headers(served: Served) -> dict[str, str]:
    return served.key(*Scope)


def people(*names: str) -> list[dict[str, Any]]:
    return [
        {"user_id": name, "descriptors": [round(math.sin(len(name) + n), 3), n / 10]}
        for n, name in enumerate(names or NAMES)
    ]


def decided(served: Served, headers: dict[str, str], **changes: Any) -> dict[str, Any]:
    answer = served.post("/api/ml/decide", headers, json=asked(**changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_answer_names_people_as_the_question_did_and_the_record_by_pseudonyms(
    served: Served, headers: dict[str, str]
) -> None:
    found = decided(served, headers, candidates=people(), **PAIR)
    slate, about = found["slate"], found["arguments"]
    assert len(slate["user_ids"]) == 3
    assert set(slate["user_ids"]) <= set(NAMES)
    assert slate == {
        "user_ids": slate["user_ids"],
        "slate_propensity": pytest.approx(1 / 60, rel=1e-12),
        "whole_propensity": pytest.approx(found["propensity"] / 60, rel=1e-12),
        "candidates": 5,
        "model_version": "",
        "fallback": "no_model",
    }
    described = {one["user_id"]: one["descriptors"] for one in people()}
    assert about == {
        "user_ids": slate["user_ids"],
        "descriptors": [described[name] for name in slate["user_ids"]],
        "slate_propensity": slate["slate_propensity"],
    }
    stored = served.service.workspace.decisions.decision(found["decision_id"])
    pseudonyms = [served.service.workspace.pseudonyms.of(name) for name in slate["user_ids"]]
    assert stored.action_arguments["user_ids"] == pseudonyms
    assert stored.action_arguments["descriptors"] == about["descriptors"]
    assert stored.propensity == found["propensity"]
    ((row,),) = served.rows(
        "SELECT action_arguments || context_snapshot || user_id FROM decisions "
        f"WHERE decision_id = '{found['decision_id']}'"
    )
    assert not any(f'"{name}"' in row for name in (*NAMES, "ann"))


def test_the_record_recomputes_the_propensity_of_the_slate(
    served: Served, headers: dict[str, str]
) -> None:
    for _ in range(20):
        found = decided(served, headers, candidates=people())
        stored = served.service.workspace.decisions.decision(found["decision_id"])
        if found["slate"] is None:
            assert found["kind"] != "suggest_pairing"
            assert "slate" not in stored.action_arguments
            continue
        kept = stored.action_arguments["slate"]
        evidence = SlateEvidence(
            tuple(kept["scores"]), kept["rest"], kept["candidates"], kept["epsilon"]
        )
        assert kept["epsilon"] == found["epsilon"]
        assert math.exp(evidence.log_propensity) == pytest.approx(
            found["slate"]["slate_propensity"], rel=1e-9
        )


def test_asking_again_gives_the_same_slate_and_other_candidates_are_another_question(
    served: Served, headers: dict[str, str]
) -> None:
    question = asked(decision_id=str(uuid.uuid4()), candidates=people(), **PAIR)
    path = "/api/ml/decide"
    first = served.post(path, headers, json=question).json()
    assert all(served.post(path, headers, json=question).json() == first for _ in range(10))
    batch = {"decisions": [question, asked(candidates=people("gus"), valid_actions=["pair-one"])]}
    both = served.post(f"{path}/batch", headers, json=batch).json()["decisions"]
    assert both[0] == first
    assert both[1]["slate"]["user_ids"] == ["gus"]
    for other in (
        {"candidates": people()[:4]},
        {"candidates": people()[::-1]},
        {"candidates": [*people()[:4], {"user_id": "fay", "descriptors": [0, 0]}]},
        {"candidates": None},
    ):
        answer = served.post(path, headers, json={**question, **other})
        assert answer.status_code == 409, other


def test_without_candidates_the_product_picks_as_ever(
    served: Served, headers: dict[str, str]
) -> None:
    picked = {"user_ids": ["bob", "dan", "eve"], "descriptors": [[0, 0.5], [1, 1], [-1, 0.25]]}
    found = decided(served, headers, action_arguments=picked, **PAIR)
    assert found["slate"] is None
    assert found["arguments"]["descriptors"] == picked["descriptors"]
    assert found["arguments"]["user_ids"] == [
        served.service.workspace.pseudonyms.of(name) for name in picked["user_ids"]
    ]
    bandit = {"slate": {"candidates": "many"}, "slate_propensity": 2}
    spec = served.service.loops["open_bandit"]
    elsewhere = {"user_id": "ann", "loop": "open_bandit", "context": {}}
    elsewhere["context"] = {field.name: field.choices[0] for field in spec.context}
    answer = served.post("/api/ml/decide", headers, json=elsewhere | {"action_arguments": bandit})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["slate"], answer.json()["arguments"]) == (None, bandit)


def test_too_few_candidates_take_pairings_out_of_what_is_valid(
    served: Served, headers: dict[str, str]
) -> None:
    catalogue = list(served.service.loops["companion"].action_ids)
    for count, missing in ((0, {"pair-one", "pair-three"}), (2, {"pair-three"}), (3, set())):
        # a person of their own: interventions that somebody met leave what is valid for a while
        found = decided(served, headers, user_id=f"new-{count}", candidates=people()[:count])
        assert found["valid_actions"] == [a for a in catalogue if a not in missing]
    refused = served.post("/api/ml/decide", headers, json=asked(candidates=people("bob"), **PAIR))
    assert refused.status_code == 422
    assert "1 candidates may be suggested, too few for what is valid (pair-three)" in refused.text


def _one(user_id: Any = "bob", descriptors: Any = (0.0, 0.0)) -> dict[str, Any]:
    return {"user_id": user_id, "descriptors": descriptors}


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"candidates": [_one("zoe"), _one(), _one()]},
            "candidates[2].user_id='bob' is named twice",
        ),
        ({"candidates": [_one("zoe"), _one("ann")]}, "candidates[1].user_id='ann' is the person"),
        (
            {"candidates": [_one(descriptors=[0.5])]},
            "candidates[0].descriptors: [0.5] is not a list",
        ),
        (
            {"candidates": [_one(descriptors=[0, 0, 0])]},
            "not a list of 2 numbers (sociability, novelty)",
        ),
        ({"candidates": [_one(descriptors=[0, 1.5])]}, "(given: 1.5)"),
        ({"candidates": [_one(descriptors=[-1.01, 0])]}, "(given: -1.01)"),
        ({"candidates": [_one(descriptors=[0, "0.5"])]}, "candidates.0.descriptors.1"),
        ({"candidates": [_one(descriptors=[True, 0])]}, "candidates.0.descriptors.0"),
        ({"candidates": [_one(descriptors=[None, 0])]}, "candidates.0.descriptors.0"),
        ({"candidates": [_one(descriptors=[float("nan"), 0])]}, "candidates.0.descriptors.0"),
        ({"candidates": [_one(descriptors=None)]}, "candidates.0.descriptors"),
        ({"candidates": [_one(user_id="")]}, "candidates.0.user_id"),
        ({"candidates": [_one() | {"age": 7}]}, "candidates.0.age"),
        ({"candidates": {"bob": [0, 0]}}, "candidates"),
        (
            {"candidates": [_one(f"p{n}") for n in range(201)]},
            "names 201 people; loop 'companion' allows 200",
        ),
        (
            {"candidates": [_one()], "action_arguments": {"user_ids": ["dan"]}},
            "action_arguments holds 'user_ids', and candidates are given",
        ),
        (
            {"candidates": [_one()], "action_arguments": {"slate": {}}},
            "action_arguments.slate={} is what the service writes",
        ),
        (
            {"action_arguments": {"descriptors": [[0, 0], [0, 7]]}},
            "action_arguments.descriptors[1]=[0, 7] does not fit: novelty=7 is outside [-1, 1]",
        ),
        (
            {"action_arguments": {"descriptors": "many"}},
            "action_arguments.descriptors='many' is not",
        ),
        (
            {"action_arguments": {"slate": {"candidates": 7}}},
            "is what the service writes of slates",
        ),
        ({"action_arguments": {"slate_propensity": 2}}, "slate_propensity=2 is outside (0, 1]"),
        ({"action_arguments": {"slate_propensity": "1"}}, "slate_propensity='1' is outside (0, 1]"),
    ],
)
def test_candidates_that_do_not_fit_are_refused_with_the_value(
    served: Served, headers: dict[str, str], changes: dict[str, Any], detail: str
) -> None:
    answer = served.post("/api/ml/decide", headers, content=json.dumps(asked(**changes)))
    assert answer.status_code == 422, answer.text
    assert detail in answer.json()["detail"]
    batch = {"decisions": [asked(), asked(**changes)]}
    answer = served.post("/api/ml/decide/batch", headers, content=json.dumps(batch))
    assert answer.status_code == 422
    told = answer.json()["detail"]
    assert told.startswith(("decisions[1]: ", "decisions.1."))
    assert detail in told


def test_a_loop_that_declares_no_candidates_takes_none(
    served: Served, headers: dict[str, str]
) -> None:
    bandit = {"user_id": "ann", "loop": "open_bandit", "context": {}, "candidates": [_one()]}
    answer = served.post("/api/ml/decide", headers, json=bandit)
    assert answer.status_code == 422
    assert "candidates are given, but loop 'open_bandit' declares none" in answer.json()["detail"]


def test_whoever_withdrew_from_being_served_is_never_suggested(
    served: Served, headers: dict[str, str]
) -> None:
    person = served.service.workspace.pseudonyms.of("ida", "default")
    served.service.consents.record(Consent(person, "serve", False, datetime.now(UTC)))
    for _ in range(20):
        found = decided(served, headers, candidates=people("ida", "bob", "dan", "eve"), **PAIR)
        assert set(found["slate"]["user_ids"]) == {"bob", "dan", "eve"}
        assert found["slate"]["candidates"] == 3
        assert found["slate"]["slate_propensity"] == pytest.approx(1 / 6)
    short = asked(candidates=people("ida", "bob", "dan"), **PAIR)
    assert served.post("/api/ml/decide", headers, json=short).status_code == 422


def test_a_confirmed_decision_is_an_episode_with_its_slate(
    served: Served, headers: dict[str, str]
) -> None:
    found = decided(served, headers, user_id="jon", candidates=people(), **PAIR)
    confirmed = {"decision_id": found["decision_id"], "outcome": "success"}
    answer = served.post("/api/ml/episode", headers, json=confirmed)
    assert answer.status_code == 201, answer.text
    place = served.service.workspace
    (episode,) = place.log.episodes_of(place.pseudonyms.of("jon"))
    decision = place.decisions.decision(found["decision_id"])
    assert episode.action_arguments == decision.action_arguments
    assert episode.propensity == found["propensity"]


def _episode(**arguments: Any) -> dict[str, Any]:
    return {
        "episode_id": str(uuid.uuid4()),
        "user_id": "kim",
        "loop": "companion",
        "context_snapshot": CONTEXT,
        "action_taken": "pair-one",
        "timestamp": datetime.now(UTC).isoformat(),
        "model_version": "the product",
        "action_arguments": arguments,
    }


def test_a_product_that_picks_by_itself_is_told_of_wrong_descriptors_at_the_door(
    served: Served, headers: dict[str, str]
) -> None:
    def log(body: dict[str, Any]) -> httpx.Response:
        return served.post("/api/ml/episode", headers, json=body)

    assert log(_episode(user_ids=["bob"], descriptors=[[0.5, -0.5]])).status_code == 201
    assert log(_episode(user_ids=["bob"])).status_code == 201
    refused = log(_episode(user_ids=["bob"], descriptors=[[0.5]]))
    assert refused.status_code == 422
    assert "action_arguments.descriptors[0]=[0.5] does not fit" in refused.json()["detail"]
    forged = log(_episode(slate={"candidates": 3}, slate_propensity=1.0))
    assert "is what the service writes of slates that it drew" in forged.json()["detail"]
    other = _episode(descriptors="of the walk") | {"action_taken": "hive-walk"}
    assert log(other).status_code == 201, "nobody reads them of another action"


def test_a_forgotten_person_leaves_every_slate(served: Served, headers: dict[str, str]) -> None:
    question = asked(
        user_id="lea", decision_id=str(uuid.uuid4()), candidates=people("max", "ned", "oda"), **PAIR
    )
    first = served.post("/api/ml/decide", headers, json=question).json()
    confirmed = {"decision_id": first["decision_id"]}
    assert served.post("/api/ml/episode", headers, json=confirmed).status_code == 201
    place = served.service.workspace
    max_ = place.pseudonyms.of("max")
    erased = served.post("/api/rlhf/privacy/erase", headers, json={"user_id": "max"})
    assert erased.json()["deleted"]["mentions"] == 2, "the decision and its episode"
    (episode,) = place.log.episodes_of(place.pseudonyms.of("lea"))
    decision = place.decisions.decision(first["decision_id"])
    for about in (episode.action_arguments, decision.action_arguments):
        assert max_ not in json.dumps(about)
        assert sorted(map(len, about["user_ids"])) == [len("erased"), 64, 64]
        assert about["slate_propensity"] == first["slate"]["slate_propensity"]
    again = served.post("/api/ml/decide", headers, json=question).json()
    assert again["slate"]["user_ids"] == [
        "erased" if name == "max" else name for name in first["slate"]["user_ids"]
    ]
    leftover = served.rows(
        "SELECT count(*) FROM decisions WHERE instr(action_arguments, '" + max_ + "')"
    )
    assert leftover == [(0,)]


def deploy_pairing(served: Served, path: Path, version: str) -> ModelCheckpoint:
    """Register and deploy a pairing model."""
    place = served.service.workspace
    made = register(
        Candidate(
            loop="companion",
            model_type=ModelType.PAIRING,
            files={"pairing.onnx": path},
            served="pairing.onnx",
            performance_metrics={"pairing_accuracy": 0.75},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, version) | {"version": version},
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime.now(UTC),
        ),
        place.registry,
        place.blobs,
    )
    promote(made.checkpoint_id, place.registry, place.blobs, place.deployments, "a test")
    served.service.decisions.refresh()
    return made


def test_the_user_models_head_scores_by_expected_reward(
    served: Served, headers: dict[str, str]
) -> None:
    spec, model = served.service.loops["companion"], model_of()
    head = export_heads(spec, model, layout(spec), served.home / "heads").pairing
    assert head is not None
    deploy_pairing(served, head.path, head.version)
    found = decided(served, headers, candidates=people(), **PAIR)
    assert found["slate"]["model_version"] == head.version
    stored = served.service.workspace.decisions.decision(found["decision_id"])
    described = np.array(found["arguments"]["descriptors"], dtype=np.float32)
    state = np.repeat(encode_context(spec, [CONTEXT]), 3, axis=0)
    pairings = [spec.action_index[name] for name in ("pair-one", "pair-three")]
    rewards = [model.expected_reward(state, np.full(3, a), described) for a in pairings]
    np.testing.assert_allclose(
        stored.action_arguments["slate"]["scores"], 20 * np.mean(rewards, axis=0), atol=1e-3
    )


def test_a_deployed_pairing_model_scores_and_a_damaged_one_scores_nobody(
    served: Served, headers: dict[str, str]
) -> None:
    policy = decided(served, headers)["model_version"]
    spec, version = served.service.loops["companion"], "companion-pairing-1"
    path = made_pairing(spec, version, served.home / "pairing.onnx", np.array([0.2, 0.0]))
    made = deploy_pairing(served, path, version)
    sociable = [{"user_id": name, "descriptors": [n / 2 - 1, 0]} for n, name in enumerate(NAMES)]
    firsts: Counter[str] = Counter()
    for _ in range(60):
        found = decided(served, headers, candidates=sociable, **PAIR)
        slate = found["slate"]
        assert (slate["model_version"], slate["fallback"]) == (version, "")
        scores = np.array([20 * 0.2 * one["descriptors"][0] for one in sociable])
        picked = [NAMES.index(name) for name in slate["user_ids"]]
        expected = math.exp(log_propensity(scores, picked, found["epsilon"]))
        assert slate["slate_propensity"] == pytest.approx(expected, rel=1e-5)
        firsts[slate["user_ids"][0]] += 1
    assert firsts.most_common(1)[0][0] == "fay", "the most sociable"
    assert decided(served, headers)["model_version"] == policy, "the policy is where it was"
    registry = served.service.workspace.registry
    generation = registry.alias("companion", "active-pairing")[1]
    registry.set_alias("companion", "active-pairing", None, generation, "a test")
    served.service.decisions.refresh()
    assert decided(served, headers, candidates=sociable, **PAIR)["slate"]["fallback"] == "no_model"
    blob = served.home / "blobs" / made.weights_sha256[:2] / made.weights_sha256
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    registry.set_alias("companion", "active-pairing", made.checkpoint_id, generation + 1, "a test")
    served.service.decisions.refresh()
    slate = decided(served, headers, candidates=sociable, **PAIR)["slate"]
    assert (slate["model_version"], slate["fallback"]) == ("", "model_failed")
    assert slate["slate_propensity"] == pytest.approx(1 / 60)
    registry.set_alias("companion", "active-pairing", None, generation + 2, "a test")
    served.service.decisions.refresh()


def test_every_order_of_people_is_answered(served: Served, headers: dict[str, str]) -> None:
    batch = {"decisions": [asked(candidates=people("bob", "dan", "eve"), **PAIR)] * 300}
    answers = served.post("/api/ml/decide/batch", headers, json=batch).json()["decisions"]
    assert {tuple(answer["slate"]["user_ids"]) for answer in answers} == set(
        itertools.permutations(("bob", "dan", "eve"))
    )
