from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.models import Provenance
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollout_spec import ShadowSpec
from everloop.contracts.rollouts import (
    POLICY,
    Artefact,
    Deployment,
    RolloutRecord,
    Stay,
    deployment_id_of,
)
from everloop.rollout import by_hand
from everloop.rollout.end import DEPLOYED, end_trial_of
from everloop.rollout.settle import settle
from everloop.rollout.start import rollout_id_of, start_rollout
from tests.unit.rollout.places import ASKS, GO, HOLD, LOOP, NOW, PREDICTED, Places
from tests.unit.rollout.trials import SPEC, spec_with

OPEN = spec_with(shadow=ShadowSpec(decisions=0))
"""A loop without a shadow: people meet a candidate at once."""


def start(
    places: Places, name: str = "one", verdict: Verdict | None = GO, spec: Any = SPEC
) -> RolloutRecord:
    return start_rollout(spec, places.manifest(name, verdict), places, NOW)


def test_continue_starts_in_shadow_before_anybody_meets_it(places: Places) -> None:
    serving = places.serve("old")
    record = start_rollout(SPEC, places.manifest("one"), places, NOW, serving)
    assert (record.state, record.traffic_percent) == ("shadow", 0.0)
    assert (record.candidate, record.active, record.loop) == ("one", "old", LOOP)
    assert record.reasons == ("Enough overlap.",)
    assert record.recorded_at == NOW
    assert record.history == (Stay("shadow", 0.0, NOW),)
    assert record.rollout_id == rollout_id_of(LOOP, "default", "one")
    assert uuid.UUID(record.rollout_id)
    assert record.deployment_id == places.manifest("one").deployment_id
    assert record.previous_deployment == serving.deployment_id
    assert record.holdout_percent == SPEC.rollout.holdout_percent == 5.0
    assert (places.candidate(), places.active()) == ("one", "old")
    assert places.rollouts.rollout(record.rollout_id) == record


def test_without_a_shadow_it_starts_at_the_first_step(places: Places) -> None:
    record = start(places, spec=OPEN)
    assert record.state == "started"
    assert record.traffic_percent == OPEN.rollout.ramp[0] == 1.0
    assert places.candidate() == "one"


def test_the_deployment_keeps_the_verdict_and_what_was_predicted(places: Places) -> None:
    record = start(places, "one", HOLD)
    kept = places.deployments.deployment(record.deployment_id)
    assert (kept.verdict, kept.predicted, kept.outcome) == (HOLD, PREDICTED, "")


def test_hold_refuses_with_the_reasons(places: Places) -> None:
    record = start(places, "one", HOLD)
    assert record.state == "refused"
    assert record.traffic_percent == 0.0
    assert record.reasons == ("Too little overlap.",)
    assert places.candidate() is None


@pytest.mark.parametrize("decision", [Decision.HOLD, Decision.ROLLBACK, Decision.PROMOTE])
def test_only_continue_starts(places: Places, decision: Decision) -> None:
    assert start(places, "one", Verdict(decision, GO.checks)).state == "refused"


@pytest.mark.parametrize("verdict", [Verdict(Decision.HOLD, ()), None])
def test_a_verdict_without_checks_still_has_a_reason(
    places: Places, verdict: Verdict | None
) -> None:
    assert start(places, "one", verdict).reasons == ("The gate made no check.",)


def test_what_a_person_may_decide_waits_for_one(places: Places) -> None:
    record = start(places, "one", ASKS)
    assert (record.state, record.traffic_percent) == ("awaiting_approval", 0.0)
    assert record.reasons == ("38 people.",)
    assert record.rollout_id == rollout_id_of(LOOP, "default", "one")
    assert places.candidate() is None


