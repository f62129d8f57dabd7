"""Trials over HTTP: what an engine polls, what a person does, and that the next decision follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from everloop.contracts.access import Scope
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.rollout_spec import RolloutSpec, ShadowSpec
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.manifest import candidate_of
from everloop.registry.promotion import adopted
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.start import start_rollout
from everloop.serving.models.deploying import go_back
from tests.made_policies import made_policy
from tests.two_tenants import OURS, THEIRS, Sent, World, two_tenants

GO = Verdict(Decision.CONTINUE, (Check("overlap", CheckStatus.PASSED, "Enough overlap."),))
DIFFERENCE = Estimate("difference", 0.02, float("nan"), 0.05, 0.95, 900, 400, "dr")
VERDICT = "/api/ml/deployments/{deployment_id}/verdict"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("trials")) as made:
        workspace = made.service.workspace
        for rollout_id in (made.ours.rollout, made.ours.awaiting):
            workspace.rollouts.end(rollout_id, "out of the way", OURS)
        yield made


def model(world: World, folder: Path, version: str) -> ModelCheckpoint:
    spec = world.service.loops["coach"]
    made = Candidate(
        loop=spec.name,
        tenant=OURS,
        model_type=ModelType.INTERVENTION,
        files={"policy.onnx": made_policy(spec, version, folder / f"{version}.onnx")},
        served="policy.onnx",
        performance_metrics={},
        lineage=dict.fromkeys(REQUIRED_LINEAGE, version) | {"version": version},
        provenance=Provenance.PRIVATE_RELEASE,
        verdict="continue",
        training_date=datetime.now(UTC),
    )
    return register(made, world.service.workspace.registry, world.service.workspace.blobs)


def begin(world: World, folder: Path, version: str) -> RolloutRecord:
    """A trial that a quarter of people meet at once."""
    workspace = world.service.workspace
    spec = world.service.loops["coach"].model_copy(
        update={"rollout": RolloutSpec(ramp=(25.0,), shadow=ShadowSpec(decisions=0))}
    )
    _, serving = adopted("coach", OURS, workspace.registry, workspace.deployments)
    row, now = model(world, folder, version), datetime.now(UTC) - timedelta(minutes=5)
    manifest = candidate_of(row, workspace.registry, serving, now, GO, DIFFERENCE)
    return start_rollout(spec, manifest, workspace, now, serving)


def post(world: World, record: RolloutRecord, action: str, **body: Any) -> httpx.Response:
    path = {"rollout_id": record.rollout_id, "action": action}
    sent = Sent(path=path, body={"reason": "a test"} | body)
    return world.send("POST", "/api/ml/rollouts/{rollout_id}/{action}", sent, world.keys[OURS])


def verdict(world: World, deployment_id: str, key: str = "") -> dict[str, Any]:
    response = world.send(
        "GET", VERDICT, Sent(path={"deployment_id": deployment_id}), key or world.keys[OURS]
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def decided_by(world: World) -> str:
    body = {"user_id": "ann", "context": {"x": 0.5, "pulse": 70.0}, "loop": "coach"}
    response = world.send("POST", "/api/ml/decide", Sent(body=body), world.keys[OURS])
    assert response.status_code == 200, response.text
    version: str = response.json()["model_version"]
    return version


def test_an_engine_reads_the_verdict_and_every_decision_follows_it(
    world: World, tmp_path: Path
) -> None:
    first = begin(world, tmp_path, "v-first")
    assert first.state == "started"
    told = verdict(world, first.deployment_id)
    assert told["decision"] == "continue"
    assert (told["state"], told["traffic_percent"]) == ("started", 25.0)
    assert (told["deployment_id"], told["rollout_id"]) == (first.deployment_id, first.rollout_id)
    assert told["reasons"]
    assert datetime.fromisoformat(told["at"]).tzinfo is not None
    assert {"errors", "experiment"} <= {check["name"] for check in told["checks"]}

    promoted = post(world, first, "promote")
    assert promoted.status_code == 200, promoted.text
    assert promoted.json()["state"] == "promoted"
    assert decided_by(world) == "v-first"
    assert verdict(world, first.deployment_id)["decision"] == "promote"

    second = begin(world, tmp_path, "v-second")
    assert second.previous_deployment == first.deployment_id
    assert post(world, second, "pause").json()["state"] == "paused"
    assert verdict(world, second.deployment_id)["decision"] == "hold"
    assert post(world, second, "resume").json()["state"] == "started"
    assert post(world, second, "promote").status_code == 200
    assert decided_by(world) == "v-second"

    back = post(world, second, "rollback", reason="complaints")
    assert back.status_code == 200, back.text
    assert decided_by(world) == "v-first", "the very next decision"
    told = verdict(world, second.deployment_id)
    assert (told["decision"], told["state"]) == ("rollback", "promoted")
    assert "complaints" in told["reasons"][0]
    assert verdict(world, first.deployment_id)["decision"] == "promote"


def test_an_engine_is_told_to_leave_what_models_back_took_away(
    world: World, tmp_path: Path
) -> None:
    workspace = world.service.workspace
    for version in ("v-kept", "v-taken"):
        record = begin(world, tmp_path, version)
        assert post(world, record, "promote").status_code == 200
    go_back(workspace, "coach", OURS, "worse", "cli:ann")
    assert decided_by(world) == "v-kept"
    told = verdict(world, record.deployment_id)
    assert (told["decision"], told["reasons"]) == ("rollback", ["Taken back by cli:ann: worse"])
    refused = post(world, record, "promote")
    assert refused.status_code == 409
    assert f"everloop models deploy {record.candidate}" in refused.text
    path = Sent(path={"deployment_id": record.deployment_id})
    shown = world.send("GET", "/api/ml/deployments/{deployment_id}", path, world.keys[OURS])
    assert shown.json()["outcome"] == "withdrawn"


def test_a_deployment_shows_its_gate_its_prediction_and_its_trial(
    world: World, tmp_path: Path
) -> None:
    record = begin(world, tmp_path, "v-shown")
    path = {"deployment_id": record.deployment_id}
    key = world.key(OURS, Scope.READ)
    found = world.send("GET", "/api/ml/deployments/{deployment_id}", Sent(path=path), key).json()
    assert (found["verdict"], found["reasons"]) == ("continue", ["Enough overlap."])
    assert found["predicted"]["value"] == 0.02
    assert found["predicted"]["low"] is None, "what is no number is null"
    assert found["artefacts"][0]["version"] == "v-shown"
    assert (found["serves"], found["outcome"]) == (False, "")
    assert found["rollout"]["rollout_id"] == record.rollout_id
    listed = world.send("GET", "/api/ml/deployments", Sent(query={"loop": "coach"}), key).json()
    assert found in listed["deployments"]
    one = Sent(query={"loop": "coach", "limit": "1"})
    assert len(world.send("GET", "/api/ml/deployments", one, key).json()["deployments"]) == 1
    assert post(world, record, "end").json()["state"] == "ended"
    assert verdict(world, record.deployment_id)["decision"] == "rollback"


@pytest.mark.parametrize("action", ["pause", "resume", "promote", "rollback", "end"])
def test_an_action_needs_a_reason_a_known_rollout_and_one_that_allows_it(
    world: World, tmp_path: Path, action: str
) -> None:
    record = begin(world, tmp_path, f"v-{action}")
    blank = post(world, record, action, reason=" ")
    assert blank.status_code == 422
    assert "must not be blank" in blank.json()["detail"]
    assert "pattern" not in blank.json()["detail"]
    nul = post(world, record, action, reason="x\0")
    assert (nul.status_code, "NUL" in nul.json()["detail"]) == (422, True)
    assert "at most 500" in post(world, record, action, reason="x" * 501).json()["detail"]
    assert post(world, record, "elsewhere").status_code in {404, 422}
    unknown = Sent(path={"rollout_id": record.rollout_id[:-4] + "0000", "action": action})
    unknown = Sent(path=unknown.path, body={"reason": "why"})
    path = "/api/ml/rollouts/{rollout_id}/{action}"
    assert world.send("POST", path, unknown, world.keys[OURS]).status_code == 404
    theirs = Sent(path={"rollout_id": record.rollout_id, "action": action}, body={"reason": "x"})
    assert world.send("POST", path, theirs, world.keys[THEIRS]).status_code == 403
    world.service.workspace.rollouts.end(record.rollout_id, "over", OURS)
    allowed = 200 if action == "end" else 409
    assert post(world, record, action).status_code == allowed


def test_another_tenant_s_verdict_is_refused(world: World) -> None:
    sent = Sent(path={"deployment_id": world.theirs.deployment})
    assert world.send("GET", VERDICT, sent, world.keys[OURS]).status_code == 403
    assert verdict(world, world.theirs.deployment, world.keys[THEIRS])["decision"] == "hold"
