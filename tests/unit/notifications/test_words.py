"""What is told, and that the same thing has the same key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from everloop.cli.app import app
from everloop.contracts.errors import ShouldFixArgument, ShouldInitWorkspace
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollouts import RolloutEvent, RolloutRecord
from everloop.notifications.words import of_budget, of_event, of_failure, of_waiting

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)


def event(kind: str, sequence: int = 4, **evidence: object) -> RolloutEvent:
    return RolloutEvent(
        "walk",
        kind,
        NOW,
        "rollout-watch",
        "Because.",
        "d1",
        "r1",
        evidence,
        sequence=sequence,  # type: ignore[arg-type]
    )


def record(state: str) -> RolloutRecord:
    return RolloutRecord("r1", "companion", "c1", None, state, 0.0, ("No evidence.",), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("rolled_back", NoticeKind.ROLLBACK),
        ("promoted", NoticeKind.PROMOTION),
        ("hold", NoticeKind.HOLD),
        ("refused", NoticeKind.HOLD),
        ("breaker_opened", NoticeKind.BREAKER),
    ],
)
def test_an_event_that_people_should_know_is_told_once(kind: str, told: NoticeKind) -> None:
    notice = of_event(event(kind))
    assert notice is not None
    assert (notice.kind, notice.key) == (told, f"{told.value}/walk/4")
    assert notice.body.startswith("Because.")
    assert of_event(event(kind)) == notice
    other = of_event(event(kind, sequence=5))
    assert other is not None
    assert other.notice_id != notice.notice_id


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({}, "A candidate was rolled back"),
        ({"rollout_id": ""}, "What served before serves again"),
        ({"evidence": {"withdrawn": "d0"}}, "What served before serves again"),
        (
            {"evidence": {"withdrawn": "d0"}, "deployment_id": ""},
            "A promoted candidate was rolled back and nothing serves",
        ),
    ],
    ids=["trial", "by hand", "promoted", "nothing before"],
)
def test_a_return_is_told_by_what_serves_since(changed: dict[str, Any], title: str) -> None:
    told = of_event(replace(event("rolled_back"), **changed))
    assert told is not None
    assert (told.kind, told.title) == (NoticeKind.ROLLBACK, f"{title}: walk")


@pytest.mark.parametrize(
    "kind", ["waiting", "approved", "shadow", "step", "paused", "resumed", "ended", "deployed"]
)
def test_an_event_that_needs_nobody_is_not_told(kind: str) -> None:
    assert of_event(event(kind)) is None


def test_what_waits_for_a_person_is_told() -> None:
    waits = of_event(event("hold", awaits_person=True))
    assert waits is not None
    assert waits.kind is NoticeKind.AWAITING_APPROVAL
    asked = of_waiting(record("awaiting_approval"))
    assert asked is not None
    command = asked.body.splitlines()[-1].removeprefix("everloop ").split()
    parsed = CliRunner().invoke(app, [*command, "--home", "/nowhere/at/all"])
    assert isinstance(parsed.exception, ShouldInitWorkspace), parsed.output
    assert all(of_waiting(record(s)) is None for s in ("shadow", "started", "refused"))


def test_the_same_failure_of_a_run_is_one_notice_and_another_is_another() -> None:
    first = of_failure("walk-2026-03-28", "walk", "gate", "No\nroom", NOW)
    again = of_failure("walk-2026-03-28", "walk", "gate", "No\nroom", NOW + timedelta(hours=1))
    other = of_failure("walk-2026-03-28", "walk", "gate", "No key", NOW)
    assert first.key == again.key != other.key
    assert "\n" not in first.title


@pytest.mark.parametrize(
    ("spent", "share"), [(0.79, None), (0.8, "0.8"), (0.94, "0.8"), (0.95, "0.95"), (1.0, "1")]
)
def test_a_budget_is_told_of_at_four_fifths_and_again_near_its_end(
    spent: float, share: str | None
) -> None:
    status = BudgetStatus(1.0, 1e-5, 365, 0.04, spent, spent, 0.07, 0.05, 12, 3)
    told = of_budget(status, "walk", date(2026, 3, 28), NOW)
    assert (told and told.key) == (share and f"budget/walk/{share}/2026-03")


def test_keys_of_two_tenants_are_two_notices_and_titles_are_one_line() -> None:
    one = of_failure("r", "walk", "gate", "p", NOW)
    assert one.notice_id != replace(one, tenant="acme").notice_id
    with pytest.raises(ShouldFixArgument, match="one line"):
        Notice("k", NoticeKind.HOLD, "walk", "two\nlines", "", NOW)
    with pytest.raises(ShouldFixArgument, match="time zone"):
        Notice("k", NoticeKind.HOLD, "walk", "t", "", NOW.replace(tzinfo=None))
