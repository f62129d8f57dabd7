"""``everloop rollout manifests``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from everloop.cli.manifests import manifests
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.rollouts import (
    Artefact,
    Deployment,
    RolloutRecord,
    Stay,
    deployment_id_of,
)
from everloop.settings import initialise
from everloop.wiring import Workspace, open_workspace

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
PARTS = (Artefact("policy", "c1", "companion-0123456789abcdef", "a" * 64, "companion-v1"),)
ID = deployment_id_of("companion", "default", PARTS)

app = typer.Typer()
app.command()(manifests)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    initialise(tmp_path / "home")
    opened = open_workspace(tmp_path / "home")
    opened.deployments.record(Deployment(ID, "companion", PARTS, NOW))
    return opened


def on_trial(workspace: Workspace, percent: float) -> None:
    workspace.rollouts.start(
        RolloutRecord(
            "r1",
            "companion",
            "c1",
            None,
            "started",
            percent,
            ("fine",),
            NOW,
            deployment_id=ID,
            history=(Stay("started", percent, NOW),),
        )
    )


def asked(workspace: Workspace, *more: str) -> list[str]:
    return [
        "--loop",
        "companion",
        "--service-url",
        "http://everloop.ml:8000",
        "--home",
        str(workspace.home),
        *more,
    ]


def test_the_trial_s_documents_are_written_as_files(workspace: Workspace, tmp_path: Path) -> None:
    on_trial(workspace, 25.0)
    more = ["--engine", "argo", "--engine", "flagger", "--engine", "kserve"]
    more += ["--storage-uri", "gs://bucket/models", "--output", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, asked(workspace, *more))
    assert ended.exit_code == 0, ended.output
    found = {
        path.stem: [d["kind"] for d in YAML(typ="safe").load_all(path)]
        for path in (tmp_path / "out").iterdir()
    }
    assert found == {
        "argo": ["AnalysisTemplate", "AnalysisTemplate", "Rollout"],
        "flagger": ["Canary"],
        "kserve": ["InferenceService"],
    }
    (service,) = YAML(typ="safe").load_all(tmp_path / "out" / "kserve.yaml")
    assert service["spec"]["predictor"]["canaryTrafficPercent"] == 25
    (canary,) = YAML(typ="safe").load_all(tmp_path / "out" / "flagger.yaml")
    assert canary["spec"]["analysis"]["stepWeights"] == [1, 5, 25]


def test_one_that_neither_serves_nor_is_on_trial_gets_no_traffic(workspace: Workspace) -> None:
    more = ["--engine", "kserve", "--storage-uri", "gs://b", "--deployment", ID]
    ended = CliRunner().invoke(app, asked(workspace, *more))
    assert "canaryTrafficPercent: 0" in ended.output


def test_nothing_to_follow_is_said(workspace: Workspace) -> None:
    ended = CliRunner().invoke(app, asked(workspace, "--engine", "argo"))
    assert isinstance(ended.exception, ShouldFixArgument)
    assert "no deployment on trial" in ended.exception.message
    unknown = ["--engine", "argo", "--deployment", "5f4b8f0e-3c6d-4b51-9b3f-2f0a7d1b6c45"]
    ended = CliRunner().invoke(app, asked(workspace, *unknown))
    assert isinstance(ended.exception, ShouldNameKnownId)
