"""``everloop rollout breaker``: by hand, with a reason, and safe to repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.settings import initialise
from everloop.wiring import open_workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    initialise(tmp_path / "home")
    return tmp_path / "home"


def run(home: Path, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, ["rollout", "breaker", *arguments, "--home", str(home)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_is_opened_and_closed_by_a_named_person_for_a_reason(home: Path) -> None:
    opened = run(home, "open", "--loop", "companion", "--reason", "it rang at night")
    assert "open" in opened
    assert "it rang at night" in opened
    store = open_workspace(home).deployments
    assert store.head("companion").breaker.open
    told = json.loads(run(home, "close", "--loop", "companion", "--reason", "mended", "--json"))
    assert (told["loop"], told["open"], told["reason"], told["opened_at"]) == (
        "companion",
        False,
        "mended",
        None,
    )
    assert not store.head("companion").breaker.open
    events = store.events("companion")
    assert [(e.kind, e.reason) for e in events] == [
        ("breaker_opened", "it rang at night"),
        ("breaker_closed", "mended"),
    ]
    assert all(event.actor.startswith("cli:") for event in events)


def test_opening_twice_is_one_event(home: Path) -> None:
    for _ in range(2):
        run(home, "open", "--loop", "companion", "--reason", "x")
    assert len(open_workspace(home).deployments.events("companion")) == 1


def test_tenants_have_breakers_of_their_own(home: Path) -> None:
    run(home, "open", "--loop", "companion", "--reason", "x", "--tenant", "acme")
    store = open_workspace(home).deployments
    assert store.head("companion", "acme").breaker.open
    assert not store.head("companion").breaker.open


def test_without_a_reason_nothing_is_opened(home: Path) -> None:
    done = CliRunner().invoke(
        app, ["rollout", "breaker", "open", "--loop", "companion", "--home", str(home)]
    )
    assert done.exit_code == 2
    done = CliRunner().invoke(
        app,
        ["rollout", "breaker", "open", "--loop", "companion", "--reason", " ", "--home", str(home)],
    )
    assert "Say who and why" in str(done.exception)
