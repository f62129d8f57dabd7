"""The engines' documents hold against their schemas, and say what the controller decides.

``schemas/`` restates, closed, the fields that we write of the engines' custom resources. With
``EVERLOOP_CRDS`` naming a folder of the engines' own CRD files, the slow test holds the documents against
those too, every object closed.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.contracts.rollouts import Artefact, Deployment
from everloop.rollout.manifests import ENGINES, EngineTerms

SCHEMAS = Path(__file__).parent / "schemas"
DEPLOYMENT = Deployment(
    "5f4b8f0e-3c6d-4b51-9b3f-2f0a7d1b6c45",
    "companion",
    (Artefact("policy", "c1", "companion-0123456789abcdef", "a" * 64, "companion-v1"),),
    datetime(2026, 3, 28, tzinfo=UTC),
)
TERMS = EngineTerms(
    DEPLOYMENT,
    RolloutSpec(),
    "companion",
    "http://everloop.ml:8000/",
    storage_uri="gs://bucket/models/",
    traffic_percent=5.0,
)


def documents(engine: str, terms: EngineTerms = TERMS) -> list[dict[str, Any]]:
    return [dict(document) for document in ENGINES[engine](terms)]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_document_fits_its_schema(engine: str) -> None:
    for document in documents(engine):
        schema = json.loads((SCHEMAS / f"{document['kind']}.json").read_text())
        jsonschema.Draft7Validator(schema).validate(document)


@pytest.mark.parametrize("kind", ["AnalysisTemplate", "Rollout", "Canary", "InferenceService"])
def test_a_field_that_the_engine_does_not_know_is_caught(kind: str) -> None:
    found = [d for engine in ENGINES for d in documents(engine) if d["kind"] == kind]
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
    wrong = {**found[0], "spec": {**found[0]["spec"], "trafficShare": 5}}
    assert list(jsonschema.Draft7Validator(schema).iter_errors(wrong))


@pytest.mark.slow
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_every_document_fits_the_engines_own_crds(engine: str) -> None:
    folder = os.environ.get("EVERLOOP_CRDS")
    if not folder:
        pytest.skip("EVERLOOP_CRDS names no folder with the engines' CRD files")
    for document in documents(engine):
        jsonschema.Draft7Validator(_crd(Path(folder), document)).validate(document)


def test_argo_waits_for_the_ramp_before_every_weight_and_aborts_on_rollback() -> None:
    reached, watch, rollout = documents("argo")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    asked = [s["analysis"]["args"][0]["value"] for s in steps if "analysis" in s]
    assert asked == ["1", "5", "25", "50", "100"]
    assert [s["setWeight"] for s in steps if "setWeight" in s] == [1, 5, 25, 50]
    assert "analysis" in steps[0]
    metric = reached["spec"]["metrics"][0]
    assert "result.traffic_percent >= {{args.percent}}" in metric["successCondition"]
    for template in (reached, watch):
        asked_of = template["spec"]["metrics"][0]
        assert asked_of["failureCondition"] == "result.decision == 'rollback'"
        assert asked_of["failureLimit"] == 0
        assert asked_of["provider"]["web"]["url"] == TERMS.verdict_url
    # 28 days, asked every 5 minutes
    assert metric["inconclusiveLimit"] == 28 * 24 * 12


def test_flagger_asks_before_every_step_and_holds_no_secret() -> None:
    (canary,) = documents("flagger")
    hooks = {h["type"]: h for h in canary["spec"]["analysis"]["webhooks"]}
    assert set(hooks) == {
        "confirm-rollout",
        "confirm-traffic-increase",
        "confirm-promotion",
        "rollback",
    }
    assert hooks["rollback"]["url"] == f"{TERMS.verdict_url}/flagger/rollback"
    assert {h["metadata"]["key"] for h in hooks.values()} == {"${EVERLOOP_READ_KEY}"}
    assert canary["spec"]["analysis"]["interval"] == "5m"


@pytest.mark.parametrize(
    ("traffic", "weights"),
    [
        (0.0, []),
        (0.9, []),
        (1.0, [1]),
        (5.0, [1, 5]),
        (24.9, [1, 5]),
        (25.0, [1, 5, 25]),
        (100.0, [1, 5, 25, 50, 100]),
    ],
)
def test_flagger_gets_no_weight_beyond_the_traffic_of_the_trial(
    traffic: float, weights: list[int]
) -> None:
    (canary,) = documents("flagger", replace(TERMS, traffic_percent=traffic))
    assert canary["spec"]["analysis"]["stepWeights"] == weights
    schema = json.loads((SCHEMAS / "Canary.json").read_text())
    jsonschema.Draft7Validator(schema).validate(canary)


def test_kserve_gets_the_traffic_of_the_trial_and_never_more() -> None:
    (service,) = documents("kserve", replace(TERMS, traffic_percent=25.9))
    predictor = service["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 25
    assert predictor["model"]["storageUri"] == f"gs://bucket/models/{'a' * 64}"
    annotations = service["metadata"]["annotations"]
    assert annotations["everloop/deployment"] == DEPLOYMENT.deployment_id
    assert annotations["everloop/policy"].endswith("@sha256:" + "a" * 64)


def test_fractions_of_the_ramp_become_whole_percents() -> None:
    terms = replace(TERMS, rollout=RolloutSpec(ramp=(0.1, 0.5, 10.0, 100.0)))
    assert terms.weights == (1, 10, 100)


def test_kserve_refuses_a_deployment_without_a_place_or_a_policy() -> None:
    with pytest.raises(ShouldFixArgument, match="storage_uri"):
        documents("kserve", replace(TERMS, storage_uri=""))
    adapter = replace(DEPLOYMENT, artefacts=(Artefact("adapter", "a", "v", "b" * 64),))
    with pytest.raises(ShouldFixArgument, match="no policy"):
        documents("kserve", replace(TERMS, deployment=adapter))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Companion"),
        ("name", "a" * 64),
        ("namespace", ""),
        ("secret", "-read"),
        ("service_url", "everloop.ml:8000"),
        ("service_url", "ftp://everloop"),
        ("image", "a b"),
        ("replicas", 0),
        ("port", 70_000),
        ("traffic_percent", 101.0),
    ],
)
def test_what_no_cluster_would_take_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ShouldFixArgument, match=field):
        replace(TERMS, **{field: value})  # type: ignore[arg-type]


def _crd(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The schema of a document's kind and version, with every object closed."""
    version = document["apiVersion"].partition("/")[2]
    for file in sorted(folder.glob("*.yaml")):
        for crd in YAML(typ="safe").load_all(file):
            if crd["spec"]["names"]["kind"] != document["kind"]:
                continue
            found = next(v for v in crd["spec"]["versions"] if v["name"] == version)
            schema: dict[str, Any] = _closed(found["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            return schema
    raise LookupError(f"{folder} has no CRD of kind {document['kind']}")


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    free = made.get("x-kubernetes-preserve-unknown-fields")
    if made.get("type") == "object" and "properties" in made and not free:
        made.setdefault("additionalProperties", False)
    return made
