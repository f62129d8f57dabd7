"""The verdict on a deployment as it stands: what traffic engines, people and pages ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from everloop.contracts.evaluation import Check, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import Deployment, Head, RolloutRecord
from everloop.rollout.control import judge
from everloop.rollout.places import TrialPlaces
from everloop.rollout.withdrawal import taken_back


@dataclass(frozen=True, slots=True)
class StandingVerdict:
    """Whether a deployment goes on, holds, leaves or serves.

    Attributes:
        state: of its newest rollout; ``active`` where it serves without one, empty where it never did.
        traffic_percent: share of people who meet it.
        rollout_id: of that rollout; empty where there is none.
    """

    deployment_id: str
    decision: Decision
    state: str
    traffic_percent: float
    reasons: tuple[str, ...]
    at: datetime
    checks: tuple[Check, ...] = ()
    rollout_id: str = ""
    awaits_person: bool = False


def standing_verdict(
    spec: LoopSpec,
    places: TrialPlaces,
    deployment_id: str,
    now: datetime,
    tenant: str = "default",
) -> StandingVerdict:
    """The verdict on a deployment; nothing is changed.

    On trial: its health as counted up to now, and the last hold that nothing has lifted since. Otherwise
    how its trial ended: ``promote`` where it was promoted and not taken back, ``rollback`` where it was
    rolled back, ended, or taken back since; ``hold`` where it waits or was refused.

    Raises:
        ShouldNameKnownId: the tenant has no such deployment.
    """
    deployment = places.deployments.deployment(deployment_id, tenant)
    head = places.deployments.head(deployment.loop, tenant)
    record = rollout_of(places, deployment)
    moment = now.astimezone(UTC)
    if head.trial is not None and head.trial.deployment_id == deployment_id:
        return _on_trial(spec, places, head, head.trial, moment)
    serves = head.deployment_id == deployment_id
    if record is None:
        told = "It serves everybody." if serves else "It is on no trial and does not serve."
        decision = Decision.PROMOTE if serves else Decision.HOLD
        state = "active" if serves else ""
        return StandingVerdict(
            deployment_id, decision, state, 100.0 if serves else 0.0, (told,), moment
        )
    decision, reasons = _ended(places, record, serves)
    return StandingVerdict(
        deployment_id=deployment_id,
        decision=decision,
        state=record.state,
        traffic_percent=100.0 if serves else record.traffic_percent,
        reasons=reasons,
        at=moment,
        rollout_id=record.rollout_id,
        awaits_person=record.state == "awaiting_approval",
    )


def rollout_of(places: TrialPlaces, deployment: Deployment) -> RolloutRecord | None:
    """A deployment's newest rollout, the live one first; None without any."""
    found = [
        record
        for record in places.rollouts.rollouts(deployment.loop, deployment.tenant)
        if record.deployment_id == deployment.deployment_id
    ]
    return next((record for record in found if record.live), found[0] if found else None)


def _on_trial(
    spec: LoopSpec, places: TrialPlaces, head: Head, record: RolloutRecord, now: datetime
) -> StandingVerdict:
    verdict = judge(spec, places, head, record, now)
    decision, reasons, awaits = verdict.decision, verdict.reasons, verdict.awaits_person
    last = places.deployments.last_event(record.rollout_id, (), record.tenant)
    if decision is Decision.CONTINUE and last is not None and last.kind == "hold":
        found = last.evidence.get("reasons")
        told = tuple(map(str, found)) if isinstance(found, list) else (last.reason,)
        decision, reasons = Decision.HOLD, told
        awaits = last.evidence.get("awaits_person") is True
    return StandingVerdict(
        deployment_id=record.deployment_id,
        decision=decision,
        state=record.state,
        traffic_percent=record.traffic_percent,
        reasons=reasons,
        at=now,
        checks=verdict.checks,
        rollout_id=record.rollout_id,
        awaits_person=awaits,
    )


def _ended(
    places: TrialPlaces, record: RolloutRecord, serves: bool
) -> tuple[Decision, tuple[str, ...]]:
    if record.state == "promoted":
        back = None if serves else taken_back(places, record)
        if back is None:
            return Decision.PROMOTE, record.reasons
        return Decision.ROLLBACK, (f"Taken back by {back.actor}: {back.reason}",)
    if record.state in ("rolled_back", "ended"):
        return Decision.ROLLBACK, record.reasons
    return Decision.HOLD, record.reasons
