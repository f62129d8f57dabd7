"""What is told, and that the same thing has the same key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.notifications import Notice, NoticeKind
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollouts import RolloutRecord, TrialVerdict
from everloop.notifications.words import of_budget, of_candidate, of_failure, of_trial

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
DRIFT = Check("drift", CheckStatus.FAILED, "The world moved.")
DWELL = Check("dwell", CheckStatus.INSUFFICIENT, "3 of 24 hours.")


def verdict(decision: Decision, *checks: Check, awaits: bool = False) -> TrialVerdict:
    return TrialVerdict("r1", "d1", decision, ("Because.",), checks, NOW, awaits_person=awaits)


def record(state: str) -> RolloutRecord:
    return RolloutRecord("r1", "walk", "c1", None, state, 0.0, ("No evidence.",), NOW)  # type: ignore[arg-type]


def test_a_rollback_and_a_promotion_are_told_once_each() -> None:
    back = of_trial(verdict(Decision.ROLLBACK), "walk")
    assert back is not None
    assert (back.kind, back.key, back.body) == (NoticeKind.ROLLBACK, "rollback/r1", "Because.")
    up = of_trial(verdict(Decision.PROMOTE), "walk")
    assert up is not None
    assert up.key == "promotion/r1"


def test_a_hold_is_told_for_what_failed_and_not_for_time() -> None:
    assert of_trial(verdict(Decision.HOLD, DWELL), "walk") is None
    assert of_trial(verdict(Decision.CONTINUE, DWELL), "walk") is None
    held = of_trial(verdict(Decision.HOLD, DWELL, DRIFT), "walk")
    other = of_trial(replace(verdict(Decision.HOLD, DRIFT), at=NOW + timedelta(hours=1)), "walk")
    assert held is not None
    assert other is not None
    assert held.key == other.key == "hold/r1/drift"


def test_what_waits_for_a_person_is_told() -> None:
    waits = of_trial(verdict(Decision.HOLD, awaits=True), "walk")
    assert waits is not None
    assert waits.kind is NoticeKind.AWAITING_APPROVAL
    asked = of_candidate(record("awaiting_approval"), NOW)
    assert asked is not None
    assert "everloop rollout approve r1" in asked.body


def test_a_held_candidate_is_told_with_its_reasons_and_one_that_goes_on_is_not() -> None:
    held = of_candidate(record("refused"), NOW)
    assert held is not None
    assert held.kind is NoticeKind.HOLD
    assert held.body.startswith("No evidence.")
    assert all(of_candidate(record(s), NOW) is None for s in ("shadow", "started", "waiting"))


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
