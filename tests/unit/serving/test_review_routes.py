"""Quarantine over HTTP and on the command line: seen, released, rejected, and what becomes of signals."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.contracts.access import Scope
from everloop.contracts.feedback import AIInterpretation, FeedbackStatus
from everloop.contracts.serving import Submission
from tests.two_tenants import OURS, Sent, World, two_tenants

QUARANTINE = "/api/rlhf/feedback/quarantine"
REVIEW = "/api/rlhf/feedback/{feedback_id}/review"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with two_tenants(tmp_path) as made:
        yield made


@pytest.fixture
def held(world: World) -> str:
    """Another quarantined feedback, one that says how good the output was."""
    store = world.service.workspace.feedback
    thumb = replace(
        store.feedback(world.ours.quarantined, OURS),
        feedback_id=str(uuid.uuid4()),
        interpretations=(AIInterpretation("liked", value=1.0),),
    )
    world.service.queue.submit(Submission(OURS, "cli:test", feedback=(thumb,))).result(30)
    return thumb.feedback_id


def decide(world: World, status: str, feedback_id: str | None = None, expect: int = 200) -> Any:
    sent = Sent(
        path={"feedback_id": feedback_id or world.ours.quarantined},
        body={"status": status, "reason": "looked at it"},
    )
    answer = world.send("PUT", REVIEW, sent, world.keys[OURS])
    assert answer.status_code == expect, answer.text
    return answer.json()


def waiting(world: World) -> list[Any]:
    answer = world.send("GET", QUARANTINE, Sent(), world.keys[OURS])
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["feedback"]
    return found


def opinions(world: World) -> list[tuple[float, float]]:
    """(value, confidence) of the stored signals that feedback implies."""
    stored = world.service.workspace.log.signals_of([world.ours.episode], OURS)
    signals = stored.get(world.ours.episode, ())
    return [(s.value, s.confidence) for s in signals if s.signal_type == "opinion"]


def disputes(world: World) -> list[str]:
    return [d.status for d in world.service.workspace.log.disputes(OURS)]


def test_quarantine_shows_what_was_seen(world: World) -> None:
    (row,) = waiting(world)
    assert row["feedback_id"] == world.ours.quarantined
    assert row["quality"] == 0.1
    assert row["quality_reasons"] == ["repeated"]
    assert row["reviews"] == []
    assert opinions(world) == []


def test_released_feedback_teaches_as_if_it_had_been_accepted(world: World, held: str) -> None:
    assert opinions(world) == []
    row = decide(world, "released", held)
    assert (row["status"], row["reviews"][0]["reason"]) == ("released", "looked at it")
    assert held not in {each["feedback_id"] for each in waiting(world)}
    # Weight 0.5 x confidence 0.75: the reviewer's word replaces the quality of 0.1.
    assert opinions(world) == [(1.0, pytest.approx(0.375))]


def test_the_same_decision_again_changes_nothing(world: World, held: str) -> None:
    first = decide(world, "released", held)
    entries = len(world.audited(OURS))
    assert decide(world, "released", held) == first
    assert len(world.audited(OURS)) == entries
    assert len(opinions(world)) == 1


def test_rejecting_after_a_release_disputes_what_it_taught(world: World, held: str) -> None:
    decide(world, "released", held)
    assert disputes(world) == []
    row = decide(world, "rejected", held)
    assert disputes(world) == ["upheld"]
    assert [each["status"] for each in row["reviews"]] == ["rejected", "released"]
    decide(world, "released", held)
    assert "upheld" not in disputes(world)


def test_accepted_feedback_can_be_quarantined_and_nothing_is_lost(world: World) -> None:
    decide(world, "quarantined", world.ours.feedback)
    assert {row["feedback_id"] for row in waiting(world)} == {
        world.ours.feedback,
        world.ours.quarantined,
    }
    decide(world, "released", world.ours.feedback)
    store = world.service.workspace.feedback
    assert store.feedback(world.ours.feedback, OURS).status is FeedbackStatus.RELEASED


def test_a_decision_by_a_person_is_not_undone_by_quarantine(world: World) -> None:
    decide(world, "released")
    problem = decide(world, "quarantined", expect=409)
    assert problem["title"] == "ShouldResolveConflict"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "accepted", "reason": "no such decision"}, 422),
        ({"status": "released", "reason": ""}, 422),
        ({"status": "released", "reason": "x", "why": "a typo"}, 422),
    ],
)
def test_malformed_decisions_are_refused(world: World, body: Any, status: int) -> None:
    sent = Sent(path={"feedback_id": world.ours.quarantined}, body=body)
    assert world.send("PUT", REVIEW, sent, world.keys[OURS]).status_code == status
    assert len(waiting(world)) == 1


def test_unknown_feedback_is_404(world: World) -> None:
    decide(world, "released", "00000000-0000-4000-8000-000000000000", expect=404)
    decide(world, "released", "no-uuid", expect=404)


def test_readers_may_not_review(world: World) -> None:
    key = world.key(OURS, *(set(Scope) - {Scope.REVIEW}))
    assert world.send("GET", QUARANTINE, Sent(), key).status_code == 403


def test_command_line_lists_and_decides(world: World, held: str, tmp_path: Path) -> None:
    where = ["--home", str(world.service.workspace.home), "--tenant", OURS]

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["feedback", *words, *where], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    rows = json.loads(run("quarantine", "list", "--json"))
    assert [row["feedback_id"] for row in rows] == [world.ours.quarantined, held]
    assert rows[1]["quality_reasons"] == ["repeated"]
    assert held in run("quarantine", "list")
    loop = str(tmp_path / "coach.yaml")
    said = run("release", held, "--reason", "a colleague", "--loop", loop)
    assert said == f"{held}: released\n"
    assert len(opinions(world)) == 1
    run("reject", held, "--reason", "not so", "--loop", loop)
    assert disputes(world) == ["upheld"]


def test_command_line_refuses_to_lose_the_signals_of_a_loop_it_does_not_know(world: World) -> None:
    from everloop.contracts.errors import ShouldFixArgument

    words = ["feedback", "release", world.ours.quarantined, "--reason", "x", "--tenant", OURS]
    with pytest.raises(ShouldFixArgument, match="'coach'"):
        CliRunner().invoke(
            app, [*words, "--home", str(world.service.workspace.home)], catch_exceptions=False
        )
    assert len(waiting(world)) == 1
