"""What a named person may do to a trial: approve, pause, resume, promote, roll back, end.

Each is one compare-and-set with an event that says who and why. A person may pass over statistics, and
never over where a model was made, damaged files or what the gate held.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.rollouts import (
    OVER,
    EventKind,
    Head,
    RolloutRecord,
    RolloutState,
)
from everloop.rollout.decide import moved
from everloop.rollout.places import TrialPlaces
from everloop.rollout.servable import problems_of
from everloop.rollout.settle import complete_approval, settle
from everloop.rollout.subject import returning, served_by
from everloop.rollout.withdrawal import taken_back


def approve(
    spec: LoopSpec,
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Agree to the start of a trial that awaits it, or to the promotion of one that people meet.

    Raises:
        ShouldNameKnownId: there is no such rollout.
        ShouldFixArgument: no actor or no reason.
        ShouldResolveConflict: there is nothing to agree to, or it changed meanwhile.
    """
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state not in ("awaiting_approval", "started", "paused"):
        raise _refused(record, "approved", "One that awaits it, or that people meet, can be.")
    said = Oversight(
        oversight_id=str(uuid.uuid4()),
        kind=OversightKind.APPROVAL,
        loop=record.loop,
        subject_id=record.deployment_id,
        passed=True,
        actor=actor,
        reason=reason,
        at=now.astimezone(UTC),
        tenant=tenant,
    )
    places.oversights.add(said)
    agreed = places.rollouts.advance(
        replace(record, approved_by=actor, approval_reason=reason), "approved", reason, actor
    )
    if agreed.state != "awaiting_approval":
        return agreed
    return complete_approval(spec, places, agreed, now, actor)


