"""``everloop persona``: what is shown, what is done, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.wiring import open_workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings.initialise(tmp_path / "home")
    return tmp_path / "home"


def run(home: Path, *arguments: str, loop: str = "companion") -> str:
    command, *others = arguments
    found = CliRunner().invoke(
        app,
        ["persona", command, "--loop", loop, "--home", str(home), *others],
        catch_exceptions=False,
    )
    assert found.exit_code == 0, found.output
    return found.output


def shown(home: Path) -> Any:
    return json.loads(run(home, "show", "--json"))


def test_a_persona_before_its_first_revision(home: Path) -> None:
    assert "as the specification says" in run(home, "show")
    assert shown(home)["revision"] == 0
    assert json.loads(run(home, "history", "--json")) == []


def test_a_trait_is_moved_undone_and_moved_again(home: Path) -> None:
    told = run(home, "adjust", "--reason", "complaints", "--by", "ann", "formality", "--", "-0.3")
    assert "formality is at -0.150" in told
    moved = shown(home)
    assert "Slightly lean to this style: relaxed and informal." in moved["prompt"]
    assert "what 2 changed is undone" in run(home, "undo", "--reason", "too sudden")
    assert run(home, "undo", "--reason", "it was right", "--json")
    assert shown(home)["sha256"] == moved["sha256"]
    rows = json.loads(run(home, "history", "--json"))
    assert [row["undoes"] for row in rows] == [3, 2, None, None]
    assert rows[2]["cause"].startswith("ann ")
    assert "specification" in run(home, "history")
    actions = [entry.action for entry in open_workspace(home).audit.entries("default")]
    assert actions == ["persona.adjust", "persona.undo", "persona.undo"]


def test_facts_are_remembered_and_forgotten(home: Path) -> None:
    run(home, "remember", "The shop opens at nine.")
    run(home, "remember", "Their dog is Rex.", "--person", "ben")
    found = shown(home)
    (item,) = found["memory"]
    assert item["text"] == "The shop opens at nine."
    assert "Rex" not in json.dumps(found)
    assert "The shop opens at nine." in run(home, "show")
    run(home, "forget", item["source_id"], "--reason", "closed")
    assert shown(home)["memory"] == []
    with pytest.raises(ShouldNameKnownId, match="remembers nothing"):
        run(home, "forget", item["source_id"], "--reason", "again")
    place = open_workspace(home)
    own = place.personas.newest("companion", place.pseudonyms.of("ben", "default"))
    assert own is not None
    assert b"Rex" in own.content


def test_what_is_remembered_acts_on_no_terminal(home: Path) -> None:
    run(home, "remember", "Nine.\x1b]52;c;cm0=\x07[/bold]")
    run(home, "adjust", "--reason", "so\x1b[2J[/bold]", "formality", "--", "-0.3")
    told = run(home, "show") + run(home, "history")
    assert "\x1b" not in told
    assert "Nine.\ufffd]52;c;cm0=\ufffd[/bold]" in told


def test_what_cannot_be_done_is_told(home: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="no change to undo"):
        run(home, "undo", "--reason", "why")
    with pytest.raises(ShouldNameKnownId, match="no trait 'colour'"):
        run(home, "adjust", "colour", "0.1", "--reason", "why")
    with pytest.raises(ShouldFixArgument, match="has no voice"):
        run(home, "show", loop="open_bandit")
