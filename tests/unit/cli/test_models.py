"""``everloop models``: the same models and guards as over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import settings
from everloop.cli import app as cli
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldRestoreArtefact
from everloop.contracts.models import ModelType, Provenance
from everloop.loops import load
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.wiring import open_workspace
from tests.made_policies import made_policy

VERSION = "companion-1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings.initialise(tmp_path / "home")
    return tmp_path / "home"


def registered(
    home: Path,
    night: str = "x",
    verdict: str = "continue",
    kind: ModelType = ModelType.INTERVENTION,
) -> str:
    version = VERSION if kind is ModelType.INTERVENTION else f"companion-{kind}-1"
    policy = made_policy(load("companion"), f"{VERSION}{night}", home / f"{night}.onnx")
    made = Candidate(
        loop="companion",
        model_type=kind,
        files={"policy.onnx": policy},
        served="policy.onnx",
        performance_metrics={"difference": 0.125},
        lineage=dict.fromkeys(REQUIRED_LINEAGE, night) | {"version": version},
        provenance=Provenance.PRIVATE_RELEASE,
        verdict=verdict,
        training_date=datetime(2026, 3, 10, 4, tzinfo=UTC),
    )
    place = open_workspace(home)
    return register(made, place.registry, place.blobs).checkpoint_id


def run(home: Path, *words: str) -> None:
    cli.app(["models", *words, "--home", str(home)], standalone_mode=False)


def test_a_model_is_listed_deployed_and_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint_id = registered(home)
    run(home, "list", "--loop", "companion")
    line = capsys.readouterr().out.splitlines()[-1]
    for word in (checkpoint_id, VERSION, "continue", "2026-03-10 04:00", "+0.125"):
        assert word in line
    run(home, "deploy", checkpoint_id, "--reason", "better", "--expected-generation", "0")
    assert capsys.readouterr().out == f"{VERSION} serves companion (generation 1)\n"
    place = open_workspace(home)
    assert place.registry.alias("companion", "active") == (checkpoint_id, 1)
    entry = place.audit.entries("default")[-1]
    assert (entry.action, entry.resource) == ("model.deploy", checkpoint_id)
    assert entry.actor.startswith("cli:")
    run(home, "list", "--loop", "companion", "--json")
    listed = capsys.readouterr().out
    assert json.loads(listed)[0]["aliases"] == ["active"]
    run(home, "list", "--json")
    assert capsys.readouterr().out == listed
    run(home, "list")
    assert "companion" in capsys.readouterr().out.splitlines()[-1]
    run(home, "deploy", checkpoint_id, "--reason", "again", "--json")
    assert json.loads(capsys.readouterr().out)["generation"] == 1
    run(home, "metrics", checkpoint_id)
    told = capsys.readouterr().out
    for pair in ("serves      yes", "run         not known any more", "difference  0.125"):
        assert pair in told
    run(home, "metrics", checkpoint_id, "--json")
    assert json.loads(capsys.readouterr().out)["performance_metrics"] == {"difference": 0.125}


def test_what_may_not_serve_is_refused(home: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="held by the gate"):
        run(home, "deploy", registered(home, verdict="hold"), "--reason", "why not")
    with pytest.raises(ShouldNameKnownId, match="no-such"):
        run(home, "metrics", "no-such")


def test_what_served_before_serves_again_as_one_unit(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = open_workspace(home)
    policies = [registered(home, number) for number in ("one", "two")]
    pairing = registered(home, kind=ModelType.PAIRING)
    run(home, "deploy", policies[0], "--reason", "first")
    with pytest.raises(ShouldNameKnownId, match="companion"):
        run(home, "back", "companion", "--reason", "worse")
    run(home, "deploy", policies[1], "--reason", "better")
    run(home, "deploy", pairing, "--reason", "better")
    events = place.deployments.events("companion")
    capsys.readouterr()
    run(home, "back", "companion", "--reason", "worse", "--json")
    made = json.loads(capsys.readouterr().out)
    assert made["deployment_id"] == events[1].deployment_id
    assert made["withdrawn"] == events[2].deployment_id
    assert made["serves"] == {"policy": policies[1], "pairing": None}
    run(home, "back", "companion", "--reason", "worse still")
    assert policies[0] in capsys.readouterr().out
    last = place.deployments.events("companion")[-1]
    assert (last.kind, last.reason) == ("rolled_back", "worse still")
    assert last.actor.startswith("cli:")
    assert last.evidence["withdrawn"] == events[1].deployment_id
    assert place.registry.alias("companion", "active")[0] == policies[0]
    with pytest.raises(ShouldNameKnownId):
        run(home, "back", "companion", "--reason", "what else")


def test_nobody_goes_back_to_damaged_files(home: Path) -> None:
    place = open_workspace(home)
    policies = [registered(home, number) for number in ("one", "two")]
    for checkpoint_id in policies:
        run(home, "deploy", checkpoint_id, "--reason", "better")
    sha256 = place.registry.checkpoint(policies[0]).weights_sha256
    path = home / "blobs" / sha256[:2] / sha256
    path.chmod(0o644)
    path.write_bytes(b"other")
    with pytest.raises(ShouldRestoreArtefact, match=sha256):
        run(home, "back", "companion", "--reason", "worse")
    assert place.registry.alias("companion", "active")[0] == policies[1]


def test_each_kind_is_deployed_under_its_own_alias(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {kind: registered(home, kind=kind) for kind in ModelType}
    assert len(set(made.values())) == len(ModelType)
    for kind in set(ModelType) - {ModelType.INTERVENTION}:
        run(home, "deploy", made[kind], "--reason", "better")
        said = f"companion-{kind}-1 serves companion as its {kind} model (generation 1)"
        assert said in capsys.readouterr().out
    registry = open_workspace(home).registry
    assert registry.alias("companion", "active") == (None, 0)
    run(home, "deploy", made[ModelType.INTERVENTION], "--reason", "better")
    for kind in ModelType:
        alias = "active" if kind is ModelType.INTERVENTION else f"active-{kind}"
        assert registry.alias("companion", alias) == (made[kind], 1)
    capsys.readouterr()
    run(home, "list")
    listed = capsys.readouterr().out
    assert all(kind.value in listed for kind in ModelType)
    run(home, "list", "--type", "pairing", "--json")
    (pairing,) = json.loads(capsys.readouterr().out)
    assert (pairing["model_type"], pairing["aliases"]) == ("pairing", ["active-pairing"])
    assert pairing["active"]
    run(home, "metrics", made[ModelType.PAIRING])
    told = capsys.readouterr().out
    assert "serves      yes" in told
    assert "type        pairing" in told
