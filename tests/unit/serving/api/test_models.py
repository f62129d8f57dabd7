"""Models and training over HTTP: what is shown, what is refused, and what a deployment changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from everloop.contracts.documents import write
from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    Estimate,
    OverlapDiagnostics,
    PolicyEvaluation,
    Verdict,
)
from everloop.contracts.figures import HeadFigures, HeadModel
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance, RunRecord, StageRecord
from everloop.contracts.privacy import ErasureMark
from everloop.contracts.rollouts import RolloutRecord
from everloop.contracts.serving import JobState, Submission
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.end import DEPLOYED
from everloop.serving.models.listing import models_of
from everloop.wiring import Workspace
from tests import feedback_records, log_records
from tests.made_policies import made_policy
from tests.two_tenants import OURS, Sent, World, two_tenants

DAY = "2026-03-10"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def workspace(world: World) -> Workspace:
    return world.service.workspace


def candidate(world: World, folder: Path, version: str, **changes: Any) -> ModelCheckpoint:
    """Register a model whose version is its own."""
    spec = world.service.loops["coach"]
    policy = made_policy(spec, version, folder / f"{version}.onnx")
    values: dict[str, Any] = {
        "loop": spec.name,
        "tenant": OURS,
        "model_type": ModelType.INTERVENTION,
        "files": {"policy.onnx": policy},
        "served": "policy.onnx",
        "performance_metrics": {"difference": 0.125},
        "lineage": dict.fromkeys(REQUIRED_LINEAGE, version)
        | {"version": version, "logical_date": DAY},
        "provenance": Provenance.PRIVATE_RELEASE,
        "verdict": "continue",
        "training_date": datetime.now(UTC),
    }
    made = Candidate(**(values | changes))
    return register(made, world.service.workspace.registry, world.service.workspace.blobs)


def ask(world: World, method: str, path: str, **sent: Any) -> httpx.Response:
    return world.send(method, path, Sent(**sent), world.keys[OURS])


def deploy(world: World, checkpoint: ModelCheckpoint | str, **body: Any) -> httpx.Response:
    known = checkpoint if isinstance(checkpoint, str) else checkpoint.checkpoint_id
    return ask(world, "POST", f"/api/ml/deploy/{known}", body={"reason": "better"} | body)


def listed(world: World) -> dict[str, Any]:
    answer = ask(world, "GET", "/api/ml/models", query={"loop": "coach"})
    assert answer.status_code == 200
    return {model["checkpoint_id"]: model for model in answer.json()["models"]}


def test_a_deployment_moves_the_alias_and_is_told_everywhere(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    one, two = candidate(world, tmp_path, "coach-one"), candidate(world, tmp_path, "coach-two")
    before, generation = workspace.registry.alias("coach", "active", OURS)
    first = deploy(world, one, expected_generation=generation).json()
    assert first == {
        "checkpoint_id": one.checkpoint_id,
        "loop": "coach",
        "version": "coach-one",
        "generation": generation + 1,
        "previous": before,
        "ended_rollout": None,
    }
    second = deploy(world, two.checkpoint_id.upper()).json()
    assert (second["previous"], second["generation"]) == (one.checkpoint_id, generation + 2)
    models = listed(world)
    assert models[two.checkpoint_id]["aliases"] == ["active"]
    assert models[two.checkpoint_id]["active"]
    assert models[one.checkpoint_id]["aliases"] == []
    assert models[one.checkpoint_id]["performance_metrics"] == {"difference": 0.125}
    entries = [e for e in world.audited(OURS) if e.action == "model.deploy"]
    logged = workspace.registry.deployment_log("coach", OURS)
    for expected in ({}, {"expected_generation": generation + 1}):
        assert deploy(world, two, **expected).json() == second
    assert workspace.registry.deployment_log("coach", OURS) == logged
    assert [e for e in world.audited(OURS) if e.action == "model.deploy"] == entries
    assert entries[-1].resource == two.checkpoint_id
    assert entries[-1].actor.startswith("key:")
    assert entries[-1].detail["reason"] == "better"
    log = workspace.registry.deployment_log("coach", OURS)
    assert log[-1]["reason"] == "better"


def test_models_of_one_kind_are_listed_and_served_apart(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    serving = workspace.registry.alias("coach", "active", OURS)
    kinds = {"pairing": ModelType.PAIRING, "emotion": ModelType.EMOTION}
    for name, kind in kinds.items():
        made = candidate(world, tmp_path, f"coach-{name}-one", model_type=kind)
        assert deploy(world, made).status_code == 200
        query = {"loop": "coach", "type": name}
        answer = ask(world, "GET", "/api/ml/models", query=query)
        (found,) = answer.json()["models"]
        assert (found["checkpoint_id"], found["model_type"]) == (made.checkpoint_id, name)
        assert (found["active"], found["aliases"]) == (True, [f"active-{name}"])
        told = ask(world, "GET", f"/api/ml/metrics/coach-{name}-one").json()
        assert (told["active"], told["model_type"], told["evaluation"]) == (True, name, None)
    assert workspace.registry.alias("coach", "active", OURS) == serving
    answer = ask(world, "GET", "/api/ml/models", query={"type": "intervention"})
    assert {model["model_type"] for model in answer.json()["models"]} <= {"intervention"}
    assert ask(world, "GET", "/api/ml/models", query={"type": "mood"}).status_code == 422


def test_what_may_not_serve_is_refused_by_name(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    serving = workspace.registry.alias("coach", "active", OURS)
    audited = len(world.audited(OURS))
    held = candidate(world, tmp_path, "coach-held", verdict="hold")
    raw = candidate(world, tmp_path, "coach-raw", provenance=Provenance.RAW_LOG)
    good = candidate(world, tmp_path, "coach-good")
    damaged = candidate(world, tmp_path, "coach-damaged")
    blob = workspace.blobs.fetch(damaged.weights_url, damaged.weights_sha256)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1])
    refused = {
        422: [
            (held, {}),
            (raw, {}),
            (good, {"reason": " "}),
            (good, {"reason": "a\0"}),
            (good, {"because": "x"}),
        ],
        409: [(good, {"expected_generation": serving[1] + 7})],
        503: [(damaged, {})],
        404: [(str(uuid.uuid4()), {}), ("no-uuid", {})],
    }
    for status, attempts in refused.items():
        for checkpoint, body in attempts:
            answer = deploy(world, checkpoint, **body)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
    assert "held by the gate" in deploy(world, held).json()["detail"]
    assert workspace.registry.alias("coach", "active", OURS) == serving
    assert len(world.audited(OURS)) == audited


def test_deploying_the_candidate_of_a_trial_ends_it(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    trial = candidate(world, tmp_path, "coach-trial")
    rollout = RolloutRecord(
        str(uuid.uuid4()),
        *("coach", trial.checkpoint_id, None, "started", 5.0, ("enough overlap",)),
        recorded_at=datetime.now(UTC),
        tenant=OURS,
    )
    workspace.rollouts.start(rollout)
    generation = workspace.registry.alias("coach", "candidate", OURS)[1]
    workspace.registry.set_alias(
        "coach", "candidate", trial.checkpoint_id, generation, "trial", OURS
    )
    assert listed(world)[trial.checkpoint_id]["aliases"] == ["candidate"]
    assert deploy(world, trial).json()["ended_rollout"] == rollout.rollout_id
    assert listed(world)[trial.checkpoint_id]["aliases"] == ["active"]
    told = ask(world, "GET", f"/api/ml/metrics/{trial.checkpoint_id}").json()["rollout"]
    assert told == {
        "rollout_id": rollout.rollout_id,
        "state": "ended",
        "traffic_percent": 0.0,
        "reasons": [DEPLOYED, "enough overlap"],
    }
    assert deploy(world, trial).json()["ended_rollout"] is None


def estimate(name: str, value: float, low: float = float("nan")) -> Estimate:
    return Estimate(name, value, low, low, 0.95, 500, 400, "doubly robust")


def evaluation(value: float) -> PolicyEvaluation:
    overlap = OverlapDiagnostics(500, 281.5, 1.0, 0.9, 1.1, 2.0, 0.01, 0.0, ("so so",))
    return PolicyEvaluation(
        policy="candidate",
        baseline_name="logging policy",
        estimates=(estimate("dr", value + 0.5, 0.25), estimate("ips", float("inf"))),
        baseline=estimate("baseline", 0.5),
        difference=estimate("difference", value, value),
        overlap=overlap,
        held_out=510,
        candidates=3,
    )


def finished_run(
    workspace: Workspace, made: ModelCheckpoint, folder: Path, value: float, **changes: Any
) -> RunRecord:
    """A run that registered a checkpoint, with its outputs on disk."""
    folder.mkdir()
    write(made, folder / "checkpoint.json")
    write(evaluation(value), folder / "evaluation")
    reason = f"The candidate earns {value}."
    verdict = Verdict(Decision.CONTINUE, (Check("overlap", CheckStatus.PASSED, reason, value),))
    write(verdict, folder / "verdict")
    outputs = {
        "evaluate_policy": {"evaluation": str(folder / "evaluation")},
        "gate": {"verdict": str(folder / "verdict")},
        "register": {"checkpoint": str(folder)},
    }
    values: dict[str, Any] = {
        "run_id": f"coach-{folder.name}",
        "pipeline": "daily-learning",
        "loop": "coach",
        "logical_date": DAY,
        "started_at": datetime.now(UTC),
        "finished_at": None,
        "status": "succeeded",
        "verdict": "continue",
        "parameters": {},
        "stages": tuple(StageRecord(s, "succeeded", 1, "", {}, o) for s, o in outputs.items()),
        "report": "",
        "tenant": OURS,
    }
    record = RunRecord(**(values | changes))
    workspace.runs.save(record)
    return record


def test_each_model_has_the_figures_of_its_own_run(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    one, two = candidate(world, tmp_path, "coach-a"), candidate(world, tmp_path, "coach-b")
    finished_run(workspace, one, tmp_path / "a", 0.25)
    finished_run(workspace, two, tmp_path / "b", 0.375)
    finished_run(workspace, one, tmp_path / "theirs", 0.875, tenant="bolt")
    finished_run(workspace, one, tmp_path / "earlier", 0.875, logical_date="2026-03-09")
    told = ask(world, "GET", f"/api/ml/metrics/{one.checkpoint_id}").json()
    assert told["run_id"] == "coach-a"
    assert told["logical_date"] == DAY
    assert told["performance_metrics"] == {"difference": 0.125}
    assert told["reasons"] == ["The candidate earns 0.25."]
    assert told["checks"] == [
        {
            "name": "overlap",
            "status": "passed",
            "reason": "The candidate earns 0.25.",
            "value": 0.25,
            "threshold": None,
        }
    ]
    figure = {"confidence": 0.95, "n": 500, "people": 400, "method": "doubly robust"}
    known = told["evaluation"]
    assert (
        known["difference"]
        == {"name": "difference", "value": 0.25, "low": 0.25, "high": 0.25} | figure
    )
    assert (
        known["baseline"] == {"name": "baseline", "value": 0.5, "low": None, "high": None} | figure
    )
    assert [e["value"] for e in known["estimates"]] == [0.75, None]
    assert (known["held_out"], known["candidates"], known["problems"]) == (510, 3, ["so so"])
    assert known["effective_sample"] == 281.5
    other = ask(world, "GET", "/api/ml/metrics/coach-b").json()
    assert other["checkpoint_id"] == two.checkpoint_id
    assert other["evaluation"]["difference"]["value"] == 0.375


def test_a_head_has_the_run_of_the_policy_that_it_was_made_beside(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    policy = candidate(world, tmp_path, "coach-beside")
    pairing, other = (
        candidate(world, tmp_path, f"coach-pairing-{name}", model_type=ModelType.PAIRING)
        for name in ("night", "older")
    )
    record = finished_run(workspace, policy, tmp_path / "beside", 0.25)
    kept = HeadModel("pairing", "pairing.onnx", pairing.weights_sha256, "v", 0.0, ())
    write(HeadFigures((kept,)), tmp_path / "beside" / "heads.json")
    outputs = {"heads": str(tmp_path / "beside")}
    stages = (*record.stages, StageRecord("export_heads", "succeeded", 1, "", {}, outputs))
    workspace.runs.save(replace(record, stages=stages))
    told = ask(world, "GET", f"/api/ml/metrics/{pairing.checkpoint_id}").json()
    assert (told["run_id"], told["evaluation"]) == ("coach-beside", None)
    assert told["reasons"] == ["The candidate earns 0.25."]
    told = ask(world, "GET", f"/api/ml/metrics/{other.checkpoint_id}").json()
    assert told["run_id"] is None


def test_what_is_gone_or_was_never_measured_is_null(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    lone = candidate(world, tmp_path, "coach-lone")
    told = ask(world, "GET", f"/api/ml/metrics/{lone.checkpoint_id}").json()
    assert (told["run_id"], told["evaluation"], told["rollout"]) == (None, None, None)
    assert (told["reasons"], told["checks"], told["decisions"]) == ([], [], 0)
    finished_run(workspace, lone, tmp_path / "lone", 0.25)
    (tmp_path / "lone" / "evaluation").write_text("{")
    told = ask(world, "GET", f"/api/ml/metrics/{lone.checkpoint_id}").json()
    assert (told["run_id"], told["evaluation"]) == ("coach-lone", None)
    for unknown in (str(uuid.uuid4()), "coach-nothing", "v" * 300):
        assert ask(world, "GET", f"/api/ml/metrics/{unknown}").status_code == 404


def test_decisions_of_a_model_that_serves_are_counted(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    made = candidate(world, tmp_path, "coach-serving")
    made_at = workspace.registry.checkpoint(made.checkpoint_id).training_date
    decided = {"tenant": OURS, "loop": "coach", "model_version": "coach-serving"}
    decisions = tuple(
        feedback_records.decision(n, made_at + timedelta(seconds=n - 9001), **decided)
        for n in range(9000, 9004)
    )
    world.service.queue.submit(Submission(OURS, "cli:test", decisions=decisions)).result(30)
    assert ask(world, "GET", "/api/ml/metrics/coach-serving").json()["decisions"] == 0
    assert deploy(world, made).status_code == 200
    assert ask(world, "GET", "/api/ml/metrics/coach-serving").json()["decisions"] == 3


def test_of_checkpoints_with_one_version_the_one_that_serves_is_meant(
    world: World, tmp_path: Path
) -> None:
    one = candidate(world, tmp_path, "coach-same")
    two = candidate(
        world, tmp_path, "coach-same", performance_metrics={"difference": 0.5},
        training_date=datetime.now(UTC) + timedelta(minutes=1),
    )  # fmt: skip
    assert one.checkpoint_id != two.checkpoint_id
    told = ask(world, "GET", "/api/ml/metrics/coach-same").json()
    assert told["checkpoint_id"] == two.checkpoint_id
    deploy(world, one)
    told = ask(world, "GET", "/api/ml/metrics/coach-same").json()
    assert (told["checkpoint_id"], told["active"]) == (one.checkpoint_id, True)


def test_a_model_names_the_erasures_of_people_whose_data_fed_it(
    world: World, workspace: Workspace, tmp_path: Path
) -> None:
    fed = candidate(world, tmp_path, "coach-fed")
    other = candidate(world, tmp_path, "coach-other")

    class People:
        def marks(self, tenant: str) -> tuple[ErasureMark, ...]:
            found = (("dataset", "coach-fed", "e1"), ("checkpoint", fed.checkpoint_id, "e2"))
            at = datetime.now(UTC)
            both = (("checkpoint", fed.checkpoint_id, "e1"), ("dataset", "another", "e3"))
            assert tenant == OURS
            return tuple(ErasureMark(*mark, at, tenant) for mark in (*found, *both))

    marked = replace(workspace, people=People())
    erasures = {m.checkpoint_id: m.erasures for m in models_of(marked, ("coach",), OURS)}
    assert sorted(erasures[fed.checkpoint_id]) == ["e1", "e2"]
    assert erasures[other.checkpoint_id] == []
    assert listed(world)[fed.checkpoint_id]["erasures"] == []


def test_training_is_asked_for_once_and_followed(world: World, workspace: Workspace) -> None:
    old = log_records.episode(loop="coach", tenant=OURS)
    world.service.queue.submit(Submission(OURS, "a test", episodes=(old,))).result()
    today = datetime.now(UTC).date()
    answer = ask(world, "POST", "/api/ml/train")
    assert answer.status_code == 202
    job = answer.json()
    assert (job["loop"], job["cause"], job["state"]) == ("coach", "manual", "queued")
    assert job["logical_date"] in {today.isoformat(), datetime.now(UTC).date().isoformat()}
    assert "--no-train" in job["note"]
    assert job["verdict"] == ""
    again = ask(world, "POST", "/api/ml/train", body={"date": job["logical_date"]})
    assert again.json() == job
    other = ask(world, "POST", "/api/ml/train", body={"date": DAY})
    assert other.status_code == 409
    assert job["job_id"] in other.json()["detail"]
    assert ask(world, "GET", f"/api/ml/train/{job['job_id']}").json() == job
    assert ask(world, "GET", "/api/ml/train", query={"loop": "coach"}).json()["jobs"][0] == job
    assert len(ask(world, "GET", "/api/ml/train", query={"limit": "1"}).json()["jobs"]) == 1
    taken = workspace.jobs.claim("a test", datetime.now(UTC), 60.0)
    assert taken is not None
    ended = replace(taken, state=taken.state.FAILED, finished_at=datetime.now(UTC), error="no disk")
    workspace.jobs.finish(ended, "a test")
    told = ask(world, "GET", f"/api/ml/train/{job['job_id']}").json()
    assert (told["state"], told["error"], told["attempts"]) == ("failed", "no disk", 1)
    assert told["note"] == ""
    dated = ask(world, "POST", "/api/ml/train", body={"loop": "coach", "date": DAY}).json()
    assert (dated["logical_date"], dated["job_id"] != job["job_id"]) == (DAY, True)


def test_a_finished_job_says_what_its_run_ended_in(world: World, workspace: Workspace) -> None:
    if not workspace.jobs.jobs("coach", 1, OURS):
        ask(world, "POST", "/api/ml/train", body={"loop": "coach"})
    workspace.jobs.claim("a test", datetime.now(UTC), 60.0)
    job = workspace.jobs.jobs("coach", 1, OURS)[0]
    for run_id, tenant in (("coach-ours", OURS), ("coach-theirs", "somebody-else")):
        workspace.runs.save(
            RunRecord(
                run_id=run_id,
                pipeline="daily-learning",
                loop="coach",
                logical_date=DAY,
                started_at=datetime.now(UTC),
                finished_at=datetime.now(UTC),
                status="succeeded",
                verdict="hold: the run ended at validation (0 episodes)",
                parameters={},
                stages=(),
                report="",
                tenant=tenant,
            )
        )
    done = replace(
        job, state=JobState.SUCCEEDED, finished_at=datetime.now(UTC), run_id="coach-ours"
    )
    assert workspace.jobs.finish(done, "a test")
    told = ask(world, "GET", f"/api/ml/train/{job.job_id}").json()
    assert told["run_id"] == "coach-ours"
    assert told["verdict"] == "hold: the run ended at validation (0 episodes)"
    assert ask(world, "GET", "/api/ml/train").json()["jobs"][0] == told


def test_impossible_trainings_are_refused(world: World) -> None:
    for body, status in (
        ({"date": "2999-01-01"}, 422),
        ({"date": "soon"}, 422),
        ({"date": "0001-01-01"}, 422),
        ({"lop": "coach"}, 422),
        ({"loop": "sprint"}, 404),
    ):
        assert ask(world, "POST", "/api/ml/train", body=body).status_code == status
    for job_id in (str(uuid.uuid4()), "no-uuid"):
        assert ask(world, "GET", f"/api/ml/train/{job_id}").status_code == 404
    assert ask(world, "GET", "/api/ml/models", query={"loop": "sprint"}).status_code == 404
