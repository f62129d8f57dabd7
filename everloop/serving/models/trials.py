"""Deployments and trials as answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from everloop.contracts.evaluation import Check
from everloop.contracts.rollouts import Deployment, Head, RolloutRecord
from everloop.rollout.standing import StandingVerdict
from everloop.serving.models.shown import CheckAnswer, Figure, figure, finite


class ArtefactAnswer(BaseModel):
    """One part of a deployment."""

    role: str
    artefact_id: str
    version: str
    """What decisions carry."""
    sha256: str
    encoder: str


class StayAnswer(BaseModel):
    """One stay of a trial in a state; the next one's beginning ends it."""

    state: str
    traffic_percent: float
    entered_at: datetime


class RolloutAnswer(BaseModel):
    """A trial of a candidate, or the refusal to start one."""

    rollout_id: str
    loop: str
    deployment_id: str
    previous_deployment: str
    """What served when it began; empty where nothing did."""
    candidate: str
    active: str | None
    state: str
    traffic_percent: float
    reasons: list[str]
    generation: int
    history: list[StayAnswer]
    approved_by: str
    approval_reason: str
    subject: str
    """The role that is tried: ``policy``, or ``adapter`` or ``prompt`` of a voice."""


class DeploymentAnswer(BaseModel):
    """A manifest of artefacts that serve together and roll back together."""

    deployment_id: str
    loop: str
    made_at: datetime
    serves: bool
    """Whether it is what serves now."""
    artefacts: list[ArtefactAnswer]
    verdict: str | None
    """The gate's decision; null for one that was made by hand."""
    reasons: list[str]
    checks: list[CheckAnswer]
    predicted: Figure | None
    """Evaluation's candidate minus baseline."""
    baseline: Figure | None
    measured: Figure | None
    """The trial's candidate minus control, once it ended."""
    outcome: str
    """``promoted``, ``withdrawn`` (promoted, and taken back later), ``rolled_back`` or ``ended``; empty
    before."""
    run_id: str
    rollout: RolloutAnswer | None


class VerdictAnswer(BaseModel):
    """What a traffic engine asks: go on, wait, go back, or serve everybody."""

    decision: str
    """``continue``, ``hold``, ``rollback`` or ``promote``."""
    state: str
    traffic_percent: float
    reasons: list[str]
    checks: list[CheckAnswer]
    awaits_person: bool
    at: datetime
    deployment_id: str
    rollout_id: str


def deployment_answer(
    found: Deployment, head: Head, record: RolloutRecord | None
) -> DeploymentAnswer:
    """A deployment with its newest rollout."""
    judged = found.verdict
    return DeploymentAnswer(
        deployment_id=found.deployment_id,
        loop=found.loop,
        made_at=found.made_at,
        serves=head.deployment_id == found.deployment_id,
        artefacts=[
            ArtefactAnswer(
                role=part.role,
                artefact_id=part.artefact_id,
                version=part.version,
                sha256=part.sha256,
                encoder=part.encoder,
            )
            for part in found.artefacts
        ],
        verdict=None if judged is None else judged.decision.value,
        reasons=[] if judged is None else list(judged.reasons),
        checks=[] if judged is None else [_check(check) for check in judged.checks],
        predicted=None if found.predicted is None else figure(found.predicted),
        baseline=None if found.baseline is None else figure(found.baseline),
        measured=None if found.measured is None else figure(found.measured),
        outcome=found.outcome,
        run_id=found.run_id,
        rollout=None if record is None else rollout_answer(record),
    )


def rollout_answer(record: RolloutRecord) -> RolloutAnswer:
    """A trial as it stands."""
    return RolloutAnswer(
        rollout_id=record.rollout_id,
        loop=record.loop,
        deployment_id=record.deployment_id,
        previous_deployment=record.previous_deployment,
        candidate=record.candidate,
        active=record.active,
        state=record.state,
        traffic_percent=record.traffic_percent,
        reasons=list(record.reasons),
        generation=record.generation,
        history=[
            StayAnswer(
                state=stay.state,
                traffic_percent=stay.traffic_percent,
                entered_at=stay.entered_at,
            )
            for stay in record.history
        ],
        approved_by=record.approved_by,
        approval_reason=record.approval_reason,
        subject=record.subject,
    )


def verdict_answer(found: StandingVerdict) -> VerdictAnswer:
    """A verdict as it stands."""
    return VerdictAnswer(
        decision=found.decision.value,
        state=found.state,
        traffic_percent=found.traffic_percent,
        reasons=list(found.reasons),
        checks=[_check(check) for check in found.checks],
        awaits_person=found.awaits_person,
        at=found.at,
        deployment_id=found.deployment_id,
        rollout_id=found.rollout_id,
    )


def _check(check: Check) -> CheckAnswer:
    return CheckAnswer(
        name=check.name,
        status=check.status.value,
        reason=check.reason,
        value=finite(check.value),
        threshold=finite(check.threshold),
    )