@pytest.mark.parametrize(("passed", "state"), [(True, "shadow"), (False, "refused")])
def test_a_word_that_was_given_before_counts(places: Places, passed: bool, state: str) -> None:
    subject = places.manifest("one").deployment_id
    said = Oversight(
        str(uuid.uuid4()), OversightKind.APPROVAL, LOOP, subject, passed, "ann", "small group", NOW
    )
    places.oversights.add(said)
    record = start(places, "one", ASKS)
    assert record.state == state
    assert "ann" in " ".join(record.reasons)


def test_a_word_on_another_deployment_starts_nothing(places: Places) -> None:
    another = places.manifest("two").deployment_id
    said = Oversight(
        str(uuid.uuid4()), OversightKind.APPROVAL, LOOP, another, True, "ann", "small group", NOW
    )
    places.oversights.add(said)
    assert start(places, "one", ASKS).state == "awaiting_approval"


def test_nobody_can_approve_what_must_not_leave_the_boundary(places: Places) -> None:
    places.checkpoint("raw", provenance=Provenance.RAW_LOG)
    record = start(places, "raw", ASKS)
    assert record.state == "refused"
    assert "must not leave the boundary" in record.reasons[-1]


def test_again_is_the_same_record_and_moves_nothing(places: Places) -> None:
    first = start(places)
    revision = places.deployments.head(LOOP).revision
    again = start_rollout(SPEC, places.manifest("one"), places, NOW + timedelta(days=1))
    assert again == first
    assert places.deployments.head(LOOP).revision == revision
    held = start(places, "two", HOLD)
    assert start(places, "two", HOLD) == held
    assert len(places.rollouts.rollouts(LOOP)) == 2


@pytest.mark.parametrize("spec", [SPEC, OPEN])
def test_the_second_candidate_waits(places: Places, spec: Any) -> None:
    start(places, "one", spec=spec)
    record = start(places, "two", spec=spec)
    assert record.state == "waiting"
    assert record.traffic_percent == 0.0
    assert "Candidate one is on trial" in record.reasons[0]
    assert places.candidate() == "one"
    assert start(places, "two", spec=spec) == record


def test_a_race_for_the_trial_has_one_winner(places: Places) -> None:
    both = threading.Barrier(2)
    found: list[RolloutRecord] = []

    def run(name: str) -> None:
        manifest = places.manifest(name)
        both.wait()
        found.append(start_rollout(SPEC, manifest, places, NOW))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.state for record in found) == ["shadow", "waiting"]
    winner = next(record for record in found if record.state == "shadow")
    assert places.candidate() == winner.candidate


def test_new_evidence_after_a_refusal_may_start(places: Places) -> None:
    start(places, "one", HOLD)
    other = Verdict(Decision.HOLD, (Check("x", CheckStatus.FAILED, "Something else."),))
    assert start(places, "one", other).reasons == ("Something else.",)
    assert start(places).state == "shadow"
    states = sorted(record.state for record in places.rollouts.rollouts(LOOP))
    assert states == ["refused", "refused", "shadow"]


def test_an_operator_who_cleared_the_alias_is_not_overruled(places: Places) -> None:
    start(places)
    places.registry.set_alias(LOOP, "candidate", None, 1, "stopped by hand")
    start(places)
    assert places.candidate() is None


def test_a_raw_log_checkpoint_is_refused_whatever_the_verdict(places: Places) -> None:
    places.checkpoint("raw", provenance=Provenance.RAW_LOG)
    record = start(places, "raw")
    assert record.state == "refused"
    assert "must not leave the boundary" in record.reasons[0]


def test_what_serves_already_is_not_tried(places: Places) -> None:
    places.serve("one")
    record = start(places)
    assert record.state == "refused"
    assert record.reasons == ("This checkpoint is serving already.",)


def test_a_promoted_candidates_run_can_be_repeated(places: Places) -> None:
    first = start(places)
    places.serve("one")
    assert start(places) == first


