from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.models import Provenance
from everloop.loops import load
from everloop.rollout.end import DEPLOYED, end_trial_of
from everloop.rollout.start import RAMP, rollout_id_of, start_rollout

SPEC = load("companion")
NOW = datetime(2025, 11, 21, 3, tzinfo=UTC)
GO = Verdict(Decision.CONTINUE, (Check("overlap", CheckStatus.PASSED, "Enough overlap."),))
HOLD = Verdict(Decision.HOLD, (Check("overlap", CheckStatus.FAILED, "Too little overlap."),))


def test_continue_starts_at_the_first_step(registry: Any, store: Any) -> None:
    registry.aliases["companion", "active", "default"] = ("old", 3)
    record = start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert record.state == "started"
    assert record.traffic_percent == RAMP[0] == 1
    assert (record.candidate, record.active, record.loop) == ("one", "old", "companion")
    assert record.reasons == ("Enough overlap.",)
    assert record.recorded_at == NOW
    assert record.rollout_id == rollout_id_of("companion", "default", "one")
    assert uuid.UUID(record.rollout_id)
    assert registry.alias("companion", "candidate") == ("one", 1)
    assert "started at 1 %" in registry.log[0]["reason"]
    assert registry.alias("companion", "active") == ("old", 3)


def test_hold_refuses_with_the_reasons(registry: Any, store: Any) -> None:
    record = start_rollout(SPEC, HOLD, "one", registry, store, NOW)
    assert record.state == "refused"
    assert record.traffic_percent == 0.0
    assert record.reasons == ("Too little overlap.",)
    assert registry.log == []
    assert registry.alias("companion", "candidate") == (None, 0)


@pytest.mark.parametrize("decision", [Decision.HOLD, Decision.ROLLBACK, Decision.PROMOTE])
def test_only_continue_starts(registry: Any, store: Any, decision: Decision) -> None:
    verdict = Verdict(decision, GO.checks)
    assert start_rollout(SPEC, verdict, "one", registry, store, NOW).state == "refused"


def test_a_verdict_without_checks_still_has_a_reason(registry: Any, store: Any) -> None:
    record = start_rollout(SPEC, Verdict(Decision.HOLD, ()), "one", registry, store, NOW)
    assert record.reasons == ("The gate made no check.",)


def test_again_is_the_same_record_and_moves_nothing(registry: Any, store: Any) -> None:
    first = start_rollout(SPEC, GO, "one", registry, store, NOW)
    again = start_rollout(SPEC, GO, "one", registry, store, NOW + timedelta(days=1))
    assert again == first
    assert len(store.records) == 1
    assert len(registry.log) == 1
    held = start_rollout(SPEC, HOLD, "two", registry, store, NOW)
    assert start_rollout(SPEC, HOLD, "two", registry, store, NOW + timedelta(days=1)) == held
    assert len(store.records) == 2


