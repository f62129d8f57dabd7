"""Showing and erasing a person from the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.cli import main
from everloop.cli.app import app
from everloop.contracts.episodes import Episode
from everloop.loops import load
from everloop.wiring import open_workspace

EPISODE = "00000000-0000-4000-8000-000000000001"
SPEC = load("companion")
PULSE = 71.515625


@pytest.fixture
def home(tmp_path: Path) -> str:
    place = str(tmp_path / "home")
    run("init", "--home", place)
    workspace = open_workspace(place)
    episode = Episode(
        episode_id=EPISODE,
        user_id=workspace.pseudonyms.of("alice"),
        loop=SPEC.name,
        context_snapshot={"heart_rate": PULSE, "hour": 3},
        action_taken="no_action",
        timestamp=datetime(2026, 3, 1, tzinfo=UTC),
        model_version="v1",
        propensity=0.5,
        valid_actions=("no_action",),
    )
    sealed = workspace.vault.seal(SPEC, "default", EPISODE, dict(episode.context_snapshot))
    workspace.log.append_episodes([replace(episode, context_snapshot=sealed)])
    return place


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["everloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


def actions(home: str) -> list[str]:
    return [entry.action for entry in open_workspace(home).audit.entries("default")]


def test_an_export_is_json_lines_with_health_fields_opened(home: str) -> None:
    (line,) = run("person", "export", "alice", "--home", home).splitlines()
    row = json.loads(line)
    assert row["table"] == "training_episodes"
    assert row["row"]["context_snapshot"] == {"heart_rate": PULSE, "hour": 3}
    assert actions(home) == ["person.export", "health.read"]
    assert run("person", "export", "bob", "--home", home) == ""


def test_an_erasure_asks_first(
    home: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = fail(capsys, monkeypatch, "person", "erase", "alice", "--home", home)
    assert "1 rows of this person would be gone" in said
    assert "--yes" in said
    named = ("--yes", "--reason", "alice asked")
    assert "names the person" in fail(
        capsys, monkeypatch, "person", "erase", "alice", "--home", home, *named
    )
    assert len(run("person", "export", "alice", "--home", home).splitlines()) == 1


def test_an_erasure_deletes_and_says_what(home: str) -> None:
    erase = ("person", "erase", "alice", "--home", home, "--yes", "--reason", "by letter")
    said = run(*erase)
    assert "is erased" in said
    assert "alice" not in said
    assert "training_episodes  1 rows" in said
    record = json.loads(run(*erase, "--json"))
    assert record["deleted"]["training_episodes"] == 1
    assert record["erasure_id"] in said
    assert actions(home) == ["person.erase"]
    (line,) = run("person", "export", "alice", "--home", home).splitlines()
    assert json.loads(line)["table"] == "erasures"


def test_consents_and_disputes_are_audited(home: str) -> None:
    run("consent", "set", "alice", "--withdraw", "--home", home)
    assert actions(home) == ["consent.record"]
