"""What counts of a candidate say: each limit lets a good one through and turns a bad one back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollout_spec import HardLimitSpec, RolloutSpec, ShadowSpec
from everloop.contracts.rollouts import RolloutRecord, Stay, TrialTally
from everloop.loops import load
from everloop.rollout.health import (
    hard_failures,
    merged,
    percentile_ms,
    shadow_checks,
    voice_failures,
)

PASSED, FAILED, WAIT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT
BEGAN = datetime(2025, 11, 20, tzinfo=UTC)
LATER = BEGAN + timedelta(hours=2)


def spec(shadow: dict[str, Any] | None = None, hard: dict[str, Any] | None = None) -> LoopSpec:
    terms = RolloutSpec(shadow=ShadowSpec(**shadow or {}), hard_limits=HardLimitSpec(**hard or {}))
    return load("companion").model_copy(update={"rollout": terms})


RECORD = RolloutRecord(
    "r-1",
    "companion",
    "c",
    "a",
    "shadow",
    0.0,
    ("x",),
    BEGAN,
    history=(Stay("shadow", 0.0, BEGAN),),
)


def tally(phase: str = "shadow", **changes: Any) -> TrialTally:
    """1,000 good answers of one worker."""
    good: dict[str, Any] = {
        "asked": 1000,
        "agreed": 700,
        "actions": {"wait": 600, "walk": 400},
        "active_actions": {"wait": 650, "walk": 350},
        "latency": {"1": 900, "10": 95, "50": 5},
    }
    return TrialTally(**({"rollout_id": "r-1", "phase": phase, "worker": "w-1"} | good | changes))


def in_shadow(
    *tallies: TrialTally, now: datetime = LATER, terms: LoopSpec | None = None
) -> dict[str, Check]:
    return {c.name: c for c in shadow_checks(terms or spec(), RECORD, tallies, now)}


def on_trial(*tallies: TrialTally, terms: LoopSpec | None = None) -> dict[str, Check]:
    return {c.name: c for c in hard_failures(terms or spec(), tallies)}


def not_passed(checks: dict[str, Check]) -> dict[str, CheckStatus]:
    return {name: c.status for name, c in checks.items() if c.status is not PASSED}


def test_a_good_candidate_passes_everything() -> None:
    assert not_passed(in_shadow(tally())) == {}
    assert not_passed(on_trial(tally("trial"))) == {}


def test_nothing_counted_lets_nobody_on() -> None:
    assert PASSED not in {c.status for c in in_shadow(now=BEGAN).values()}
    assert {c.status for c in on_trial().values()} == {WAIT}
    assert {c.status for c in on_trial(tally("shadow")).values()} == {WAIT}, (
        "another phase's counts"
    )


def test_shadow_needs_its_decisions_and_its_time() -> None:
    few: dict[str, Any] = {
        "asked": 199,
        "agreed": 100,
        "actions": {"wait": 100, "walk": 99},
        "latency": {"1": 199},
    }
    assert not_passed(in_shadow(tally(**few))) == {"shadow_decisions": WAIT}
    enough = few | {"asked": 200, "latency": {"1": 200}}
    assert not_passed(in_shadow(tally(**enough))) == {}
    early = BEGAN + timedelta(minutes=59)
    assert not_passed(in_shadow(tally(), now=early)) == {"shadow_time": WAIT}
    assert not_passed(in_shadow(tally(), now=BEGAN + timedelta(hours=1))) == {}


def test_what_failed_or_was_dropped_is_no_decision_in_shadow() -> None:
    terms = spec({"decisions": 1000, "max_dropped_share": 1.0})
    checks = in_shadow(tally(dropped=1), terms=terms)
    assert not_passed(checks) == {"shadow_decisions": WAIT}
    assert checks["shadow_decisions"].value == 999


@pytest.mark.parametrize("asked", [1, 5, 100_000])
def test_one_answer_that_is_no_distribution_is_enough(asked: int) -> None:
    one = tally(asked=asked, invalid=1)
    assert in_shadow(one)["shadow_answers"].status is FAILED
    assert on_trial(replace(one, phase="trial"))["answers"].status is FAILED


def test_a_single_early_failure_rolls_nothing_back() -> None:
    early = tally(asked=1, failed=1, agreed=0, actions={}, active_actions={}, latency={})
    assert in_shadow(early)["shadow_errors"].status is WAIT
    assert on_trial(replace(early, phase="trial"))["errors"].status is WAIT


@pytest.mark.parametrize(
    ("failed", "status"),
    [(0, PASSED), (10, PASSED), (11, WAIT), (20, WAIT), (40, FAILED), (1000, FAILED)],
)
def test_shadow_errors_above_one_percent(failed: int, status: CheckStatus) -> None:
    check = in_shadow(tally(failed=failed))["shadow_errors"]
    assert (check.status, check.value, check.threshold) == (status, failed / 1000, 0.01)
    assert f"{failed:,} of 1,000" in check.reason


@pytest.mark.parametrize(
    ("failed", "status"), [(20, PASSED), (21, WAIT), (30, WAIT), (60, FAILED), (1000, FAILED)]
)
def test_errors_on_trial_above_two_percent(failed: int, status: CheckStatus) -> None:
    assert on_trial(tally("trial", failed=failed))["errors"].status is status


def test_dropped_questions_are_no_errors_and_make_none_rarer() -> None:
    checks = in_shadow(tally(asked=2000, dropped=900, failed=12))
    assert checks["shadow_errors"].value == 12 / 1100
    assert checks["shadow_errors"].status is WAIT
    trial = on_trial(tally("trial", asked=2000, dropped=900, failed=23))
    assert trial["errors"].value == 23 / 1100
    assert trial["errors"].status is WAIT


@pytest.mark.parametrize(("dropped", "status"), [(500, PASSED), (501, WAIT), (700, FAILED)])
def test_shadow_drops_above_a_half(dropped: int, status: CheckStatus) -> None:
    found = tally(dropped=dropped)
    assert in_shadow(found)["shadow_dropped"].status is status


def test_drops_come_in_bursts_and_fail_nothing_before_the_time_is_over() -> None:
    early = BEGAN + timedelta(minutes=30)
    assert in_shadow(tally(dropped=900), now=early)["shadow_dropped"].status is WAIT


@pytest.mark.parametrize(
    ("slow", "p99", "status"),
    [(0, 1.0, PASSED), (10, 1.0, PASSED), (11, 100.0, WAIT), (60, 100.0, FAILED)],
)
def test_latency_in_shadow_by_the_99th_percentile(
    slow: int, p99: float, status: CheckStatus
) -> None:
    check = in_shadow(tally(latency={"1": 1000 - slow, "100": slow}))["shadow_latency"]
    assert (check.status, check.value, check.threshold) == (status, p99, 50.0)


def test_latency_at_the_limit_is_within_it() -> None:
    assert in_shadow(tally(latency={"50": 1000}))["shadow_latency"].status is PASSED
    assert in_shadow(tally(latency={"50.5": 1000}))["shadow_latency"].status is FAILED


def test_latency_on_trial_has_its_own_limit() -> None:
    assert on_trial(tally("trial", latency={"250": 1000}))["latency"].status is PASSED
    beyond = on_trial(tally("trial", latency={"inf": 1000}))["latency"]
    assert (beyond.status, beyond.value) == (FAILED, None)


def test_percentiles_are_upper_edges() -> None:
    assert percentile_ms({"10": 1, "2": 99}) == 2.0, "edges are numbers, not texts"
    assert percentile_ms({"10": 2, "2": 98}) == 10.0
    assert percentile_ms({"10": 2, "2": 148}) == 10.0, "the 148.5th of 150 is the 149th"
    assert percentile_ms({"5": 1}) == 5.0
    assert percentile_ms({"2": 50, "10": 50}, 0.5) == 2.0
    assert str(percentile_ms({})) == "nan"


def test_agreement_is_reported_only_unless_asked_for() -> None:
    assert in_shadow(tally(agreed=0))["shadow_agreement"].status is PASSED


def test_agreement_with_nothing_is_no_agreement() -> None:
    for terms in (spec(), spec({"min_agreement": 0.8})):
        check = in_shadow(tally(agreed=0, active_actions={}), terms=terms)["shadow_agreement"]
        assert (check.status, check.value) == (WAIT, None)


def test_agreement_is_a_share_of_the_decisions_that_both_answered() -> None:
    check = in_shadow(tally(agreed=301, active_actions={"wait": 301}))["shadow_agreement"]
    assert check.value == 1.0
    assert "301 of 301 decisions" in check.reason


def test_latency_is_told_in_calls_and_asks_for_decisions() -> None:
    """A call that answered many questions is one call, and its questions are decisions."""
    few_calls = {"asked": 301, "latency": {"1": 56}}
    check = in_shadow(tally(**few_calls))["shadow_latency"]
    assert (check.status, "0 of 56 calls" in check.reason) == (PASSED, True)
    assert "301 decisions" in check.reason
    assert on_trial(tally("trial", **few_calls))["latency"].status is PASSED
    thin = on_trial(tally("trial", asked=120, failed=21, latency={"1": 99}))["latency"]
    assert (thin.status, "99 of 100" in thin.reason) == (WAIT, True)
    assert in_shadow(tally(latency={}))["shadow_latency"].status is WAIT, "nothing was timed"
    slow = tally("trial", asked=6400, latency={"1": 97, "inf": 3})
    assert on_trial(slow)["latency"].status is WAIT, "three slow calls are no 192 slow answers"


@pytest.mark.parametrize(("agreed", "status"), [(800, PASSED), (799, WAIT), (700, FAILED)])
def test_agreement_below_what_is_asked_for(agreed: int, status: CheckStatus) -> None:
    terms = spec({"min_agreement": 0.8})
    assert in_shadow(tally(agreed=agreed), terms=terms)["shadow_agreement"].status is status


def test_a_collapsed_candidate_fails_in_shadow_and_on_trial() -> None:
    collapsed = tally(actions={"walk": 1000})
    assert in_shadow(collapsed)["shadow_actions"].status is FAILED
    assert on_trial(replace(collapsed, phase="trial"))["actions"].status is FAILED


@pytest.mark.parametrize(
    ("actions", "active", "status"),
    [
        ({"walk": 1000}, {"walk": 995, "wait": 5}, PASSED),  # the active does the same
        ({"walk": 1000}, {"wait": 600, "rest": 400}, FAILED),  # what serves tells people apart
        ({"walk": 1000}, {"wait": 990, "rest": 10}, WAIT),  # what serves keeps to another one
        ({"walk": 301}, {"wait": 301}, WAIT),  # one question, asked again and again
        ({"walk": 1000}, {"wait": 985, "rest": 15}, WAIT),  # perhaps it does
        ({"walk": 1000}, {"walk": 985, "wait": 15}, WAIT),  # perhaps it does
        ({"walk": 989, "wait": 11}, {"wait": 1000}, PASSED),
        ({"walk": 991, "wait": 9}, {"wait": 600, "rest": 400}, WAIT),
        ({"walk": 300}, {"wait": 180, "rest": 120}, WAIT),  # a share of 0.99 gives that in 5 of 100
        ({"walk": 1000}, {}, WAIT),
    ],
)
def test_collapse(actions: dict[str, int], active: dict[str, int], status: CheckStatus) -> None:
    found = tally("trial", actions=actions, active_actions=active)
    assert on_trial(found)["actions"].status is status


@pytest.mark.parametrize(
    ("active", "said"),
    [
        ({"wait": 301}, "What serves keeps to one action too: the questions may be alike."),
        ({}, "Nothing is there to compare with: the questions may be alike."),
        ({"wait": 297, "rest": 4}, "A policy has collapsed at 99.0%."),
    ],
)
def test_what_collapse_waits_for_is_said(active: dict[str, int], said: str) -> None:
    check = on_trial(tally("trial", actions={"walk": 301}, active_actions=active))["actions"]
    assert check.status is WAIT
    assert said in check.reason


def test_a_collapse_share_of_one_asks_nothing() -> None:
    terms = spec(hard={"collapse_share": 1.0})
    assert on_trial(tally("trial", actions={"walk": 9999}), terms=terms)["actions"].status is PASSED


def test_below_the_least_decisions_only_the_answers_speak() -> None:
    few = tally(
        "trial",
        asked=99,
        failed=0,
        actions={"walk": 99},
        active_actions={"wait": 9},
        latency={"inf": 99},
    )
    assert not_passed(on_trial(few)) == {"errors": WAIT, "latency": WAIT, "actions": WAIT}
    assert "99 of 100" in on_trial(few)["errors"].reason
    assert on_trial(replace(few, asked=100, failed=100))["errors"].status is FAILED


def test_workers_add_up() -> None:
    one = tally(worker="w-1", asked=120, failed=3, actions={"wait": 117}, latency={"1": 117})
    two = tally(worker="w-2", asked=80, failed=2, actions={"walk": 78}, latency={"10": 78})
    total = merged([replace(one, worker="w-1"), replace(two, worker="w-2")], "shadow")
    assert (total.asked, total.failed, total.answered, total.agreed) == (200, 5, 195, 1400)
    assert total.actions == {"wait": 117, "walk": 78}
    assert total.latency == {"1": 117, "10": 78}
    assert merged([one, replace(two, phase="trial")], "shadow").asked == 120


def test_a_candidate_that_begins_to_fail_is_not_excused_by_its_good_month() -> None:
    month = [tally("trial", worker=f"day-{d}", asked=10_000) for d in range(28)]
    today = tally("trial", worker="today", asked=300, failed=90)
    whole = sum(t.failed for t in (*month, today)) / sum(t.asked for t in (*month, today))
    assert whole < 0.02
    check = on_trial(*month, today)["errors"]
    assert check.status is FAILED
    assert "worker today" in check.reason
    assert on_trial(*month, replace(today, failed=6))["errors"].status is PASSED


def test_what_a_candidate_did_in_shadow_is_no_failure_on_trial() -> None:
    unseen = tally(asked=1000, failed=1000, latency={"inf": 1000})
    assert not_passed(on_trial(tally("trial"), unseen)) == {}


def test_tallies_of_two_trials_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="do not add up"):
        merged([tally(), replace(tally(), rollout_id="r-2")], "shadow")


def voiced(**changes: Any) -> dict[str, Check]:
    whole = {"asked": 500, "actions": {"spoken": 500}, "latency": {"5000.0": 500}} | changes
    found = TrialTally("r", "trial", "w", **whole)
    return {c.name: c for c in voice_failures(spec(), [found])}


def test_a_voice_that_speaks_fails_nothing() -> None:
    assert {c.status for c in voiced().values()} == {CheckStatus.PASSED}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("errors", {"failed": 100, "actions": {"spoken": 400}}),
        ("screened", {"actions": {"spoken": 400, "screened": 100}}),
        ("voice_latency", {"latency": {"30000.0": 400, "inf": 100}}),
    ],
)
def test_a_voice_that_fails_is_not_heard_or_is_slow_leaves(
    name: str, changes: dict[str, Any]
) -> None:
    failed = {c.name for c in voiced(**changes).values() if c.status is CheckStatus.FAILED}
    assert failed == {name}


@pytest.mark.parametrize(
    ("name", "how", "changes"),
    [
        ("errors", "failed", {"failed": 50, "actions": {"spoken": 450}}),
        ("screened", "screened", {"actions": {"spoken": 450, "screened": 50}}),
    ],
)
def test_what_befalls_the_active_voice_too_is_not_the_candidates(
    name: str, how: str, changes: dict[str, Any]
) -> None:
    assert voiced(**changes)[name].status is CheckStatus.FAILED
    alike = {"active_actions": {"spoken": 800, how: 200}}
    assert voiced(**changes, **alike)[name].status is CheckStatus.PASSED