def test_a_trial_whose_candidate_serves_by_now_makes_nobody_wait(places: Places) -> None:
    start(places)
    places.serve("one")
    record = start(places, "two")
    assert (record.state, record.active) == ("shadow", "one")
    assert places.candidate() == "two"
    over = places.rollouts.rollout(rollout_id_of(LOOP, "default", "one"))
    assert (over.state, over.traffic_percent) == ("ended", 0.0)
    assert over.reasons == (DEPLOYED, "Enough overlap.")
    assert start(places).state == "ended"


def test_deploying_a_candidate_ends_its_trial_once(places: Places) -> None:
    start(places)
    places.serve("one")
    assert end_trial_of("two", LOOP, "default", places.registry, places.rollouts) is None
    over = end_trial_of("one", LOOP, "default", places.registry, places.rollouts)
    assert over is not None
    assert over.state == "ended"
    assert places.candidate() is None
    assert end_trial_of("one", LOOP, "default", places.registry, places.rollouts) is None


def test_an_alias_that_moved_on_is_left_alone(places: Places) -> None:
    start(places)
    places.registry.set_alias(LOOP, "candidate", "two", 1, "by hand")
    assert end_trial_of("one", LOOP, "default", places.registry, places.rollouts) is not None
    assert places.candidate() == "two"


def test_tenants_have_their_own_trials(places: Places) -> None:
    start(places)
    places.checkpoint("three", tenant="men")
    record = start(places, "three")
    assert (record.state, record.tenant) == ("shadow", "men")
    assert rollout_id_of(LOOP, "men", "x") != rollout_id_of(LOOP, "default", "x")


@pytest.mark.parametrize("change", [{"loop": "open_bandit"}, {"tenant": "men"}])
def test_another_loops_checkpoint_is_refused(places: Places, change: dict[str, str]) -> None:
    places.checkpoint("other", **change)
    manifest = replace(places.manifest("other"), loop=LOOP, tenant="default")
    with pytest.raises(ShouldFixArgument, match="belongs to loop"):
        start_rollout(SPEC, manifest, places, NOW)
    assert places.rollouts.rollouts(LOOP) == ()
    assert places.deployments.deployments(LOOP) == ()


def test_another_loops_manifest_is_refused(places: Places) -> None:
    manifest = replace(places.manifest("one"), loop="open_bandit")
    with pytest.raises(ShouldFixArgument, match="belongs to loop"):
        start_rollout(SPEC, manifest, places, NOW)


def same_policy(places: Places, name: str, like: str, **parts: Any) -> Deployment:
    """What a rerun makes: another checkpoint with the file and version of one that there is."""
    row = places.registry.checkpoint(like)
    places.checkpoint(name)
    known = Artefact(POLICY, name, f"v-{like}", row.weights_sha256, "enc")
    artefacts = (replace(known, **parts),)
    return replace(
        places.manifest(name),
        artefacts=artefacts,
        deployment_id=deployment_id_of(LOOP, "default", artefacts),
    )


@pytest.mark.parametrize("parts", [{}, {"version": "other"}, {"sha256": "f" * 64}])
def test_a_policy_that_was_rolled_back_is_tried_again_by_a_person_alone(
    places: Places, parts: dict[str, str]
) -> None:
    places.serve("old")
    first = start(places)
    by_hand.rollback(SPEC, places, first.rollout_id, "ann", "complaints", NOW)
    again = start_rollout(SPEC, same_policy(places, "rerun", "one", **parts), places, NOW)
    assert (again.state, again.traffic_percent) == ("awaiting_approval", 0.0)
    assert first.rollout_id in again.reasons[0]
    assert "rolled back" in again.reasons[0]
    assert "everloop rollout approve" in again.reasons[0]
    settle(SPEC, places, NOW, "watch")
    assert places.rollouts.rollout(again.rollout_id).state == "awaiting_approval"
    begun = by_hand.approve(SPEC, places, again.rollout_id, "bob", "the outage was ours", NOW)
    assert begun.state == "shadow"


