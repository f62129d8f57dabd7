"""``everloop review``: flagged episodes seen and decided, and the review of what serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldNameKnownId,
)
from everloop.contracts.oversight import OversightKind, ReviewState
from everloop.wiring import Workspace, open_workspace
from tests.conformance.test_registry import checkpoint
from tests.conformance.test_review_store import item
from tests.log_records import episode, signal, uuid_of


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    made = open_workspace(tmp_path / "home")
    made.log.append_batch([episode(n) for n in (1, 2, 3)], [signal(1, of=1), signal(2, of=1)])
    made.reviews.flag([item(1), item(2), item(3, loop="swim")])
    return made


def run(place: Workspace, *words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["review", *words, "--home", str(place.home)])
    if isinstance(result.exception, EverloopError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def told(place: Workspace, *words: str) -> Any:
    return json.loads(run(place, *words, "--json").stdout)


ID = item(1).review_id
OTHER = item(2).review_id


def test_what_waits_is_listed_with_its_reason(place: Workspace) -> None:
    text = run(place, "list", "--loop", "walk").stdout
    assert text.index(ID) < text.index(OTHER)
    assert item(3, loop="swim").review_id not in text
    assert item(1).reason in text
    assert len(told(place, "list")) == 3
    (first,) = told(place, "list", "--limit", "1")
    assert first["review_id"] == ID
    assert [row["review_id"] for row in told(place, "list", "--loop", "walk", "--after", ID)] == [
        OTHER
    ]


def test_a_full_page_says_how_to_go_on(place: Workspace) -> None:
    assert f"--after {ID}" in run(place, "list", "--limit", "1").stderr
    assert "--after" not in run(place, "list", "--limit", "4").stderr


def test_showing_tells_the_decision_and_its_signals(place: Workspace) -> None:
    text = run(place, "show", ID).stdout
    for wanted in ("left", "0.25", "v1 (active)", "engagement 0.5", uuid_of(1), item(1).reason):
        assert wanted in text, wanted
    assert "a" * 64 not in text
    (row,) = told(place, "show", ID)
    assert [one["signal_type"] for one in row["signals"]] == ["engagement", "engagement"]
    assert (row["action"], row["propensity"], row["person"]) == ("left", 0.25, "a" * 12)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("release", ReviewState.RELEASED),
        ("reject", ReviewState.REJECTED),
        ("reopen", ReviewState.OPEN),
    ],
)
def test_several_are_decided_at_once(place: Workspace, command: str, state: ReviewState) -> None:
    place.reviews.decide(ID, ReviewState.REJECTED, "first", "eve", item(1).flagged_at, "default")
    said = ("--reason", "a busy day", "--by", "rita")
    text = run(place, command, ID, OTHER, *said).stdout
    assert text.splitlines() == [f"{ID}: {state.value}", f"{OTHER}: {state.value}"]
    found = place.reviews.item(ID)
    assert (found.state, found.decided_by, found.decision_reason) == (state, "rita", "a busy day")
    if state is not ReviewState.OPEN:
        assert "rita" in run(place, "show", OTHER).stdout
        assert len(told(place, "list", "--state", state.value)) == 2
    assert len(told(place, "list", "--state", "all")) == 3


def test_the_account_decides_where_nobody_is_named(place: Workspace) -> None:
    run(place, "release", ID, "--reason", "fine")
    assert place.reviews.item(ID).decided_by.startswith("cli:")


def test_an_unknown_one_among_several_decides_none(place: Workspace) -> None:
    missing = uuid_of(9, "review")
    with pytest.raises(ShouldNameKnownId, match=missing):
        run(place, "release", ID, missing, "--reason", "fine")
    assert place.reviews.item(ID).state is ReviewState.OPEN


def test_wrong_arguments_are_named(place: Workspace) -> None:
    with pytest.raises(ShouldFixArgument, match="'closed'"):
        run(place, "list", "--state", "closed")
    with pytest.raises(ShouldFixArgument, match="who decides and why"):
        run(place, "release", ID, "--reason", " ")
    run(place, "release", ID, code=2)


def serve(place: Workspace) -> str:
    made = place.registry.register(checkpoint(1, loop="walk"))
    place.registry.set_alias("walk", "active", made.checkpoint_id, 0, "a test")
    return made.checkpoint_id


@pytest.mark.parametrize("passed", [True, False])
def test_the_weekly_review_of_what_serves_is_recorded(place: Workspace, passed: bool) -> None:
    serves = serve(place)
    words = ["model", "--loop", "walk", "--by", "rita", "--reason", "read forty of its decisions"]
    run(place, *words, *([] if passed else ["--failed"]))
    said = place.oversights.latest("walk", OversightKind.REVIEW)
    assert said is not None
    assert (said.subject_id, said.passed, said.actor) == (serves, passed, "rita")
    assert said.reason == "read forty of its decisions"
    assert told(place, *words)["subject_id"] == serves


def test_where_nothing_serves_there_is_nothing_to_review(place: Workspace) -> None:
    with pytest.raises(ShouldFixArgument, match=r"'walk'.*serves no model"):
        run(place, "model", "--loop", "walk", "--reason", "looked")
    assert place.oversights.latest("walk", OversightKind.REVIEW) is None


def test_the_help_teaches(place: Workspace) -> None:
    text = " ".join(CliRunner().invoke(app, ["review", "--help"]).stdout.split())
    for wanted in ("anomaly", "outlier_action", "release", "reject", "model", "next date"):
        assert wanted in text, wanted