def pause(
    spec: LoopSpec,  # noqa: ARG001 - every action is called alike
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Keep a trial at the traffic it has until it is resumed; harm still rolls it back. As ``approve``."""
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state == "paused":
        return record
    if record.state not in ("shadow", "started"):
        raise _refused(record, "paused", "One in shadow or started can be.")
    return _move(places, record, "paused", record.traffic_percent, "paused", actor, reason, now)


def resume(
    spec: LoopSpec,  # noqa: ARG001 - every action is called alike
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Let a paused trial go on where it was; its time at the step begins anew. As ``approve``."""
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state in ("shadow", "started"):
        return record
    if record.state != "paused":
        raise _refused(record, "resumed", "One that is paused can be.")
    before = [stay.state for stay in record.history if stay.state in ("shadow", "started")]
    state: RolloutState = before[-1] if before else "shadow"
    return _move(places, record, state, record.traffic_percent, "resumed", actor, reason, now)


def promote(
    spec: LoopSpec,
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Make the candidate on trial what serves, whatever its figures say.

    Raises:
        ShouldFixArgument: it must not serve: where it was made, damaged files, or the gate's answer.
        ShouldResolveConflict: it was promoted, and does not serve any more. Also as ``approve``.
    """
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state == "promoted":
        _require_serving(places, record)
        return record
    if not record.live:
        raise _refused(record, "promoted", "One on trial can be.")
    _require_servable(places, record, record.deployment_id, gated=True)
    head = _own_head(places, record)
    after = replace(
        moved(record, "promoted", 0.0, now.astimezone(UTC), (_said(actor, reason),)),
        previous_deployment=_replaced(head, record),
    )
    _swap(places, head, record.deployment_id, "promoted", actor, reason, after)
    return _settled(spec, places, rollout_id, actor, now, tenant)


def rollback(
    spec: LoopSpec,
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """Take a candidate away from people: off its trial, or, where it was promoted, out of what serves.

    What served before the trial returns as one unit, a voice's parts or all others, beside what serves
    there now; where nothing is left, nothing serves. The record of a promoted one stays: the event says
    that it was taken back.

    Raises:
        ShouldResolveConflict: it is over and does not serve. Also as ``approve``.
        ShouldFixArgument: what served before is damaged.
    """
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state == "rolled_back":
        return record
    head = places.deployments.head(record.loop, tenant)
    serves = served_by(head, record.subject) == record.candidate
    if not record.live and not (record.state == "promoted" and serves):
        raise _refused(record, "rolled back", "One on trial, or one that serves, can be.")
    after: RolloutRecord | None = None
    if record.live:
        head = _own_head(places, record)
        why = (_said(actor, reason),)
        after = moved(record, "rolled_back", 0.0, now.astimezone(UTC), why)
    target = None if not serves else returning(places, record, head, now)
    if not serves and after is not None:
        places.rollouts.advance(after, "rolled_back", reason, actor)
    elif target is not None:
        _require_servable(places, record, target.deployment_id, gated=False)
        withdrawn = record.deployment_id
        _swap(*(places, head, target.deployment_id, "rolled_back", actor, reason, after), withdrawn)
    else:
        places.deployments.withdraw(
            *(record.loop, record.deployment_id, head.revision, reason, actor, {"by_hand": actor}),
            rollout=after,
            tenant=tenant,
        )
    return _settled(spec, places, rollout_id, actor, now, tenant)


def end(
    spec: LoopSpec,
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> RolloutRecord:
    """End a trial, or the wait for one, without a winner. As ``approve``."""
    record = _record(places, rollout_id, actor, reason, tenant)
    if record.state == "ended":
        return record
    if record.state in OVER:
        raise _refused(record, "ended", "One that is not over can be.")
    _move(places, record, "ended", 0.0, "ended", actor, reason, now)
    return _settled(spec, places, rollout_id, actor, now, tenant)


def _record(
    places: TrialPlaces, rollout_id: str, actor: str, reason: str, tenant: str
) -> RolloutRecord:
    if not actor.strip() or not reason.strip():
        raise ShouldFixArgument(
            f"Rollout {rollout_id}: actor={actor!r}, reason={reason!r}.",
            "Say who decides and why.",
        )
    return places.rollouts.rollout(rollout_id, tenant)


def _refused(record: RolloutRecord, what: str, remedy: str) -> ShouldResolveConflict:
    return ShouldResolveConflict(
        f"Rollout {record.rollout_id} is {record.state}: it can't be {what}.", remedy
    )


def _said(actor: str, reason: str) -> str:
    return f"By hand, {actor}: {reason}"


def _move(
    places: TrialPlaces,
    record: RolloutRecord,
    state: RolloutState,
    traffic_percent: float,
    kind: EventKind,
    actor: str,
    reason: str,
    now: datetime,
) -> RolloutRecord:
    why = (_said(actor, reason),)
    after = moved(record, state, traffic_percent, now.astimezone(UTC), why)
    return places.rollouts.advance(after, kind, reason, actor)


def _own_head(places: TrialPlaces, record: RolloutRecord) -> Head:
    """The head, read after the record: a record that changed since is a lost compare-and-set."""
    head = places.deployments.head(record.loop, record.tenant)
    if head.trial is None or head.trial.rollout_id != record.rollout_id:
        raise ShouldResolveConflict(
            f"Rollout {record.rollout_id} is no longer on trial.", "Read it again."
        )
    return head


def _swap(
    places: TrialPlaces,
    head: Head,
    deployment_id: str,
    kind: EventKind,
    actor: str,
    reason: str,
    after: RolloutRecord | None,
    withdrawn: str = "",
) -> None:
    places.deployments.swap(
        places.deployments.deployment(deployment_id, head.tenant),
        head.revision,
        kind,
        reason,
        actor,
        {"by_hand": actor},
        rollout=after,
        withdrawn=withdrawn,
    )


def _replaced(head: Head, record: RolloutRecord) -> str:
    """What a promotion past the figures takes the place of, which need not be what the trial began with:
    a rollback returns to it, and never to what was taken back meanwhile."""
    serves = served_by(head, record.subject)
    if serves != record.candidate and (head.deployment_id or serves is None):
        return head.deployment_id
    return record.previous_deployment


def _require_serving(places: TrialPlaces, record: RolloutRecord) -> None:
    head = places.deployments.head(record.loop, record.tenant)
    if served_by(head, record.subject) == record.candidate:
        return
    back = taken_back(places, record)
    since = (
        "another one serves by now."
        if back is None
        else f"it was taken back by {back.actor}: {back.reason}"
    )
    raise ShouldResolveConflict(
        f"Rollout {record.rollout_id} was promoted before, and {since}",
        f"Deploy it again: everloop models deploy {record.candidate} --reason TEXT.",
    )


def _require_servable(
    places: TrialPlaces, record: RolloutRecord, deployment_id: str, gated: bool
) -> None:
    problems = problems_of(places, deployment_id, record.tenant, gated)
    if problems:
        raise ShouldFixArgument(
            f"Deployment {deployment_id} must not serve. {' '.join(problems)}",
            "Deploy one that may.",
        )


def _settled(
    spec: LoopSpec,
    places: TrialPlaces,
    rollout_id: str,
    actor: str,
    now: datetime,
    tenant: str,
) -> RolloutRecord:
    settle(spec, places, now, actor, tenant)
    return places.rollouts.rollout(rollout_id, tenant)