def test_the_second_candidate_waits(registry: Any, store: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    record = start_rollout(SPEC, GO, "two", registry, store, NOW)
    assert record.state == "waiting"
    assert record.traffic_percent == 0.0
    assert "Candidate one is on trial" in record.reasons[0]
    assert registry.alias("companion", "candidate") == ("one", 1)
    assert start_rollout(SPEC, GO, "two", registry, store, NOW) == record


def test_a_race_for_the_trial_is_decided_by_the_store(registry: Any, store: Any) -> None:
    """Both saw nobody on trial; the other one was first."""
    rival = start_rollout(SPEC, GO, "two", registry, type(store)(), NOW)
    registry.aliases.clear()
    registry.log.clear()
    store.rival = rival
    record = start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert record.state == "waiting"
    assert registry.alias("companion", "candidate") == (None, 0)


def test_new_evidence_after_a_refusal_may_start(registry: Any, store: Any) -> None:
    start_rollout(SPEC, HOLD, "one", registry, store, NOW)
    other = Verdict(Decision.HOLD, (Check("x", CheckStatus.FAILED, "Something else."),))
    assert start_rollout(SPEC, other, "one", registry, store, NOW).reasons == ("Something else.",)
    assert start_rollout(SPEC, GO, "one", registry, store, NOW).state == "started"
    assert [r.state for r in store.records] == ["refused", "refused", "started"]


def test_a_run_that_died_before_the_alias_is_finished(registry: Any, store: Any) -> None:
    first = start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.aliases.clear()
    registry.log.clear()
    assert start_rollout(SPEC, GO, "one", registry, store, NOW) == first
    assert registry.alias("companion", "candidate") == ("one", 1)


def test_an_operator_who_cleared_the_alias_is_not_overruled(registry: Any, store: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.set_alias("companion", "candidate", None, 1, "stopped by hand")
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert registry.alias("companion", "candidate") == (None, 2)


def test_a_lost_compare_and_set_is_tried_again(registry: Any, store: Any) -> None:
    registry.conflicts = 2
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert registry.alias("companion", "candidate") == ("one", 3)


def test_an_alias_that_never_rests_is_a_conflict(registry: Any, store: Any) -> None:
    registry.conflicts = 99
    with pytest.raises(ShouldResolveConflict, match="5 times"):
        start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.conflicts = 0
    assert start_rollout(SPEC, GO, "one", registry, store, NOW).state == "started"
    assert registry.alias("companion", "candidate")[0] == "one"


def test_a_raw_log_checkpoint_is_refused_whatever_the_verdict(
    registry: Any, store: Any, make_checkpoint: Any
) -> None:
    registry.rows["raw"] = make_checkpoint("raw", provenance=Provenance.RAW_LOG)
    record = start_rollout(SPEC, GO, "raw", registry, store, NOW)
    assert record.state == "refused"
    assert "must not leave the boundary" in record.reasons[0]


def test_what_serves_already_is_not_tried(registry: Any, store: Any) -> None:
    registry.aliases["companion", "active", "default"] = ("one", 1)
    record = start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert record.state == "refused"
    assert record.reasons == ("This checkpoint is serving already.",)


def test_a_promoted_candidates_run_can_be_repeated(registry: Any, store: Any) -> None:
    first = start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.aliases["companion", "active", "default"] = ("one", 1)
    assert start_rollout(SPEC, GO, "one", registry, store, NOW) == first


def test_a_trial_whose_candidate_serves_by_now_makes_nobody_wait(registry: Any, store: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.set_alias("companion", "active", "one", 0, "deployed by hand")
    record = start_rollout(SPEC, GO, "two", registry, store, NOW)
    assert (record.state, record.active) == ("started", "one")
    assert registry.alias("companion", "candidate")[0] == "two"
    over = next(r for r in store.records if r.candidate == "one")
    assert (over.state, over.traffic_percent) == ("ended", 0.0)
    assert over.reasons == (DEPLOYED, "Enough overlap.")
    assert start_rollout(SPEC, GO, "one", registry, store, NOW).state == "ended"


def test_deploying_a_candidate_ends_its_trial_once(registry: Any, store: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.set_alias("companion", "active", "one", 0, "deployed by hand")
    assert end_trial_of("two", "companion", "default", registry, store) is None
    over = end_trial_of("one", "companion", "default", registry, store)
    assert over is not None
    assert over.state == "ended"
    assert registry.alias("companion", "candidate") == (None, 2)
    assert end_trial_of("one", "companion", "default", registry, store) is None


def test_an_alias_that_moved_on_is_left_alone(registry: Any, store: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.set_alias("companion", "candidate", "two", 1, "by hand")
    assert end_trial_of("one", "companion", "default", registry, store) is not None
    assert registry.alias("companion", "candidate")[0] == "two"


def test_tenants_have_their_own_trials(registry: Any, store: Any, make_checkpoint: Any) -> None:
    start_rollout(SPEC, GO, "one", registry, store, NOW)
    registry.rows["three"] = make_checkpoint("three", tenant="men")
    record = start_rollout(SPEC, GO, "three", registry, store, NOW, tenant="men")
    assert record.state == "started"
    assert record.tenant == "men"
    assert rollout_id_of("companion", "men", "x") != rollout_id_of("companion", "default", "x")


@pytest.mark.parametrize("change", [{"loop": "open_bandit"}, {"tenant": "men"}])
def test_another_loops_checkpoint_is_refused(
    registry: Any, store: Any, change: dict[str, str]
) -> None:
    registry.rows["one"] = replace(registry.rows["one"], **change)
    with pytest.raises(ShouldFixArgument, match="belongs to loop"):
        start_rollout(SPEC, GO, "one", registry, store, NOW)
    assert store.records == []


def test_an_unknown_checkpoint_is_an_error(registry: Any, store: Any) -> None:
    with pytest.raises(ShouldRestoreArtefact):
        start_rollout(SPEC, GO, "none", registry, store, NOW)


def test_times_need_a_zone_and_are_kept_in_utc(registry: Any, store: Any) -> None:
    with pytest.raises(ShouldFixArgument, match="time zone"):
        start_rollout(SPEC, GO, "one", registry, store, NOW.replace(tzinfo=None))
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    recorded = start_rollout(SPEC, GO, "one", registry, store, east).recorded_at
    assert recorded == NOW
    assert recorded.tzinfo == UTC
