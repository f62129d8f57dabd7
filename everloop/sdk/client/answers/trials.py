"""Answers about deployments and trials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from everloop.sdk.client.answers.models import Check, Figure

RolloutAction = Literal["pause", "resume", "promote", "rollback", "end"]


@dataclass(frozen=True, slots=True)
class Artefact:
    """One part of a deployment; ``version`` is what decisions carry."""

    role: str
    artefact_id: str
    version: str
    sha256: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay of a trial in a state; the next one's beginning ends it."""

    state: str
    traffic_percent: float
    entered_at: datetime


@dataclass(frozen=True, slots=True)
class Rollout:
    """A trial of a candidate, or the refusal to start one."""

    rollout_id: str
    loop: str
    deployment_id: str
    previous_deployment: str
    candidate: str
    active: str | None
    state: str
    traffic_percent: float
    reasons: tuple[str, ...]
    generation: int
    history: tuple[Stay, ...]
    approved_by: str
    approval_reason: str
    subject: str = "policy"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Artefacts that serve together and roll back together; ``serves``: they do so now.

    ``predicted`` is evaluation's candidate minus baseline, ``measured`` the trial's candidate minus
    control, once it ended.
    """

    deployment_id: str
    loop: str
    made_at: datetime
    serves: bool
    artefacts: tuple[Artefact, ...]
    verdict: str | None
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    predicted: Figure | None
    baseline: Figure | None
    measured: Figure | None
    outcome: str
    run_id: str
    rollout: Rollout | None


@dataclass(frozen=True, slots=True)
class Manifests:
    """Newest first."""

    deployments: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class TrialVerdict:
    """Whether a deployment goes on (``continue``), waits (``hold``), goes back (``rollback``) or serves
    everybody (``promote``)."""

    decision: str
    state: str
    traffic_percent: float
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    awaits_person: bool
    at: datetime
    deployment_id: str
    rollout_id: str
