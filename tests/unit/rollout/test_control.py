"""The controller on real stores: what it writes, once, and what it completes after a death."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
)
from everloop.contracts.evaluation import Decision, Verdict
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollout_spec import OversightSpec, ShadowSpec
from everloop.contracts.rollouts import (
    Deployment,
    ExperimentFigures,
    RolloutRecord,
    TrialTally,
)
from everloop.registry.manifest import manifest_of
from everloop.rollout import by_hand
from everloop.rollout.control import act
from everloop.rollout.settle import NEWER, needs_a_new_look
from everloop.rollout.start import rollout_id_of, start_rollout
from tests.unit.rollout.places import ASKS, GO, LOOP, NOW, Places
from tests.unit.rollout.trials import SPEC, estimate, figures, spec_with

OPEN = spec_with(shadow=ShadowSpec(decisions=0), ramp=(25.0, 100.0))
"""A loop whose candidates meet a quarter of people at once."""
AGREED = spec_with(
    shadow=ShadowSpec(decisions=0),
    ramp=(25.0, 100.0),
    oversight=OversightSpec(approval="promotion"),
)
LATER = NOW + timedelta(hours=30)


def begin(places: Places, name: str = "one", spec: Any = OPEN, **changes: Any) -> RolloutRecord:
    serving = places.serve("old") if places.active() is None else None
    if serving is None and places.active() is not None:
        serving = places.manifest(str(places.active()), None)
    moment = changes.pop("now", NOW)
    verdict: Verdict = changes.pop("verdict", GO)
    return start_rollout(spec, places.manifest(name, verdict), places, moment, serving)


def counted(places: Places, record: RolloutRecord, phase: str = "trial", **changes: Any) -> None:
    answers = {"asked": 500, "agreed": 400, "actions": {"a": 250, "b": 250}}
    answers |= {"active_actions": {"a": 250, "b": 250}, "latency": {"5.0": 500}} | changes
    tally = TrialTally(record.rollout_id, phase, "worker-1", **answers)  # type: ignore[arg-type]
    places.tallies.add(tally, NOW)


def shown(record: RolloutRecord, hours: float = 30.0, **changes: Any) -> ExperimentFigures:
    until = NOW + timedelta(hours=hours)
    return figures(rollout_id=record.rollout_id, until=until, **changes)


def kinds(places: Places) -> list[str]:
    return [event.kind for event in places.deployments.events(LOOP)]


def test_a_shadow_that_passed_meets_the_first_people(places: Places) -> None:
    record = begin(places, spec=SPEC)
    assert act(SPEC, places, LATER) is not None
    assert places.rollouts.rollout(record.rollout_id).state == "shadow"
    counted(places, record, "shadow")
    verdict = act(SPEC, places, LATER)
    assert verdict is not None
    assert verdict.decision is Decision.CONTINUE
    now = places.rollouts.rollout(record.rollout_id)
    assert (now.state, now.traffic_percent) == ("started", 1.0)
    assert now.entered_at == LATER
    event = places.deployments.last_event(record.rollout_id)
    assert event is not None
    assert (event.kind, event.evidence["decision"]) == ("step", "continue")


def test_an_unhealthy_shadow_is_rolled_back_and_nobody_met_it(places: Places) -> None:
    record = begin(places, spec=SPEC)
    counted(places, record, "shadow", invalid=1)
    act(SPEC, places, NOW)
    over = places.rollouts.rollout(record.rollout_id)
    assert (over.state, over.started_at) == ("rolled_back", None)
    assert places.candidate() is None
    assert places.active() == "old"
    assert places.deployments.deployment(record.deployment_id).outcome == "rolled_back"


def test_a_winner_becomes_what_serves_with_its_evidence_and_its_measure(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    verdict = act(OPEN, places, LATER, shown(record), "watch")
    assert verdict is not None
    assert verdict.decision is Decision.PROMOTE
    over = places.rollouts.rollout(record.rollout_id)
    assert (over.state, over.traffic_percent) == ("promoted", 0.0)
    assert (places.active(), places.candidate()) == ("one", None)
    head = places.deployments.head(LOOP)
    assert (head.deployment_id, head.trial) == (record.deployment_id, None)
    event = places.deployments.last_event(record.rollout_id)
    assert event is not None
    assert (event.kind, event.actor) == ("promoted", "watch")
    assert event.evidence["decision"] == "promote"
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.outcome, kept.measured) == ("promoted", estimate(0.01, 0.09))


def test_harm_takes_the_candidate_away_and_leaves_the_active_model(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    act(OPEN, places, LATER, shown(record, primary=estimate(-0.2, -0.1)))
    assert places.rollouts.rollout(record.rollout_id).state == "rolled_back"
    assert (places.active(), places.candidate()) == ("old", None)
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.outcome, kept.measured) == ("rolled_back", estimate(-0.2, -0.1))


def test_hard_failures_roll_back_between_two_analyses(places: Places) -> None:
    record = begin(places)
    counted(places, record, invalid=1)
    act(OPEN, places, NOW)
    assert places.rollouts.rollout(record.rollout_id).state == "rolled_back"
    assert places.deployments.deployment(record.deployment_id).measured is None


def test_a_rollback_between_two_analyses_keeps_the_last_effect(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    act(OPEN, places, LATER, shown(record, primary=estimate(-0.1, 0.05)))
    counted(places, record, invalid=1)
    act(OPEN, places, LATER)
    assert places.deployments.deployment(record.deployment_id).measured == estimate(-0.1, 0.05)


def test_the_same_hold_is_told_once_and_its_end_once(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    for hours in (2.0, 3.0, 4.0):
        act(OPEN, places, NOW + timedelta(hours=hours), shown(record, hours, drifted=True))
    assert kinds(places).count("hold") == 1
    act(OPEN, places, NOW + timedelta(hours=4))  # a look at the health lifts nothing
    assert kinds(places)[-1] == "hold"
    for hours in (5.0, 6.0):
        act(OPEN, places, NOW + timedelta(hours=hours), shown(record, hours))
    assert kinds(places)[-1] == "resumed"
    assert kinds(places).count("resumed") == 1
    act(OPEN, places, NOW + timedelta(hours=7), shown(record, 7.0, drifted=True))
    assert kinds(places).count("hold") == 2


def test_another_reason_to_hold_is_told(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    act(OPEN, places, NOW, shown(record, 2.0, drifted=True))
    mismatch = replace(shown(record, 3.0).ratio, mismatch=True)
    act(OPEN, places, NOW, shown(record, 3.0, ratio=mismatch))
    assert kinds(places).count("hold") == 2


def test_a_damaged_winner_is_held(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    row = places.registry.checkpoint("one")
    places.blobs.fetch(row.weights_url, row.weights_sha256).unlink()
    verdict = act(OPEN, places, LATER, shown(record))
    assert verdict is not None
    assert (verdict.decision, verdict.decided_by) == (Decision.HOLD, ("artefacts",))
    assert places.active() == "old"
    with pytest.raises(ShouldFixArgument, match="cannot be read"):
        by_hand.promote(OPEN, places, record.rollout_id, "ann", "we want it", LATER)


def test_figures_of_an_earlier_trial_count_for_nothing(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    act(OPEN, places, LATER, figures(rollout_id="another", until=LATER))
    assert places.rollouts.rollout(record.rollout_id) == record


def test_without_a_trial_there_is_no_verdict(places: Places) -> None:
    assert act(OPEN, places, NOW) is None


def test_the_newest_that_waits_starts_when_a_trial_ends_and_older_ones_end(places: Places) -> None:
    for name in ("three", "four"):
        places.checkpoint(name)
    first = begin(places)
    for number, name in enumerate(("two", "three", "four")):
        begin(places, name, now=NOW + timedelta(hours=number + 1))
    counted(places, first)
    act(OPEN, places, LATER, shown(first, primary=estimate(-0.2, -0.1)))
    states = {r.candidate: r.state for r in places.rollouts.rollouts(LOOP)}
    assert states == {
        "one": "rolled_back",
        "two": "ended",
        "three": "ended",
        "four": "started",
    }
    begun = places.rollouts.rollout(rollout_id_of(LOOP, "default", "four"))
    assert (begun.traffic_percent, begun.active, begun.entered_at) == (25.0, "old", LATER)
    assert places.candidate() == "four"
    two = places.rollouts.rollout(rollout_id_of(LOOP, "default", "two"))
    assert two.reasons[0] == NEWER


def test_where_the_active_changed_who_waits_needs_a_new_look(places: Places) -> None:
    first = begin(places)
    begin(places, "two", now=NOW + timedelta(hours=1))
    assert needs_a_new_look(places, LOOP, "default") is None
    counted(places, first)
    act(OPEN, places, LATER, shown(first))
    assert places.active() == "one"
    waits = needs_a_new_look(places, LOOP, "default")
    assert waits is not None
    assert (waits.candidate, waits.state) == ("two", "waiting")


def test_another_model_deployed_by_hand_ends_the_trial(places: Places) -> None:
    record = begin(places)
    places.serve("two")
    act(OPEN, places, LATER, shown(record))
    over = places.rollouts.rollout(record.rollout_id)
    assert over.state == "ended"
    assert "Another model became active" in over.reasons[0]
    assert places.active() == "two"


def test_another_part_deployed_by_hand_ends_the_trial_and_stays(places: Places) -> None:
    record = begin(places)
    pairing = places.checkpoint("pairs", model_type=ModelType.PAIRING).checkpoint_id
    places.registry.set_alias(LOOP, "active-pairing", pairing, 0, "by hand")
    counted(places, record)
    act(OPEN, places, LATER, shown(record))
    assert places.rollouts.rollout(record.rollout_id).state == "ended"
    assert (places.active(), places.registry.alias(LOOP, "active-pairing")[0]) == ("old", pairing)


def test_a_candidate_that_serves_already_is_swapped_back_when_it_fails(places: Places) -> None:
    record = begin(places)
    places.serve("one")
    counted(places, record, invalid=1)
    act(OPEN, places, NOW)
    assert places.rollouts.rollout(record.rollout_id).state == "rolled_back"
    assert places.active() == "old"
    assert places.deployments.head(LOOP).deployment_id == record.previous_deployment


class Beaten:
    """Deployments whose head is read just before somebody else acts."""

    def __init__(self, places: Places, rival: Any, times: int) -> None:
        self._places, self._rival, self._times = places, rival, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._places.deployments, name)

    def head(self, loop: str, tenant: str = "default") -> Any:
        found = self._places.deployments.head(loop, tenant)
        if self._times:
            self._times -= 1
            self._rival()
        return found


def test_two_controllers_act_once(places: Places) -> None:
    record = begin(places)
    counted(places, record)

    def rival() -> None:
        act(OPEN, places, LATER, shown(record), "rival")

    late = replace(places, deployments=Beaten(places, rival, 1))  # type: ignore[arg-type]
    act(OPEN, late, LATER, shown(record), "late")
    assert kinds(places).count("promoted") == 1
    event = places.deployments.last_event(record.rollout_id, ("promoted",))
    assert event is not None
    assert event.actor == "rival"
    assert places.active() == "one"


def test_who_lost_once_acts_on_what_is_true_by_then(places: Places) -> None:
    record = begin(places)
    counted(places, record)

    def rival() -> None:
        by_hand.pause(OPEN, places, record.rollout_id, "ann", "let me look", LATER)

    late = replace(places, deployments=Beaten(places, rival, 1))  # type: ignore[arg-type]
    verdict = act(OPEN, late, LATER, shown(record))
    assert verdict is not None
    assert verdict.decision is Decision.HOLD
    assert places.rollouts.rollout(record.rollout_id).state == "paused"


class Killed(Exception):
    """The process died here."""


class Dying:
    """Stores of a process that is killed before its n-th write."""

    def __init__(self, store: Any, writes: list[int], names: tuple[str, ...]) -> None:
        self._store, self._writes, self._names = store, writes, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in self._names:
            return found

        def counted_write(*args: Any, **kwargs: Any) -> Any:
            if self._writes[0] == 0:
                raise Killed
            self._writes[0] -= 1
            return found(*args, **kwargs)

        return counted_write


@pytest.mark.parametrize("primary", [estimate(-0.2, -0.1), estimate(0.01, 0.09)])
@pytest.mark.parametrize("after", range(5))
def test_a_death_between_two_writes_is_completed(places: Places, after: int, primary: Any) -> None:
    places.checkpoint("three")
    record = begin(places)
    for number, name in enumerate(("two", "three")):
        begin(places, name, now=NOW + timedelta(hours=number + 1))
    counted(places, record)
    writes = [after]
    dying = replace(
        places,
        rollouts=Dying(places.rollouts, writes, ("advance", "start", "end")),  # type: ignore[arg-type]
        deployments=Dying(places.deployments, writes, ("swap", "measured", "record")),  # type: ignore[arg-type]
    )
    try:
        act(OPEN, dying, LATER, shown(record, primary=primary))
    except Killed:
        assert after < 4
    act(OPEN, places, LATER, shown(record, primary=primary))
    won = primary.low > 0
    over = places.rollouts.rollout(record.rollout_id)
    assert over.state == ("promoted" if won else "rolled_back")
    assert kinds(places).count(over.state) == 1
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.outcome, kept.measured) == (over.state, primary)
    states = {r.candidate: r.state for r in places.rollouts.rollouts(LOOP)}
    waits = {"two": "waiting", "three": "waiting"} if won else {"two": "ended", "three": "started"}
    assert {name: states[name] for name in waits} == waits


# by hand


def test_a_person_lets_a_trial_begin(places: Places) -> None:
    record = begin(places, spec=SPEC, verdict=ASKS)
    assert record.state == "awaiting_approval"
    begun = by_hand.approve(SPEC, places, record.rollout_id, "ann", "small group", LATER)
    assert (begun.state, begun.approved_by, begun.approval_reason) == (
        "shadow",
        "ann",
        "small group",
    )
    assert begun.entered_at == LATER
    assert "ann approved it" in " ".join(begun.reasons)
    assert places.candidate() == "one"
    assert "approved" in kinds(places)


def test_an_approved_candidate_waits_behind_the_one_on_trial_and_is_not_dropped(
    places: Places,
) -> None:
    asks = begin(places, "two", verdict=ASKS)
    first = begin(places, now=NOW + timedelta(hours=1))
    assert first.state == "started"
    waits = by_hand.approve(OPEN, places, asks.rollout_id, "ann", "fine", LATER)
    assert waits.state == "waiting"
    act(OPEN, places, LATER)
    assert places.rollouts.rollout(asks.rollout_id).state == "waiting"
    by_hand.end(OPEN, places, first.rollout_id, "ann", "enough", LATER)
    assert places.rollouts.rollout(asks.rollout_id).state == "started"


def test_an_approval_whose_process_died_is_completed(places: Places) -> None:
    record = begin(places, spec=SPEC, verdict=ASKS)
    writes = [1]
    dying = replace(places, rollouts=Dying(places.rollouts, writes, ("advance",)))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        by_hand.approve(SPEC, dying, record.rollout_id, "ann", "fine", LATER)
    assert places.rollouts.rollout(record.rollout_id).state == "awaiting_approval"
    act(SPEC, places, LATER)
    assert places.rollouts.rollout(record.rollout_id).state == "shadow"


def test_promotion_waits_for_an_approval_given_since_people_met_it(places: Places) -> None:
    spec = AGREED
    record = begin(places, spec=spec)
    counted(places, record)
    verdict = act(spec, places, LATER, shown(record))
    assert verdict is not None
    assert (verdict.decision, verdict.awaits_person) == (Decision.HOLD, True)
    by_hand.approve(spec, places, record.rollout_id, "ann", "looks right", LATER)
    act(spec, places, LATER, shown(record))
    over = places.rollouts.rollout(record.rollout_id)
    assert (over.state, over.approved_by) == ("promoted", "ann")


@pytest.mark.parametrize(("passed", "own"), [(False, True), (True, False)])
def test_a_rejection_and_a_word_on_another_deployment_promote_nobody(
    places: Places, passed: bool, own: bool
) -> None:
    record = begin(places, spec=AGREED)
    counted(places, record)
    subject = record.deployment_id if own else places.manifest("two").deployment_id
    word = (LOOP, subject, passed, "ann", "as it looks to me", LATER)
    places.oversights.add(Oversight(str(uuid.uuid4()), OversightKind.APPROVAL, *word))
    verdict = act(AGREED, places, LATER, shown(record))
    assert verdict is not None
    assert verdict.awaits_person
    assert places.rollouts.rollout(record.rollout_id).state == "started"


def test_an_approval_of_the_start_is_none_of_the_promotion(places: Places) -> None:
    spec = AGREED
    record = begin(places, spec=spec, verdict=ASKS)
    before = NOW + timedelta(hours=1)
    begun = by_hand.approve(spec, places, record.rollout_id, "ann", "start it", before)
    assert begun.state == "started"
    counted(places, begun)
    found = act(spec, places, NOW + timedelta(hours=31), shown(record, 31.0))
    assert found is not None
    assert found.awaits_person
    assert places.rollouts.rollout(record.rollout_id).state == "started"


def test_pause_keeps_the_traffic_and_resume_begins_the_dwell_anew(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    paused = by_hand.pause(OPEN, places, record.rollout_id, "ann", "holiday", LATER)
    assert (paused.state, paused.traffic_percent) == ("paused", 25.0)
    assert by_hand.pause(OPEN, places, record.rollout_id, "ann", "again", LATER) == paused
    act(OPEN, places, LATER, shown(record))
    assert places.rollouts.rollout(record.rollout_id).state == "paused"
    resumed = by_hand.resume(OPEN, places, record.rollout_id, "ann", "back", LATER)
    assert (resumed.state, resumed.traffic_percent, resumed.entered_at) == ("started", 25.0, LATER)
    verdict = act(OPEN, places, LATER, shown(record))
    assert verdict is not None
    assert verdict.decision is Decision.CONTINUE


def test_a_paused_shadow_resumes_unseen(places: Places) -> None:
    record = begin(places, spec=SPEC)
    by_hand.pause(SPEC, places, record.rollout_id, "ann", "wait", NOW)
    assert by_hand.resume(SPEC, places, record.rollout_id, "ann", "go", NOW).state == "shadow"


def test_a_person_promotes_past_statistics_and_it_is_recorded_as_by_hand(places: Places) -> None:
    record = begin(places)
    over = by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch day", LATER)
    assert over.state == "promoted"
    assert over.reasons == ("By hand, ann: launch day",)
    assert places.active() == "one"
    event = places.deployments.last_event(record.rollout_id)
    assert event is not None
    assert (event.kind, event.actor, event.reason) == ("promoted", "ann", "launch day")
    assert event.evidence == {"by_hand": "ann"}
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.outcome, kept.measured) == ("promoted", None)


def test_nobody_promotes_past_provenance_or_the_gate(places: Places) -> None:
    record = begin(places)
    places.checkpoint("raw", provenance=Provenance.RAW_LOG)
    raw = start_rollout(OPEN, places.manifest("raw"), places, NOW)
    assert raw.state == "refused"
    held = begin(places, "two", verdict=ASKS)
    for refused in (raw, held):
        with pytest.raises(ShouldResolveConflict, match=refused.state):
            by_hand.promote(OPEN, places, refused.rollout_id, "ann", "please", LATER)
    places.checkpoint("bare", verdict="hold")
    by_hand.end(OPEN, places, record.rollout_id, "ann", "next", LATER)
    bare = places.manifest("bare", None)
    places.deployments.record(bare)
    sneaked = places.rollouts.start(
        replace(record, rollout_id="x", candidate="bare", deployment_id=bare.deployment_id)
    )
    with pytest.raises(ShouldFixArgument, match="held by the gate"):
        by_hand.promote(OPEN, places, sneaked.rollout_id, "ann", "please", LATER)
    assert places.active() == "old"


def test_a_promoted_deployment_is_taken_back_as_one_unit(places: Places) -> None:
    record = begin(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    back = by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    assert back.state == "promoted"
    assert places.active() == "old"
    assert places.deployments.head(LOOP).deployment_id == record.previous_deployment
    last = places.deployments.events(LOOP)[-1]
    assert (last.kind, last.actor) == ("rolled_back", "bob")
    assert last.evidence["withdrawn"] == record.deployment_id
    with pytest.raises(ShouldResolveConflict, match="promoted"):
        by_hand.rollback(OPEN, places, record.rollout_id, "bob", "again", LATER)


def test_the_first_policy_of_a_loop_can_be_taken_back_too(places: Places) -> None:
    record = start_rollout(OPEN, places.manifest("one"), places, NOW)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    by_hand.rollback(OPEN, places, record.rollout_id, "ann", "complaints", LATER)
    assert places.active() is None
    last = places.deployments.last_event(record.rollout_id)
    assert last is not None
    assert (last.kind, last.actor, last.reason) == ("rolled_back", "ann", "complaints")
    assert last.evidence == {"by_hand": "ann", "withdrawn": record.deployment_id}
    assert places.deployments.deployment(record.deployment_id).outcome == "withdrawn"


def test_everything_that_serves_leaves_with_the_first_policy(places: Places) -> None:
    _, record = _with_a_pairing(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    by_hand.rollback(OPEN, places, record.rollout_id, "ann", "complaints", LATER)
    serves = places.deployments.head(LOOP).serves
    assert {role: found.checkpoint_id for role, found in serves.items()} == {
        "policy": None,
        "pairing": None,
    }
    assert kinds(places)[-2:] == ["promoted", "rolled_back"]


def _with_a_pairing(places: Places) -> tuple[Deployment, RolloutRecord]:
    pairing = places.checkpoint("pair", model_type=ModelType.PAIRING)
    policy = places.registry.checkpoint("one")
    made = manifest_of((policy, pairing), NOW, verdict=GO)
    return made, start_rollout(OPEN, made, places, NOW)


def test_a_first_candidate_that_serves_already_and_harms_serves_nobody(places: Places) -> None:
    record = start_rollout(OPEN, places.manifest("one"), places, NOW)
    places.serve("one")
    counted(places, record, invalid=1)
    act(OPEN, places, NOW)
    assert places.rollouts.rollout(record.rollout_id).state == "rolled_back"
    assert places.active() is None
    assert places.deployments.deployment(record.deployment_id).outcome == "rolled_back"


def test_who_was_taken_back_is_not_promoted_again_without_a_word(places: Places) -> None:
    record = begin(places)
    done = by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    assert by_hand.promote(OPEN, places, record.rollout_id, "ann", "again", LATER) == done
    by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    with pytest.raises(ShouldResolveConflict, match="taken back by bob: complaints") as refused:
        by_hand.promote(OPEN, places, record.rollout_id, "ann", "again", LATER)
    assert "everloop models deploy one" in refused.value.remedy
    places.serve("two")
    with pytest.raises(ShouldResolveConflict, match="taken back"):
        by_hand.promote(OPEN, places, record.rollout_id, "ann", "again", LATER)
    places.serve("one")
    assert by_hand.promote(OPEN, places, record.rollout_id, "ann", "again", LATER) == done
    places.serve("two")
    with pytest.raises(ShouldResolveConflict, match="another one serves"):
        by_hand.promote(OPEN, places, record.rollout_id, "ann", "again", LATER)


def test_a_rollback_returns_to_what_the_promotion_replaced(places: Places) -> None:
    record = begin(places)
    between = places.serve("two")
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    assert places.deployments.head(LOOP).deployment_id == between.deployment_id


def test_a_rollback_does_not_return_to_what_was_taken_back_meanwhile(places: Places) -> None:
    first = start_rollout(OPEN, places.manifest("one"), places, NOW)
    by_hand.promote(OPEN, places, first.rollout_id, "ann", "launch", LATER)
    second = begin(places, "two")
    assert second.previous_deployment == places.deployments.head(LOOP).deployment_id
    by_hand.rollback(OPEN, places, first.rollout_id, "bob", "complaints", LATER)
    by_hand.promote(OPEN, places, second.rollout_id, "ann", "launch", LATER)
    by_hand.rollback(OPEN, places, second.rollout_id, "bob", "complaints", LATER)
    assert places.active() is None


def test_a_death_before_the_outcome_keeps_the_measure_of_who_was_taken_back(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    writes = [1]
    dying = replace(places, deployments=Dying(places.deployments, writes, ("swap", "measured")))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        act(OPEN, dying, LATER, shown(record))
    assert places.deployments.deployment(record.deployment_id).outcome == ""
    by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.outcome, kept.measured) == ("withdrawn", estimate(0.01, 0.09))


def test_a_trial_is_rolled_back_by_hand_at_any_time(places: Places) -> None:
    for spec, name in ((SPEC, "one"), (OPEN, "two")):
        record = begin(places, name, spec=spec)
        over = by_hand.rollback(spec, places, record.rollout_id, "ann", "no", LATER)
        assert (over.state, over.traffic_percent) == ("rolled_back", 0.0)
        assert by_hand.rollback(spec, places, record.rollout_id, "ann", "no", LATER) == over
        assert (places.active(), places.candidate()) == ("old", None)


def test_ending_one_that_waits_leaves_the_one_on_trial(places: Places) -> None:
    first, second = begin(places), begin(places, "two", now=NOW + timedelta(hours=1))
    over = by_hand.end(OPEN, places, second.rollout_id, "ann", "not this one", LATER)
    assert over.state == "ended"
    assert places.rollouts.rollout(first.rollout_id).state == "started"
    assert by_hand.end(OPEN, places, second.rollout_id, "ann", "again", LATER) == over


@pytest.mark.parametrize(
    "action",
    [
        by_hand.approve,
        by_hand.pause,
        by_hand.resume,
        by_hand.promote,
        by_hand.rollback,
        by_hand.end,
    ],
)
def test_who_and_why_are_asked_and_the_trial_must_exist(places: Places, action: Any) -> None:
    record = begin(places)
    for actor, reason in (("", "why"), ("ann", " ")):
        with pytest.raises(ShouldFixArgument, match="actor"):
            action(OPEN, places, record.rollout_id, actor, reason, NOW)
    with pytest.raises(ShouldNameKnownId):
        action(OPEN, places, "none", "ann", "why", NOW)
    with pytest.raises(ShouldNameKnownId):
        action(OPEN, places, record.rollout_id, "ann", "why", NOW, "another-tenant")
    assert places.rollouts.rollout(record.rollout_id) == record


@pytest.mark.parametrize(
    "action", [by_hand.approve, by_hand.pause, by_hand.resume, by_hand.promote, by_hand.end]
)
def test_rolled_back_is_final(places: Places, action: Any) -> None:
    record = begin(places)
    over = by_hand.rollback(OPEN, places, record.rollout_id, "ann", "no", LATER)
    with pytest.raises(ShouldResolveConflict, match="rolled_back"):
        action(OPEN, places, record.rollout_id, "ann", "why", LATER)
    act(OPEN, places, LATER, shown(record))
    assert places.rollouts.rollout(record.rollout_id) == over
