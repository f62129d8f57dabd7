"""``everloop rollout``: what is shown, what is done, and what is refused in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.errors import ShouldCollectMoreData, ShouldNameKnownId
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.loops import load
from everloop.registry.manifest import manifest_of
from everloop.rollout.start import start_rollout
from everloop.wiring import Workspace, open_workspace

SPEC = load("companion")
GO = Verdict(Decision.CONTINUE, (Check("overlap", CheckStatus.PASSED, "Enough overlap."),))
ASKS = Verdict(
    Decision.HOLD, (Check("parity", CheckStatus.INSUFFICIENT, "38 people.", person_decides=True),)
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings.initialise(tmp_path / "home")
    return tmp_path / "home"


def begin(workspace: Workspace, folder: Path, name: str, verdict: Verdict = GO) -> str:
    file = folder / f"{name}.onnx"
    file.write_bytes(name.encode())
    url, sha256 = workspace.blobs.put(file)
    row = ModelCheckpoint(
        checkpoint_id=name,
        model_type=ModelType.INTERVENTION,
        loop=SPEC.name,
        weights_url=url,
        weights_sha256=sha256,
        performance_metrics={},
        training_date=datetime.now(UTC),
        provenance=Provenance.PRIVATE_RELEASE,
        lineage={},
        verdict="continue",
    )
    workspace.registry.register(row)
    made = manifest_of([row], datetime.now(UTC) - timedelta(minutes=1), verdict=verdict)
    return start_rollout(SPEC, made, workspace, made.made_at).rollout_id


def run(home: Path, *arguments: str) -> str:
    found = CliRunner().invoke(
        app,
        ["rollout", *arguments, "--loop", "companion", "--home", str(home)],
        catch_exceptions=False,
    )
    assert found.exit_code == 0, found.output
    return found.output


def test_status_says_what_is_on_trial_its_verdict_and_who_waits(home: Path, tmp_path: Path) -> None:
    assert "nothing is on trial" in run(home, "status")
    workspace = open_workspace(home)
    first = begin(workspace, tmp_path, "one")
    second = begin(workspace, tmp_path, "two")
    told = run(home, "status")
    for shown in (first, second, "in shadow: decides unseen", "verdict: continue", "shadow_time"):
        assert shown in told
    told = json.loads(run(home, "status", "--json"))
    assert told["head"]["trial"]["rollout_id"] == first
    assert told["verdict"]["decision"] == "continue"
    assert [record["rollout_id"] for record in told["waiting"]] == [second]


def test_a_person_pauses_resumes_promotes_and_takes_back(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace(home)
    rollout_id = begin(workspace, tmp_path, "one")
    assert "paused" in run(home, "pause", "--reason", "look", "--by", "ann")
    assert "in shadow" in run(home, "resume", "--reason", "fine", "--by", "ann")
    assert "promoted" in run(home, "promote", "--reason", "launch", "--by", "ann")
    assert workspace.registry.alias(SPEC.name, "active")[0] == "one"
    told = run(home, "rollback", "--reason", "complaints", "--by", "bob")
    assert told.startswith(f"{rollout_id}: rolled back\n  complaints\n")
    assert "nothing" in told
    assert "launch" not in told
    assert workspace.registry.alias(SPEC.name, "active")[0] is None
    events = json.loads(run(home, "events", "--json"))
    done = [(e["kind"], e["actor"], e["reason"]) for e in events if e["rollout_id"] == rollout_id]
    assert ("paused", "ann", "look") in done
    assert ("promoted", "ann", "launch") in done
    assert "launch" in run(home, "events")


def test_models_back_does_not_bring_back_a_first_policy_that_was_taken_away(
    home: Path, tmp_path: Path
) -> None:
    workspace = open_workspace(home)
    begin(workspace, tmp_path, "one")
    run(home, "promote", "--reason", "launch", "--by", "ann")
    run(home, "rollback", "--reason", "complaints", "--by", "bob")
    back = ["models", "back", "companion", "--reason", "worse", "--home", str(home)]
    with pytest.raises(ShouldNameKnownId, match="Nothing that may serve again"):
        CliRunner().invoke(app, back, catch_exceptions=False)
    assert workspace.registry.alias(SPEC.name, "active")[0] is None


def test_a_rollback_as_json_says_what_serves_since(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace(home)
    rollout_id = begin(workspace, tmp_path, "one")
    run(home, "promote", "--reason", "launch", "--by", "ann")
    told = json.loads(run(home, "rollback", "--reason", "no", "--by", "bob", "--json"))
    assert (told["rollout_id"], told["serves"]) == (rollout_id, {"policy": None})


def test_without_a_name_the_account_is_who_acts(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace(home)
    begin(workspace, tmp_path, "one")
    record = json.loads(run(home, "end", "--reason", "enough", "--json"))
    assert record["state"] == "ended"
    (event,) = [e for e in workspace.deployments.events(SPEC.name) if e.kind == "ended"]
    assert event.actor.startswith("cli:")


def test_approve_finds_what_awaits_it(home: Path, tmp_path: Path) -> None:
    workspace = open_workspace(home)
    rollout_id = begin(workspace, tmp_path, "one", ASKS)
    assert "awaiting_approval" in run(home, "list")
    told = run(home, "approve", "--reason", "a small group", "--by", "ann")
    assert told.startswith(f"{rollout_id}: in shadow")
    (record,) = json.loads(run(home, "list", "--json"))
    assert (record["approved_by"], record["approval_reason"]) == ("ann", "a small group")


@pytest.mark.parametrize("action", ["approve", "pause", "resume", "promote", "rollback", "end"])
def test_an_action_without_a_trial_says_so_and_one_without_a_reason_is_usage(
    home: Path, action: str
) -> None:
    with pytest.raises(ShouldNameKnownId, match="nothing on trial"):
        run(home, action, "--reason", "why")
    found = CliRunner().invoke(app, ["rollout", action, "--loop", "companion"])
    assert found.exit_code == 2


def test_a_plan_needs_a_log(home: Path) -> None:
    with pytest.raises(ShouldCollectMoreData, match="aggregated"):
        run(home, "plan")
