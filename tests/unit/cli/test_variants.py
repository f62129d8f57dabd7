"""``everloop variants`` and the functions behind it: from a start to a winner that people chose."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
)
from everloop.contracts.feedback import AIInterpretation, FeedbackStatus
from everloop.contracts.serving import Submission
from everloop.sdk import variants
from everloop.settings import initialise
from everloop.wiring import Workspace, open_ingest, open_workspace
from tests import feedback_records


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def begun(workspace: Workspace, min_people: int = 10) -> str:
    made = variants.start(
        workspace,
        "companion",
        "guide",
        {"warm": {"warmth": 0.8}},
        shares={"warm": 50.0},
        min_people=min_people,
    )
    return made.experiment_id


def say(workspace: Workspace, told: dict[str, float], **changes: Any) -> None:
    """Store a judgement of the persona for each product id."""
    now = datetime.now(UTC)
    records: list[Any] = []
    said = []
    for number, (user, value) in enumerate(sorted(told.items())):
        person = workspace.pseudonyms.of(user, "default")
        spoke = {"user_id": person, "persona": "guide"}
        records.append(feedback_records.interaction(number + 1, now, **spoke))
        meant = (AIInterpretation("opinion", value=value),)
        base = feedback_records.feedback(number + 1, number + 1, now, **spoke)
        said.append(replace(base, interpretations=meant, **changes))
    queue = open_ingest(workspace)
    try:
        queue.submit(
            Submission("default", "cli:test", interactions=tuple(records), feedback=tuple(said))
        ).result(30)
    finally:
        queue.close()


def people(workspace: Workspace, experiment_id: str, number: int) -> dict[str, str]:
    """Product id -> the variant that it met."""
    return {
        f"user-{n}": variants.assign(workspace, experiment_id, f"user-{n}").variant_id
        for n in range(number)
    }


def test_people_s_feedback_chooses_the_winner(workspace: Workspace) -> None:
    wanted = begun(workspace)
    met = people(workspace, wanted, 160)
    assert {"guide", "warm"} == set(met.values())
    liked = {"warm": (1.0, 0.5), "guide": (0.0, -0.5)}
    say(workspace, {user: liked[v][n % 2] for n, (user, v) in enumerate(met.items())})
    before, verdict = variants.judged(workspace, wanted)
    assert (before.state, verdict.winner) == ("running", "warm")
    assert all(v.metrics.response and v.metrics.response.value == 1.0 for v in before.variants)
    assert verdict.ratio is not None
    assert sum(verdict.ratio.observed.values()) == 160
    after, _ = variants.settle(workspace, wanted)
    assert (after.state, after.winner) == ("promoted", "warm")
    newcomer = variants.assign(workspace, wanted, "somebody new")
    assert newcomer.variant_id == "warm"
    assert variants.settle(workspace, wanted)[0].generation == 1


def test_a_better_rated_variant_whose_people_fall_silent_is_not_promoted(
    workspace: Workspace,
) -> None:
    wanted = begun(workspace)
    met = people(workspace, wanted, 160)
    liked = {"warm": (1.0, 0.5), "guide": (0.0, -0.5)}
    told = {
        u: liked[v][n % 2] for n, (u, v) in enumerate(met.items()) if v == "guide" or n % 3 == 0
    }
    say(workspace, told)
    measured, verdict = variants.settle(workspace, wanted)
    assert (measured.state, verdict.winner) == ("running", "")
    assert "may have stopped answering" in verdict.reason


def test_feedback_in_quarantine_and_from_before_chooses_nobody(workspace: Workspace) -> None:
    wanted = begun(workspace)
    met = people(workspace, wanted, 60)
    told = {u: (1.0 if v == "warm" else -1.0) for u, v in met.items()}
    say(workspace, told, status=FeedbackStatus.QUARANTINED, quality=0.1)
    assert variants.judged(workspace, wanted)[0].variants[1].metrics.feedback == 0


def test_feedback_from_before_the_meeting_does_not_count(workspace: Workspace) -> None:
    wanted = begun(workspace)
    met = people(workspace, wanted, 4)
    say(
        workspace,
        dict.fromkeys(met, 1.0),
        timestamp=datetime.now(UTC) - timedelta(minutes=5),
    )
    assert all(v.metrics.feedback == 0 for v in variants.judged(workspace, wanted)[0].variants)


def test_who_met_a_variant_keeps_it(workspace: Workspace) -> None:
    wanted = begun(workspace)
    assert people(workspace, wanted, 20) == people(workspace, wanted, 20)
    assert len(workspace.variants.exposures(wanted)) == 20


def test_the_commands_start_show_and_end_one(workspace: Workspace) -> None:
    home = ["--home", str(workspace.home)]
    runner = CliRunner()
    terms = ["--loop", "companion", "--base", "guide", "--variant", "warm=30", "--max-days", "14"]
    started = runner.invoke(
        app,
        ["variants", "start", *terms, "--change", 'warm={"warmth": 0.8}', "--json", *home],
    )
    assert started.exit_code == 0, started.output
    made = json.loads(started.output)
    assert [v["traffic_percentage"] for v in made["variants"]] == [70.0, 30.0]
    assert made["variants"][1]["modifications"] == {"warmth": 0.8}
    assert made["max_days"] == 14
    wanted = made["experiment_id"]
    shown = runner.invoke(app, ["variants", "show", wanted, *home])
    assert "Too few people judged" in shown.output
    assert "in the shares asked for (guide 0 of 0, warm 0 of 0 expected)" in shown.output
    assert "answered" in shown.output
    assert "running" in runner.invoke(app, ["variants", "judge", wanted, *home]).output
    end = ["variants", "promote", wanted, "--variant", "warm", "--reason", "we like it", *home]
    assert "promoted" in runner.invoke(app, end).output
    listed = runner.invoke(app, ["variants", "list", *home])
    assert "warm 30 %" in listed.output
    stopped = runner.invoke(app, ["variants", "stop", wanted, "--reason", "no", *home])
    assert stopped.exit_code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--variant", "warm"], "NAME=VALUE"),
        (["--variant", "warm=half"], "no number"),
        (["--variant", "warm=120"], "(warm=120)"),
        (["--variant", "warm=-20"], "(warm=-20)"),
        (["--variant", "warm=60", "--variant", "cool=50"], "110 % of people (warm=60, cool=50)"),
        (["--variant", "warm=nan"], "(warm=nan)"),
        (["--variant", "warm=30", "--change", "cold={}"], "no --variant"),
        (["--variant", "warm=30", "--change", "warm=[1]"], "no JSON object"),
        (["--variant", "warm=30", "--change", "warm={"], "--change warm"),
        (["--variant", "warm=30", "--subject", "voice"], "subject"),
    ],
)
def test_odd_terms_are_refused_by_name(workspace: Workspace, more: list[str], said: str) -> None:
    asked = ["variants", "start", "--loop", "companion", "--base", "guide", *more]
    ended = CliRunner().invoke(app, [*asked, "--home", str(workspace.home)])
    assert isinstance(ended.exception, ShouldFixArgument)
    assert said in str(ended.exception)


def test_a_second_one_with_the_same_persona_waits(workspace: Workspace) -> None:
    begun(workspace)
    with pytest.raises(ShouldResolveConflict, match="running"):
        begun(workspace)


def test_ending_by_hand_needs_a_reason_and_a_known_variant(workspace: Workspace) -> None:
    wanted = begun(workspace)
    with pytest.raises(ShouldFixArgument, match="reason"):
        variants.stop(workspace, wanted, " ", "cli:ann")
    with pytest.raises(ShouldFixArgument, match="bold"):
        variants.promote(workspace, wanted, "bold", "why not", "cli:ann")
