"""The verdict on a deployment, in every state that it can be in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.evaluation import Decision
from everloop.rollout import by_hand
from everloop.rollout.control import act
from everloop.rollout.reconsider import reconsidered
from everloop.rollout.settle import needs_a_new_look
from everloop.rollout.standing import standing_verdict
from everloop.rollout.start import start_rollout
from tests.unit.rollout.places import ASKS, GO, HOLD, LOOP, NOW, Places
from tests.unit.rollout.test_control import LATER, OPEN, begin, counted, shown
from tests.unit.rollout.trials import SPEC


def verdict(places: Places, deployment_id: str) -> tuple[Decision, str]:
    revision = places.deployments.head(LOOP).revision
    found = standing_verdict(OPEN, places, deployment_id, LATER)
    assert places.deployments.head(LOOP).revision == revision, "asking changes nothing"
    assert found.deployment_id == deployment_id
    assert found.reasons
    return found.decision, found.state


def test_a_healthy_trial_continues_and_an_unhealthy_one_says_rollback(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    assert verdict(places, record.deployment_id) == (Decision.CONTINUE, "started")
    counted(places, record, invalid=1)
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert (found.decision, found.traffic_percent) == (Decision.ROLLBACK, 25.0)
    assert found.rollout_id == record.rollout_id
    assert {check.name for check in found.checks} >= {"answers", "experiment"}


def test_the_watch_s_hold_stands_until_the_watch_lifts_it(places: Places) -> None:
    record = begin(places)
    counted(places, record)
    act(OPEN, places, LATER, shown(record, 2.0, drifted=True))
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert found.decision is Decision.HOLD
    assert "drifts" in found.reasons[0]
    act(OPEN, places, NOW + timedelta(hours=3), shown(record, 3.0))
    assert verdict(places, record.deployment_id)[0] is Decision.CONTINUE


def test_outcomes_stand_after_the_trial(places: Places) -> None:
    record = begin(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    assert verdict(places, record.deployment_id) == (Decision.PROMOTE, "promoted")
    by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert (found.decision, found.traffic_percent) == (Decision.ROLLBACK, 0.0)
    assert found.reasons == ("Taken back by bob: complaints",)
    assert verdict(places, record.previous_deployment) == (Decision.PROMOTE, "active")


def test_one_that_a_later_promotion_replaced_is_no_rollback(places: Places) -> None:
    first = begin(places)
    by_hand.promote(OPEN, places, first.rollout_id, "ann", "launch", LATER)
    second = begin(places, "two")
    by_hand.promote(OPEN, places, second.rollout_id, "ann", "launch", LATER)
    assert verdict(places, first.deployment_id)[0] is Decision.PROMOTE


def test_the_first_policy_that_was_taken_back_says_rollback(places: Places) -> None:
    record = start_rollout(OPEN, places.manifest("one"), places, NOW)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    by_hand.rollback(OPEN, places, record.rollout_id, "bob", "complaints", LATER)
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert (found.decision, found.reasons) == (
        Decision.ROLLBACK,
        ("Taken back by bob: complaints",),
    )
    places.serve("two")
    assert verdict(places, record.deployment_id)[0] is Decision.ROLLBACK
    places.serve("one")
    assert verdict(places, record.deployment_id)[0] is Decision.PROMOTE


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_one_that_models_back_took_away_says_rollback(places: Places, named: bool) -> None:
    record = begin(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    before = places.deployments.deployment(record.previous_deployment)
    withdrawn = record.deployment_id if named else ""
    revision = places.deployments.head(LOOP).revision
    places.deployments.swap(
        before, revision, "rolled_back", "worse", "cli:ann", withdrawn=withdrawn
    )
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert found.reasons == ("Taken back by cli:ann: worse",)
    assert found.decision is Decision.ROLLBACK


def test_going_back_past_who_was_replaced_and_served_again_is_a_rollback(places: Places) -> None:
    record = begin(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    later = places.serve("two")
    own = places.deployments.deployment(record.deployment_id)
    before = places.deployments.deployment(record.previous_deployment)
    for target, withdrawn, decision in (
        (own, later, Decision.PROMOTE),
        (before, own, Decision.ROLLBACK),
    ):
        revision = places.deployments.head(LOOP).revision
        places.deployments.swap(
            *(target, revision, "rolled_back", "worse", "ann"), withdrawn=withdrawn.deployment_id
        )
        assert verdict(places, record.deployment_id)[0] is decision


def test_a_policy_whose_alias_was_cleared_by_hand_was_taken_back(places: Places) -> None:
    record = begin(places)
    by_hand.promote(OPEN, places, record.rollout_id, "ann", "launch", LATER)
    generation = places.registry.alias(LOOP, "active")[1]
    places.registry.set_alias(LOOP, "active", None, generation, "out", actor="cli:ann")
    found = standing_verdict(OPEN, places, record.deployment_id, LATER)
    assert found.decision is Decision.ROLLBACK
    assert found.reasons == ("Taken back by cli:ann: active is nothing: out",)


def test_another_trial_s_rollback_takes_nothing_back(places: Places) -> None:
    first = begin(places)
    by_hand.promote(OPEN, places, first.rollout_id, "ann", "launch", LATER)
    second = begin(places, "two")
    by_hand.rollback(OPEN, places, second.rollout_id, "ann", "no", LATER)
    places.serve("old")
    assert verdict(places, first.deployment_id)[0] is Decision.PROMOTE


@pytest.mark.parametrize(
    ("given", "state"), [(HOLD, "refused"), (ASKS, "awaiting_approval")], ids=["held", "asks"]
)
def test_who_is_on_no_trial_holds(places: Places, given: Any, state: str) -> None:
    record = begin(places, verdict=given)
    assert verdict(places, record.deployment_id) == (Decision.HOLD, state)
    other = places.deployments.record(places.manifest("two", GO))
    assert verdict(places, other.deployment_id) == (Decision.HOLD, "")


def test_a_rolled_back_one_and_an_ended_one_say_rollback(places: Places) -> None:
    for action, name in ((by_hand.rollback, "one"), (by_hand.end, "two")):
        record = begin(places, name)
        action(OPEN, places, record.rollout_id, "ann", "no", LATER)
        assert verdict(places, record.deployment_id)[0] is Decision.ROLLBACK


def test_another_tenant_has_no_verdict(places: Places) -> None:
    record = begin(places)
    with pytest.raises(ShouldNameKnownId):
        standing_verdict(OPEN, places, record.deployment_id, LATER, "another")


def _waiting_for_a_look(places: Places) -> None:
    first = begin(places, spec=OPEN)
    begin(places, "two", spec=OPEN, now=NOW + timedelta(hours=1))
    by_hand.promote(OPEN, places, first.rollout_id, "ann", "launch", LATER)


def test_who_waited_and_passes_against_the_new_active_begins_against_it(places: Places) -> None:
    _waiting_for_a_look(places)
    waits = needs_a_new_look(places, LOOP, "default")
    assert waits is not None
    begun = reconsidered(SPEC, places, waits, GO, LATER, "watch")
    assert (begun.state, begun.active) == ("shadow", "one")
    assert begun.previous_deployment == places.deployments.head(LOOP).deployment_id != ""
    assert places.candidate() == "two"


def test_who_waited_and_fails_against_the_new_active_is_refused(places: Places) -> None:
    _waiting_for_a_look(places)
    waits = needs_a_new_look(places, LOOP, "default")
    assert waits is not None
    refused = reconsidered(SPEC, places, waits, HOLD, LATER, "watch")
    assert (refused.state, refused.reasons) == ("refused", ("Too little overlap.",))
    event = places.deployments.last_event(refused.rollout_id)
    assert event is not None
    assert event.evidence["decision"] == "hold"
    assert needs_a_new_look(places, LOOP, "default") is None


def test_somebody_who_ended_it_meanwhile_is_not_overruled(places: Places) -> None:
    _waiting_for_a_look(places)
    waits = needs_a_new_look(places, LOOP, "default")
    assert waits is not None
    by_hand.end(OPEN, places, waits.rollout_id, "ann", "no", LATER)
    assert reconsidered(SPEC, places, waits, GO, LATER, "watch").state == "ended"
