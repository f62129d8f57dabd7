"""The controller: reads the live trial, decides, and applies the decision with compare-and-set.

Whoever loses a compare-and-set reads once more and then leaves it to the winner, so that two controllers
act once. Every decision is one transaction; what follows an ending (``settle``) is written in further
ones, each of which the next call completes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from everloop.contracts.documents import to_json
from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import OversightKind
from everloop.contracts.rollouts import (
    Deployment,
    EventKind,
    ExperimentFigures,
    Head,
    RolloutRecord,
    RolloutState,
    TrialVerdict,
)
from everloop.rollout.breaker import open_after
from everloop.rollout.decide import decide_trial, next_state
from everloop.rollout.health import SHADOW, TRIAL, hard_failures, shadow_checks, voice_failures
from everloop.rollout.places import TrialPlaces
from everloop.rollout.servable import problems_of
from everloop.rollout.settle import settle
from everloop.rollout.subject import returning, served_by
from everloop.rollout.trial_checks import PAUSED, TrialEvidence

CONTROLLER = "rollout-watch"
ARTEFACTS = "artefacts"
_KINDS: Mapping[RolloutState, EventKind] = {
    "shadow": "shadow",
    "started": "step",
    "promoted": "promoted",
    "rolled_back": "rolled_back",
    "ended": "ended",
}
_TRIES = 2


def act(
    spec: LoopSpec,
    places: TrialPlaces,
    now: datetime,
    experiment: ExperimentFigures | None = None,
    actor: str = CONTROLLER,
    tenant: str = "default",
) -> TrialVerdict | None:
    """Decide about the live trial and do it; then whatever an ended trial leaves to do.

    Args:
        experiment: what people's answers say of the live trial; figures of another one count for nothing.
            None: its health alone is looked at.

    Returns:
        The verdict; None where nothing is on trial.
    """
    verdict: TrialVerdict | None = None
    for _ in range(_TRIES):
        head = places.deployments.head(spec.name, tenant)
        if head.trial is None:
            break
        verdict = judge(spec, places, head, head.trial, now, experiment)
        try:
            # before the trial is over: whoever dies in between leaves a breaker too many, not too few
            open_after(spec, places.deployments, verdict, actor, tenant)
            _apply(spec, places, head, head.trial, verdict, actor)
        except ShouldResolveConflict:
            continue
        break
    settle(spec, places, now, actor, tenant)
    return verdict


def judge(
    spec: LoopSpec,
    places: TrialPlaces,
    head: Head,
    record: RolloutRecord,
    now: datetime,
    experiment: ExperimentFigures | None = None,
) -> TrialVerdict:
    """The verdict on the trial of a head, from what the workers counted and people said.

    A winner whose files are damaged, or that must not serve, is held.
    """
    if experiment is not None and experiment.rollout_id != record.rollout_id:
        experiment = None
    unseen = record.state == "shadow"
    phase = SHADOW if unseen else TRIAL
    tallies = places.tallies.tallies(record.rollout_id, phase, record.tenant)
    failures = voice_failures if record.is_of_voice else hard_failures
    evidence = TrialEvidence(
        now=now,
        shadow=shadow_checks(spec, record, tallies, now) if unseen else (),
        hard=() if unseen else failures(spec, tallies),
        experiment=experiment,
        approved=_approved(places, record),
        active_unchanged=_unchanged(places, head, record),
    )
    verdict = decide_trial(spec, record, evidence)
    if verdict.decision is not Decision.PROMOTE:
        return verdict
    problems = problems_of(places, record.deployment_id, record.tenant)
    if not problems:
        return verdict
    broken = Check(ARTEFACTS, CheckStatus.FAILED, " ".join(problems))
    return replace(
        verdict,
        decision=Decision.HOLD,
        reasons=problems,
        checks=(*verdict.checks, broken),
        decided_by=(ARTEFACTS,),
    )


def evidence_of(verdict: TrialVerdict) -> Mapping[str, Json]:
    """A verdict as an event keeps it."""
    found: dict[str, Json] = json.loads(to_json(verdict))
    return found


def _unchanged(places: TrialPlaces, head: Head, record: RolloutRecord) -> bool:
    """Whether every part that served when the trial began serves still: the candidate's manifest holds
    those that it shares, and promoting it would take back what somebody deployed since."""
    if served_by(head, record.subject) != record.active:
        return False
    before = record.previous_deployment
    if not before or head.deployment_id == before:
        return True
    parts = places.deployments.deployment(before, record.tenant).artefacts
    now = {role: s.checkpoint_id for role, s in head.serves.items() if s.checkpoint_id is not None}
    return now == {part.role: part.artefact_id for part in parts}


def _approved(places: TrialPlaces, record: RolloutRecord) -> bool:
    """Whether the newest word on the deployment, given since people met it, is an approval."""
    if record.started_at is None:
        return False
    said = places.oversights.latest(
        record.loop, OversightKind.APPROVAL, record.deployment_id, record.tenant
    )
    return said is not None and said.passed and said.at > record.started_at


def _apply(
    spec: LoopSpec,
    places: TrialPlaces,
    head: Head,
    record: RolloutRecord,
    verdict: TrialVerdict,
    actor: str,
) -> None:
    after = next_state(spec, record, verdict)
    if after is None:
        _tell(places, record, verdict, actor)
        return
    reason, evidence = verdict.reasons[0], evidence_of(verdict)
    serving = served_by(head, record.subject)
    serves = after.state == "rolled_back" and serving == record.candidate
    target: Deployment | None
    if after.state == "promoted":
        target = places.deployments.deployment(record.deployment_id, record.tenant)
    elif serves:
        target = returning(places, record, head, verdict.at)
    else:
        places.rollouts.advance(after, _KINDS[after.state], reason, actor, evidence)
        return
    withdrawn = record.deployment_id if serves else ""
    if target is None:
        places.deployments.withdraw(
            *(record.loop, withdrawn, head.revision, reason, actor, evidence),
            rollout=after,
            tenant=record.tenant,
        )
        return
    places.deployments.swap(
        target,
        head.revision,
        _KINDS[after.state],
        reason,
        actor,
        evidence,
        rollout=after,
        withdrawn=withdrawn,
    )


def _tell(places: TrialPlaces, record: RolloutRecord, verdict: TrialVerdict, actor: str) -> None:
    """Tell of a hold once, and once when it is over, however often the same is found.

    A look at the health alone neither finds nor lifts one.
    """
    if verdict.experiment is None or verdict.decided_by == (PAUSED,):
        return
    last = places.deployments.last_event(record.rollout_id, (), record.tenant)
    held = last.evidence.get("decided_by") if last and last.kind == "hold" else None
    if verdict.decision is Decision.HOLD and held != list(verdict.decided_by):
        kept = replace(record, reasons=verdict.reasons)
        places.rollouts.advance(kept, "hold", verdict.reasons[0], actor, evidence_of(verdict))
    elif verdict.decision is Decision.CONTINUE and held is not None:
        over = f"The hold is over. {' '.join(verdict.reasons)}".strip()
        places.rollouts.advance(record, "resumed", over, actor, evidence_of(verdict))