def test_another_policy_or_another_rival_is_another_trial(places: Places) -> None:
    places.serve("old")
    first = start(places)
    by_hand.rollback(SPEC, places, first.rollout_id, "ann", "complaints", NOW)
    unlike = same_policy(places, "unlike", "one", version="other", sha256="f" * 64)
    other = start_rollout(SPEC, unlike, places, NOW)
    assert other.state == "shadow"
    by_hand.end(SPEC, places, other.rollout_id, "ann", "enough", NOW)
    places.serve("two")
    rerun = same_policy(places, "rerun", "one")
    assert start_rollout(SPEC, rerun, places, NOW).state == "shadow", "against another rival"


def test_a_policy_whose_trial_ended_without_harm_may_be_tried_again(places: Places) -> None:
    first = start(places)
    by_hand.end(SPEC, places, first.rollout_id, "ann", "enough", NOW)
    assert start_rollout(SPEC, same_policy(places, "r", "one"), places, NOW).state == "shadow"


@pytest.mark.parametrize("before", ["old", ""])
def test_a_promoted_policy_that_was_withdrawn_is_tried_again_by_a_person_alone(
    places: Places, before: str
) -> None:
    serving = places.serve(before) if before else None
    first = start_rollout(OPEN, places.manifest("one"), places, NOW, serving)
    by_hand.promote(OPEN, places, first.rollout_id, "ann", "fine", NOW)
    rerun = same_policy(places, "rerun", "one")
    by_hand.rollback(OPEN, places, first.rollout_id, "ann", "complaints", NOW)
    again = start_rollout(OPEN, rerun, places, NOW)
    assert again.state == "awaiting_approval"
    assert "promoted and withdrawn" in again.reasons[0]


def test_one_that_waits_is_asked_about_when_its_twin_is_rolled_back(places: Places) -> None:
    first = start(places)
    other = start(places, "two")
    twin = start_rollout(SPEC, same_policy(places, "rerun", "one"), places, NOW)
    assert (other.state, twin.state) == ("waiting", "waiting")
    by_hand.rollback(SPEC, places, first.rollout_id, "ann", "complaints", NOW)
    assert places.rollouts.rollout(twin.rollout_id).state == "awaiting_approval"
    assert places.rollouts.rollout(other.rollout_id).state == "shadow", "it is nobody's twin"


def test_an_approval_from_before_the_rollback_is_none_of_what_came_later(places: Places) -> None:
    places.serve("old")
    first = start(places)
    rerun = same_policy(places, "rerun", "one")
    early = NOW - timedelta(hours=1)
    places.oversights.add(
        Oversight(
            str(uuid.uuid4()),
            OversightKind.APPROVAL,
            LOOP,
            rerun.deployment_id,
            True,
            "ann",
            "small group",
            early,
        )
    )
    by_hand.rollback(SPEC, places, first.rollout_id, "ann", "complaints", NOW)
    assert start_rollout(SPEC, rerun, places, NOW).state == "awaiting_approval"


def test_a_manifest_without_a_policy_or_with_an_unknown_one_is_an_error(places: Places) -> None:
    made = places.manifest("one")
    pairing = replace(made, artefacts=(replace(made.artefacts[0], role="pairing"),))
    with pytest.raises(ShouldFixArgument, match="no policy"):
        start_rollout(SPEC, pairing, places, NOW)
    none = replace(made, artefacts=(replace(made.artefacts[0], artefact_id="none"),))
    with pytest.raises(ShouldRestoreArtefact):
        start_rollout(SPEC, none, places, NOW)


def test_times_need_a_zone_and_are_kept_in_utc(places: Places) -> None:
    manifest = places.manifest("one")
    with pytest.raises(ShouldFixArgument, match="time zone"):
        start_rollout(SPEC, manifest, places, NOW.replace(tzinfo=None))
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    recorded = start_rollout(SPEC, manifest, places, east).recorded_at
    assert recorded == NOW
    assert recorded.tzinfo == UTC
