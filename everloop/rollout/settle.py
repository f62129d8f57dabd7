"""What an ended trial leaves to do: its outcome is kept, and the next candidate begins.

Every step can be repeated: whoever was killed between two of them leaves something that the next call
completes. A compare-and-set that is lost was won by somebody who does the same.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from everloop.contracts.documents import from_json
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.evaluation import Decision, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import (
    LIVE,
    POLICY,
    EventKind,
    Head,
    RolloutEvent,
    RolloutRecord,
    RolloutState,
)
from everloop.rollout.decide import moved
from everloop.rollout.places import TrialPlaces
from everloop.rollout.retried import tried_before
from everloop.rollout.start import first_stay, with_approval
from everloop.rollout.subject import rebased, served_by
from everloop.rollout.withdrawal import taken_back

_TRIED: tuple[RolloutState, ...] = ("promoted", "rolled_back", "ended")
_LAST: tuple[EventKind, ...] = ("rolled_back", "ended")
_PROMOTED: tuple[EventKind, ...] = ("promoted",)
_MEASURED: tuple[EventKind, ...] = ("step", "hold", "resumed")
NEWER = "A newer candidate is on trial."
OUTDATED = (
    "It was compared with a voice that serves no longer: the next run makes one of what serves now."
)


def settle(
    spec: LoopSpec, places: TrialPlaces, now: datetime, actor: str, tenant: str = "default"
) -> None:
    """Keep the outcomes of ended trials, and start a candidate that waits and still may: the newest policy
    or the newest voice, whichever waited longer.

    One may start whose verdict still stands, that is, what serves is what it was compared with; otherwise
    a policy needs a new look (``needs_a_new_look``), and a voice ends. The older ones end.
    """
    records = places.rollouts.rollouts(spec.name, tenant)
    _keep_outcomes(places, spec.name, tenant, records)
    for record in records:
        if record.state == "awaiting_approval":
            with contextlib.suppress(ShouldResolveConflict):
                complete_approval(spec, places, record, now, actor)
    with contextlib.suppress(ShouldResolveConflict):
        _next(spec, places, now, actor, tenant)


def needs_a_new_look(places: TrialPlaces, loop: str, tenant: str) -> RolloutRecord | None:
    """The newest policy that waits with nothing on trial, and whose comparison is with what no longer
    serves; None where there is none."""
    head = places.deployments.head(loop, tenant)
    newest = next((r for r in _queue(places, loop, tenant) if r.subject == POLICY), None)
    if head.trial is not None or newest is None or newest.active == served_by(head):
        return None
    return newest


def begin(
    spec: LoopSpec,
    places: TrialPlaces,
    record: RolloutRecord,
    head: Head,
    reasons: tuple[str, ...],
    now: datetime,
    actor: str,
) -> RolloutRecord:
    """Let a candidate's trial begin, against what serves; ``ShouldResolveConflict`` where it lost.

    Its manifest holds what serves beside it now: that may have changed while it waited.
    """
    state, traffic = first_stay(spec, record.subject)
    begun = replace(
        moved(record, state, traffic, now.astimezone(UTC), reasons, step=0),
        active=served_by(head, record.subject),
        deployment_id=_manifest_beside(places, record, head),
        previous_deployment=head.deployment_id or record.previous_deployment,
        holdout_percent=spec.rollout.holdout_percent,
    )
    kind: EventKind = "shadow" if state == "shadow" else "step"
    return places.rollouts.advance(begun, kind, reasons[0], actor)


def complete_approval(
    spec: LoopSpec, places: TrialPlaces, record: RolloutRecord, now: datetime, actor: str
) -> RolloutRecord:
    """Let a candidate that a person approved begin or wait; one that nobody approved stays.

    Raises:
        ShouldResolveConflict: somebody changed the rollout, or another one became live, meanwhile.
    """
    deployment = places.deployments.deployment(record.deployment_id, record.tenant)
    verdict = with_approval(places, deployment)
    if verdict.decision is not Decision.CONTINUE:
        return record
    head = places.deployments.head(spec.name, record.tenant)
    if head.trial is not None or record.active != served_by(head, record.subject):
        waits = "Approved; it waits for its turn."
        queued = moved(
            record, "waiting", 0.0, now.astimezone(UTC), (waits, *verdict.reasons), step=0
        )
        return places.rollouts.advance(queued, "waiting", waits, actor)
    return begin(spec, places, record, head, verdict.reasons, now, actor)


def _keep_outcomes(
    places: TrialPlaces, loop: str, tenant: str, records: Sequence[RolloutRecord]
) -> None:
    open_ = {
        deployment.deployment_id
        for deployment in places.deployments.deployments(loop, tenant=tenant)
        if not deployment.outcome
    }
    under_way = {r.deployment_id for r in records if r.state in (*LIVE, "waiting")}
    for record in records:
        if record.state in _TRIED and record.deployment_id in open_ - under_way:
            measured = _measured(places, record)
            withdrawn = record.state == "promoted" and taken_back(places, record) is not None
            outcome = "withdrawn" if withdrawn else record.state
            places.deployments.measured(record.deployment_id, measured, outcome, tenant)


def _measured(places: TrialPlaces, record: RolloutRecord) -> Estimate | None:
    """The newest effect that was measured: of the end, else of the last look before it.

    A promotion comes first: what took the deployment back later measured nothing.
    """
    for kinds in (_PROMOTED, _LAST, _MEASURED):
        event = places.deployments.last_event(record.rollout_id, kinds, record.tenant)
        found = None if event is None else _effect(event)
        if found is not None:
            return found
    return None


def _effect(event: RolloutEvent) -> Estimate | None:
    experiment = event.evidence.get("experiment")
    if not isinstance(experiment, dict):
        return None
    found = from_json(Estimate, json.dumps(experiment["primary"]).encode())
    return found if math.isfinite(found.value) else None


def _manifest_beside(places: TrialPlaces, record: RolloutRecord, head: Head) -> str:
    """The manifest that a candidate is tried with by now; a changed one is recorded as it was approved."""
    if not record.deployment_id:
        return record.deployment_id
    deployment = places.deployments.deployment(record.deployment_id, record.tenant)
    now_beside = rebased(places, deployment, record.subject, head)
    if now_beside.deployment_id == record.deployment_id:
        return record.deployment_id
    judged = None if deployment.verdict is None else with_approval(places, deployment)
    return places.deployments.record(replace(now_beside, verdict=judged)).deployment_id


def _next(spec: LoopSpec, places: TrialPlaces, now: datetime, actor: str, tenant: str) -> None:
    head = places.deployments.head(spec.name, tenant)
    for newest in _queue(places, spec.name, tenant) if head.trial is None else ():
        if newest.active != served_by(head, newest.subject):
            if newest.is_of_voice:
                _end(places, newest, OUTDATED, now, actor)
            continue
        if _asks_again(places, newest, now, actor):
            _next(spec, places, now, actor, tenant)
            return
        told = ("What was on trial ended, and this is the newest that may.", *newest.reasons[1:])
        begin(spec, places, newest, head, told, now, actor)
        head = places.deployments.head(spec.name, tenant)
        break
    if head.trial is not None:
        _end_older(places, head.trial, now, actor)


def _asks_again(places: TrialPlaces, record: RolloutRecord, now: datetime, actor: str) -> bool:
    """Whether one that waits is to be asked about: its policy was taken from people meanwhile."""
    deployment = places.deployments.deployment(record.deployment_id, record.tenant)
    verdict = with_approval(places, deployment)
    if not verdict.awaits_person or tried_before(places, deployment) is None:
        return False
    reasons = verdict.reasons
    asking = moved(record, "awaiting_approval", 0.0, now.astimezone(UTC), reasons, step=0)
    places.rollouts.advance(asking, "hold", reasons[0], actor)
    return True


def _end_older(places: TrialPlaces, trial: RolloutRecord, now: datetime, actor: str) -> None:
    for record in places.rollouts.rollouts(trial.loop, trial.tenant):
        alike = record.is_of_voice == trial.is_of_voice
        if record.state == "waiting" and alike and record.entered_at < _queued_at(trial):
            _end(places, record, NEWER, now, actor)


def _end(
    places: TrialPlaces, record: RolloutRecord, reason: str, now: datetime, actor: str
) -> None:
    ended = moved(record, "ended", 0.0, now.astimezone(UTC), (reason, *record.reasons))
    places.rollouts.advance(ended, "ended", reason, actor)


def _queue(places: TrialPlaces, loop: str, tenant: str) -> list[RolloutRecord]:
    """The newest policy and the newest voice that wait, whichever waited longer first: policies come every
    night, and a voice would never have its turn."""
    waiting = [r for r in places.rollouts.rollouts(loop, tenant) if r.state == "waiting"]
    of_each = ([r for r in waiting if r.is_of_voice == of_voice] for of_voice in (False, True))
    newest = [max(some, key=_since_when) for some in of_each if some]
    return sorted(newest, key=_since_when)


def _since_when(record: RolloutRecord) -> tuple[datetime, datetime]:
    return record.entered_at, record.recorded_at


def _queued_at(trial: RolloutRecord) -> datetime:
    """When a trial took its place: it waited since then, or began at once."""
    waited = [stay.entered_at for stay in trial.history if stay.state == "waiting"]
    return (
        waited[-1]
        if waited
        else trial.history[0].entered_at
        if trial.history
        else trial.recorded_at
    )
