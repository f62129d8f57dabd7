"""The verdict on a trial: each rule, and what would be wrong if it were turned round."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.rollouts import Noticed, SampleRatio, Stay, StepRatio, StepVisits
from everloop.rollout.decide import decide_trial, next_state
from tests.unit.rollout.trials import (
    ASKS,
    BEGUN,
    SPEC,
    estimate,
    evidence,
    figures,
    guardrails,
    spec_with,
    trial,
)

FAILED = (Check("errors", CheckStatus.FAILED, "9 of 100 decisions failed."),)
FEW = (Check("errors", CheckStatus.INSUFFICIENT, "3 of 100 decisions."),)
NAN = float("nan")


def decided(spec: Any = SPEC, record: Any = None, **changes: Any) -> Any:
    return decide_trial(spec, record or trial(), evidence(**changes))


def after(spec: Any = SPEC, record: Any = None, **changes: Any) -> Any:
    record = record or trial()
    return next_state(spec, record, decide_trial(spec, record, evidence(**changes)))


def test_a_winner_with_every_check_passed_is_promoted_without_traffic_of_its_own() -> None:
    verdict = decided()
    assert verdict.decision is Decision.PROMOTE
    assert all(check.status is CheckStatus.PASSED for check in verdict.checks)
    assert "primary" in verdict.decided_by
    promoted = after()
    assert (promoted.state, promoted.traffic_percent) == ("promoted", 0.0)
    assert promoted.history[-1] == Stay("promoted", 0.0, BEGUN + timedelta(hours=30))
    assert "better" in " ".join(promoted.reasons)


@pytest.mark.parametrize(
    ("changed", "blocks"),
    [
        ({"primary": estimate(-0.01, 0.09)}, "primary"),
        ({"primary": estimate(0.0, 0.09)}, "primary"),
        ({"primary": replace(estimate(0.01, 0.09), low=NAN)}, "primary"),
        ({"guardrails": guardrails(None)}, "guardrail:engagement"),
        ({"guardrails": guardrails()[1:]}, f"unmeasured:{SPEC.signal_names[0]}"),
        ({"exposed": {"control": 300, "candidate": 99}}, "people"),
        ({"exposed": {"control": 99, "candidate": 300}}, "people"),
        ({"exposed": {}}, "people"),
        ({"fairness": None}, "unmeasured:fairness"),
        ({"fairness": Check("p", CheckStatus.INSUFFICIENT, "Few.")}, "fairness"),
        ({"fairness": Check("p", CheckStatus.FAILED, "Unfair.")}, "fairness"),
        ({"drifted": True}, "drift"),
        ({"ratio": SampleRatio({}, {}, 9.0, True)}, "sample_ratio"),
    ],
)
def test_one_missing_condition_keeps_a_winner_from_being_promoted(
    changed: dict[str, Any], blocks: str
) -> None:
    verdict = decided(experiment=figures(**changed))
    assert verdict.decision in (Decision.CONTINUE, Decision.HOLD)
    open_ = {c.name for c in verdict.checks if c.status is not CheckStatus.PASSED}
    assert any(name.startswith(blocks.partition(":")[0]) for name in open_)


def test_little_traffic_keeps_a_winner_on_trial_and_a_step_follows() -> None:
    record = trial(percent=5.0, step=1)
    assert decided(record=record).decision is Decision.CONTINUE
    grown = after(record=record)
    assert (grown.state, grown.traffic_percent, grown.step) == ("started", 25.0, 2)
    assert after(spec_with(promote_from_percent=5.0), record).state == "promoted"


def test_the_dwell_time_counts_up_to_the_figures_not_to_the_clock() -> None:
    record = trial(percent=5.0, step=1)
    assert after(record=record, hours=23.9) is None
    assert after(record=record, hours=24.0).traffic_percent == 25.0
    stale = evidence(hours=30.0, experiment=figures(hours=23.0))
    assert next_state(SPEC, record, decide_trial(SPEC, record, stale)) is None
    ahead = evidence(hours=10.0, experiment=figures(hours=30.0))
    assert next_state(SPEC, record, decide_trial(SPEC, record, ahead)) is None
    assert decided(hours=23.9).decision is Decision.CONTINUE


@pytest.mark.parametrize(
    "changed",
    [
        {"experiment": None},
        {"experiment": figures(primary=estimate(NAN, NAN))},
        {"experiment": figures(guardrails=())},
        {"experiment": figures(fairness=None)},
        {"hard": ()},
        {"hard": FEW},
    ],
)
def test_missing_figures_never_step_up(changed: dict[str, Any]) -> None:
    assert after(record=trial(percent=5.0, step=1), **changed) is None


def test_too_little_data_after_the_dwell_time_holds_and_says_what_lacks() -> None:
    verdict = decided(experiment=figures(primary=estimate(NAN, NAN)))
    assert verdict.decision is Decision.HOLD
    assert verdict.decided_by == ("experiment",)
    assert "nothing can be compared" in verdict.reasons[0]


def test_undecided_intervals_do_not_keep_the_ramp_from_rising() -> None:
    unsure = figures(primary=estimate(-0.1, 0.1), guardrails=guardrails(None))
    assert after(record=trial(percent=5.0, step=1), experiment=unsure).traffic_percent == 25.0


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        ({"experiment": figures(primary=estimate(-0.2, -0.001))}, "primary"),
        ({"experiment": figures(guardrails=guardrails(False))}, "guardrail:"),
        ({"hard": FAILED}, "errors"),
        ({"hard": FAILED, "experiment": None}, "errors"),
    ],
)
@pytest.mark.parametrize("state", ["started", "paused"])
def test_harm_rolls_back_also_while_paused(changed: dict[str, Any], by: str, state: str) -> None:
    record = trial(state)
    verdict = decided(record=record, **changed)
    assert verdict.decision is Decision.ROLLBACK
    assert all(name.startswith(by) for name in verdict.decided_by)
    over = next_state(SPEC, record, verdict)
    assert over is not None
    assert (over.state, over.traffic_percent) == ("rolled_back", 0.0)


def test_an_upper_bound_at_zero_does_not_roll_back() -> None:
    unsure = figures(primary=estimate(-0.2, 0.0))
    assert decided(experiment=unsure).decision is not Decision.ROLLBACK


def test_a_bad_point_estimate_alone_is_told_and_changes_nothing() -> None:
    unsure = figures(primary=estimate(-0.2, 0.01), relative=-0.05)
    verdict = decided(experiment=unsure)
    assert verdict.decision is Decision.CONTINUE
    assert "-5.0%" in verdict.alerts[0]
    assert decided(experiment=replace(unsure, relative=-0.049)).alerts == ()
    assert decided(experiment=replace(unsure, relative=NAN)).alerts == ()


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        ({"drifted": True}, "drift"),
        ({"ratio": SampleRatio({}, {"control": 9, "candidate": 1}, 9.0, True)}, "sample_ratio"),
        ({"fairness": Check("p", CheckStatus.FAILED, "Unfair.")}, "fairness"),
    ],
)
@pytest.mark.parametrize("hours", [2.0, 30.0])
def test_strange_figures_hold_at_the_traffic_they_have(
    changed: dict[str, Any], by: str, hours: float
) -> None:
    record = trial(percent=5.0, step=1)
    verdict = decided(record=record, hours=hours, experiment=figures(hours, **changed))
    assert (verdict.decision, verdict.decided_by) == (Decision.HOLD, (by,))
    assert next_state(SPEC, record, verdict) is None
    assert not verdict.awaits_person


def test_a_group_that_is_refuted_is_left_to_nobody() -> None:
    refuted = Check("p", CheckStatus.FAILED, "Unfair.")
    verdict = decided(experiment=figures(fairness=refuted))
    assert (verdict.decision, verdict.decided_by) == (Decision.HOLD, ("fairness",))
    assert not verdict.awaits_person


def test_promotion_waits_for_a_person_where_the_loop_says_so() -> None:
    verdict = decided(ASKS)
    assert verdict.decision is Decision.HOLD
    assert verdict.awaits_person
    assert verdict.decided_by == ("approval",)
    assert after(ASKS) is None
    assert after(ASKS, approved=True).state == "promoted"
    loser = figures(primary=estimate(-0.2, 0.1))
    assert after(ASKS, approved=True, experiment=loser).traffic_percent == 50.0


def test_groups_too_small_to_compare_wait_for_a_person() -> None:
    few = figures(fairness=Check("parity", CheckStatus.INSUFFICIENT, "38 people."))
    verdict = decided(experiment=few)
    assert (verdict.decision, verdict.awaits_person) == (Decision.HOLD, True)
    assert after(experiment=few, approved=True).state == "promoted"
    unfair = figures(fairness=Check("parity", CheckStatus.FAILED, "Unfair."))
    assert after(experiment=unfair, approved=True) is None


def test_a_trial_that_shows_nothing_ends_and_a_winner_that_waits_for_a_person_does_not() -> None:
    record = trial(history=(Stay("shadow", 0.0, BEGUN), Stay("started", 25.0, BEGUN)))
    unsure = figures(primary=estimate(-0.1, 0.1))
    hours = SPEC.rollout.max_days * 24.0
    late = {"record": record, "hours": hours, "experiment": unsure}
    assert decided(**late).decision is Decision.ROLLBACK
    assert after(**late).state == "ended"
    assert after(**{**late, "hours": hours - 0.1}).state == "started"
    assert decided(ASKS, record=record, hours=hours).awaits_person
    assert after(record=record, hours=hours).state == "promoted"


def test_the_time_of_waiting_in_the_queue_is_not_time_on_trial() -> None:
    queued = Stay("waiting", 0.0, BEGUN - timedelta(days=40))
    record = trial("shadow", 0.0, 0, history=(queued, Stay("shadow", 0.0, BEGUN)))
    assert decided(record=record).decision is Decision.CONTINUE


def test_another_active_model_ends_the_trial() -> None:
    assert after(active_unchanged=False).state == "ended"
    assert after(record=trial("shadow", 0.0, 0), active_unchanged=False).state == "ended"
    assert after(active_unchanged=False, hard=FAILED).state == "rolled_back"


def test_the_shadow_leads_to_the_first_step_and_needs_no_figures() -> None:
    record = trial("shadow", 0.0, 0)
    first = after(record=record, experiment=None)
    assert (first.state, first.traffic_percent, first.step) == ("started", 1.0, 0)
    assert decided(record=record).decision is Decision.CONTINUE


@pytest.mark.parametrize("checks", [(), FEW])
def test_a_shadow_that_was_not_counted_goes_on(checks: Any) -> None:
    record = trial("shadow", 0.0, 0)
    assert decided(record=record, shadow=checks).decision is Decision.CONTINUE
    assert after(record=record, shadow=checks) is None


def test_a_failed_shadow_rolls_back_before_anybody_met_it() -> None:
    over = after(record=trial("shadow", 0.0, 0), shadow=FAILED)
    assert over.state == "rolled_back"
    assert over.reasons == (FAILED[0].reason,)


def test_a_paused_trial_keeps_its_traffic_though_it_would_win() -> None:
    record = trial("paused")
    assert decided(record=record).decision is Decision.HOLD
    assert after(record=record) is None


def test_the_last_step_is_the_last() -> None:
    record = trial(percent=100.0, step=4)
    unsure = figures(primary=estimate(-0.1, 0.1))
    verdict = decided(record=record, experiment=unsure)
    assert verdict.decision is Decision.CONTINUE
    assert "Not decided" in verdict.reasons[0]
    assert after(record=record, experiment=unsure) is None


def test_figures_of_another_trial_and_trials_that_are_over_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="other"):
        decided(experiment=figures(rollout_id="other"))
    for state in ("waiting", "awaiting_approval", "promoted", "rolled_back", "ended", "refused"):
        with pytest.raises(ShouldFixArgument, match=state):
            decided(record=trial(state))
    with pytest.raises(ShouldFixArgument, match="time zone"):
        replace(evidence(), now=BEGUN.replace(tzinfo=None))


def test_a_loop_that_names_guardrails_needs_those_alone() -> None:
    name = SPEC.signal_names[0]
    spec = spec_with(guardrails=({"signal": name},))
    only = tuple(g for g in guardrails() if g.name == name)
    assert after(spec, experiment=figures(guardrails=only)).state == "promoted"
    assert after(experiment=figures(guardrails=only)) is None


def test_few_decisions_under_a_hard_limit_let_the_ramp_rise_but_promote_nobody() -> None:
    counted = Check("answers", CheckStatus.PASSED, "All were distributions.")
    few = Check("errors", CheckStatus.INSUFFICIENT, "0 of 30.", 0.0, 0.02)
    above = replace(few, value=0.03)
    record = trial(percent=5.0, step=1)
    assert after(record=record, hard=(counted, few)).traffic_percent == 25.0
    assert after(record=record, hard=(counted, above)) is None
    assert after(record=record, hard=(few,)) is None
    assert after(hard=(counted, few)).traffic_percent == 50.0


def test_a_ramp_that_was_changed_under_a_trial_lowers_nothing() -> None:
    unsure = figures(primary=estimate(-0.1, 0.1))
    record = trial(percent=25.0, step=0)
    grown = after(record=record, experiment=unsure)
    assert (grown.traffic_percent, grown.step) == (50.0, 3)
    short = spec_with(ramp=(1.0, 5.0), promote_from_percent=5.0)
    assert after(short, trial(percent=25.0, step=4), experiment=unsure) is None


def lost(candidate: int, mismatch: bool) -> Noticed:
    people = SampleRatio({"control": 9.0}, {"control": 1, "candidate": candidate}, 5.0, mismatch)
    return Noticed(
        {"control": 1, "candidate": candidate}, {"control": 300, "candidate": 100}, people
    )


def test_strange_decisions_in_one_arm_are_told_and_change_nothing() -> None:
    plain = decided()
    for name, says in (("flagged", "They count"), ("rejected", "may flatter")):
        noticed: Any = {name: lost(40, True)}
        verdict = decided(experiment=replace(figures(), **noticed))
        (alert,) = verdict.alerts
        assert "40.0% of the candidate's decisions and 0.3% of the control's" in alert
        assert says in alert
        assert verdict.decision == plain.decision
        noticed = {name: lost(40, False)}
        assert decided(experiment=replace(figures(), **noticed)).alerts == ()


def test_a_trial_that_begins_while_nothing_serves_says_what_its_control_is() -> None:
    first = trial(active=None)
    for given in (evidence(), evidence(experiment=None)):
        found = decide_trial(SPEC, first, given)
        assert "cold-start exploration" in found.alerts[0]
        assert any("cold-start exploration" in check.reason for check in found.checks)
        other = decide_trial(SPEC, trial(), given)
        assert (found.decision, found.decided_by) == (other.decision, other.decided_by)
        assert other.alerts == ()
        assert not any("cold-start" in check.reason for check in other.checks)


def test_an_effect_without_an_interval_is_said_in_words() -> None:
    few = replace(estimate(0.01, 0.09), low=NAN, high=NAN)
    guards = tuple(replace(g, effect=replace(few, name=g.name), held=None) for g in guardrails())
    for effect, told in (
        (few, "of too few people for an interval"),
        (replace(few, value=NAN), "not known"),
    ):
        checks = decided(experiment=figures(primary=effect, guardrails=guards)).checks
        assert not any("+nan" in check.reason for check in checks)
        assert told in next(check.reason for check in checks if check.name == "primary")


def test_decisions_per_person_that_differ_are_a_warning_in_words_and_decide_nothing() -> None:
    back = StepRatio(25.0, {"control": 70.2, "candidate": 29.8}, {"control": 71, "candidate": 29})
    plain, found = decided(), figures().ratio
    for departs in (True, False):
        visits = (StepVisits(25.0, 2.42, 1.53, departs),)
        verdict = decided(
            experiment=figures(ratio=replace(found, returning=(back,), visits=visits))
        )
        (check,) = (c for c in verdict.checks if c.name == "sample_ratio")
        assert "came back at 25 %: candidate 29 of 30 expected" in check.reason
        assert ("1.53 per person of the candidate at 25 %, 2.42" in check.reason) is departs
        assert (check.status, verdict.decision) == (CheckStatus.PASSED, plain.decision)
