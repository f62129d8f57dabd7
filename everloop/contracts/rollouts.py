"""Deployments and their trials: what serves together, and how a candidate comes to serve.

A *deployment* is a manifest of versioned artefacts, one per role, that serve together and roll back
together. A *rollout* is the trial of one deployment on people. What a loop serves at one moment is its
*head*: the artefact of every role, the trial and the safety breaker, under one revision that every change
raises, so that whoever decided under an older revision can be told.
Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, Decision, Estimate, Verdict
from everloop.contracts.models import ModelCheckpoint, Provenance

POLICY = "policy"
ADAPTER, PROMPT = "adapter", "prompt"
VOICE_ROLES = (ADAPTER, PROMPT)
"""What speaks; its parts are tried, promoted and rolled back together, apart from what decides."""
_ACTIVE = "active"
_NAMESPACE = uuid.UUID("0d0f6d1e-7a0c-4b53-8a3f-6a3a54d9c1b2")


def alias_of(role: str) -> str:
    """The registry's alias under which an artefact of a role serves: ``active`` for the policy,
    ``active-<role>`` for every other."""
    return _ACTIVE if role == POLICY else f"{_ACTIVE}-{role}"


def role_of(alias: str) -> str | None:
    """The role that serves under an alias; None for an alias under which nothing serves."""
    if alias == _ACTIVE:
        return POLICY
    return alias.removeprefix(f"{_ACTIVE}-") if alias.startswith(f"{_ACTIVE}-") else None


def may_serve(provenance: Provenance, role: str) -> bool:
    """Whether what was made so may leave the trust boundary in a role: what private releases alone made in
    every one, people's texts in a voice's, and the raw log in none."""
    if provenance is Provenance.PRIVATE_RELEASE:
        return True
    return provenance is Provenance.CONSENTED_TEXT and role in VOICE_ROLES


@dataclass(frozen=True, slots=True)
class Artefact:
    """One part of a deployment.

    Attributes:
        role: ``policy``, ``pairing``, ``emotion``, and whatever joins them (``adapter``, ``prompt``,
            ``memory``).
        artefact_id: the checkpoint.
        version: what decisions or answers carry.
        sha256: of what is loaded.
        encoder: version of the encoder that it reads states with; empty where it reads none.
    """

    role: str
    artefact_id: str
    version: str
    sha256: str
    encoder: str = ""


def part_of(checkpoint: ModelCheckpoint, role: str) -> Artefact:
    """A checkpoint as the part of a manifest that serves in a role. What speaks reads no states."""
    return Artefact(
        role=role,
        artefact_id=checkpoint.checkpoint_id,
        version=checkpoint.lineage.get("version", ""),
        sha256=checkpoint.weights_sha256,
        encoder="" if role in VOICE_ROLES else checkpoint.lineage.get("encoder", ""),
    )


@dataclass(frozen=True, slots=True)
class Deployment:
    """A manifest, the verdict that let it (or did not let it) on trial, and what became of it.

    Attributes:
        deployment_id: ``deployment_id_of`` its parts: the same parts, the same deployment.
        verdict: the gate's, with its inputs' checksums and its reasons; None for one made by hand.
        predicted: evaluation's candidate - baseline; None without an evaluation.
        baseline: evaluation's value of what served.
        measured: the trial's candidate - control when it ended; None before.
        outcome: how its trial ended (``promoted``, ``rolled_back``, ``ended``); empty before.
            ``withdrawn``: it was promoted and taken out of service since, whatever came later.
        run_id: the run that made it.
    """

    deployment_id: str
    loop: str
    artefacts: tuple[Artefact, ...]
    made_at: datetime
    tenant: str = "default"
    verdict: Verdict | None = None
    predicted: Estimate | None = None
    baseline: Estimate | None = None
    measured: Estimate | None = None
    outcome: str = ""
    run_id: str = ""
    schema_version: int = 1

    def __post_init__(self) -> None:
        roles = [artefact.role for artefact in self.artefacts]
        if not roles or len(set(roles)) != len(roles):
            raise ShouldFixArgument(
                f"Deployment {self.deployment_id}: roles {roles} are none or repeat.",
                "Give one artefact per role.",
            )

    def artefact(self, role: str) -> Artefact | None:
        """The artefact of a role; None where the deployment has none."""
        return next((a for a in self.artefacts if a.role == role), None)


def deployment_id_of(loop: str, tenant: str, artefacts: tuple[Artefact, ...]) -> str:
    """UUID of a manifest, from what it holds."""
    parts = sorted([a.role, a.artefact_id, a.version, a.sha256, a.encoder] for a in artefacts)
    text = canonical_json([loop, tenant, [list(part) for part in parts]])
    return str(uuid.uuid5(_NAMESPACE, text))


RolloutState = Literal[
    "waiting",
    "awaiting_approval",
    "shadow",
    "started",
    "paused",
    "promoted",
    "rolled_back",
    "ended",
    "refused",
]
LIVE: tuple[RolloutState, ...] = ("shadow", "started", "paused")
"""A loop has at most one rollout in these states."""
OVER: tuple[RolloutState, ...] = ("promoted", "rolled_back", "ended", "refused")


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay of a rollout in a state, at a share of traffic; the next one's beginning ends it."""

    state: RolloutState
    traffic_percent: float
    entered_at: datetime


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A trial of a candidate, or the refusal to start one.

    ``state``: ``shadow`` decides unseen; ``started`` at ``traffic_percent``; ``paused`` at the traffic it
    had, without going on; ``waiting`` behind the candidate on trial; ``awaiting_approval`` of a person;
    ``refused`` with the reasons; ``promoted``, ``rolled_back`` and ``ended`` without traffic, the first
    reason says why.

    Attributes:
        candidate, active: checkpoints that serve in the role of the subject.
        deployment_id: the manifest on trial; ``previous_deployment`` the one that served when it began,
            or that a promotion by hand replaced.
        generation: of this record, raised by every change; a change names the one that it saw.
        step: index into the ramp, while there is traffic.
        history: every stay, oldest first; the last one is the present one.
        approved_by, approval_reason: who agreed to it, and why.
        subject: the role that is on trial; the parts of a voice are tried together, under its adapter's
            where that is new.
    """

    rollout_id: str
    loop: str
    candidate: str
    active: str | None
    state: RolloutState
    traffic_percent: float
    reasons: tuple[str, ...]
    recorded_at: datetime
    tenant: str = "default"
    deployment_id: str = ""
    previous_deployment: str = ""
    generation: int = 0
    step: int = 0
    holdout_percent: float = 0.0
    history: tuple[Stay, ...] = ()
    approved_by: str = ""
    approval_reason: str = ""
    subject: str = POLICY

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def is_of_voice(self) -> bool:
        """Whether it tries what speaks; what decides is the same in both arms then."""
        return self.subject in VOICE_ROLES

    @property
    def entered_at(self) -> datetime:
        """When the present stay began."""
        return self.history[-1].entered_at if self.history else self.recorded_at

    @property
    def started_at(self) -> datetime | None:
        """When people first met the candidate; None before."""
        met = (s.entered_at for s in self.history if s.traffic_percent > 0)
        return next(met, self.recorded_at if self.traffic_percent > 0 else None)

    def percent_at(self, moment: datetime) -> float:
        """Share of people who met the candidate at a moment, in percent; 0 outside the trial."""
        met = [stay.traffic_percent for stay in self.history if stay.entered_at <= moment]
        return met[-1] if met else 0.0


@dataclass(frozen=True, slots=True)
class SafetyBreaker:
    """A loop's breaker: while it is open, safety-critical actions are not taken, whoever decides."""

    open: bool = False
    reason: str = ""
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Serves:
    """The checkpoint that serves in a role, and the generation of its alias."""

    checkpoint_id: str | None
    generation: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a loop of a tenant serves, read at one moment.

    Attributes:
        revision: raised by every change of anything below; 0 before the first.
        deployment_id: the manifest that serves; empty where nothing was deployed or parts were moved
            one by one.
        serves: role -> what serves in it.
        trial: the live rollout.
    """

    loop: str
    tenant: str = "default"
    revision: int = 0
    deployment_id: str = ""
    serves: Mapping[str, Serves] = field(default_factory=dict)
    trial: RolloutRecord | None = None
    breaker: SafetyBreaker = SafetyBreaker()


EventKind = Literal[
    "waiting",
    "refused",
    "approved",
    "shadow",
    "step",
    "hold",
    "paused",
    "resumed",
    "promoted",
    "rolled_back",
    "ended",
    "deployed",
    "breaker_opened",
    "breaker_closed",
]


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """One change of what serves, or of a trial, with its evidence; append-only.

    ``evidence``: the ``TrialVerdict`` (or the gate's ``Verdict``) as JSON, or {}; ``withdrawn``: the
    deployment that a ``rolled_back`` event took out of service, where ``deployment_id`` is what serves
    since, empty where nothing does. ``sequence``: 1, 2, ... within a loop; given by the store.
    """

    loop: str
    kind: EventKind
    at: datetime
    actor: str
    reason: str
    deployment_id: str = ""
    rollout_id: str = ""
    evidence: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class TrialTally:
    """What one worker has counted of a candidate in one phase (``shadow`` or ``trial``) since it began.

    Attributes:
        rollout_id, phase, worker: whose counts these are; counts only grow.
        asked: decisions for which the candidate was asked, or should have been.
        failed: of these, without an answer; ``invalid``: answers that were no distribution (NaN).
        dropped: not asked for want of time (shadow).
        agreed: decisions in which candidate and active had the same most likely action.
        actions: action -> decisions in which it was the candidate's most likely one; ``active_actions``:
            the active's, where both answered the same question (shadow), or for its own meanwhile (trial).
            Where no model is deployed, what explores counts as the active: its base action. In the trial
            of a voice: how an answer ended (``spoken``, ``screened``, ``failed``), by arm.
        latency: upper edge in milliseconds ("inf" the last) -> calls that took at most that long and
            longer than the edge before. A call may answer many questions, which waited for it together and
            are no independent draws: shares of slow ones are shares of calls, while thresholds of
            decisions compare with ``answered``.
    """

    rollout_id: str
    phase: str
    worker: str
    tenant: str = "default"
    asked: int = 0
    failed: int = 0
    invalid: int = 0
    dropped: int = 0
    agreed: int = 0
    actions: Mapping[str, int] = field(default_factory=dict)
    active_actions: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.asked - self.failed - self.dropped


@dataclass(frozen=True, slots=True)
class DayEffect:
    """One day of a trial: candidate - control among that day's decisions, by person."""

    day: str
    percent: float
    effect: float
    standard_error: float
    candidate_people: int
    control_people: int


@dataclass(frozen=True, slots=True)
class MetricEffect:
    """A guardrail or a segment of a trial.

    ``effect``: candidate - control with its anytime-valid interval; ``margin``: what it may lose, in
    the same units; ``held``: True where the lower bound is above -margin, False where the upper bound is
    below it, None where neither is known.
    """

    name: str
    effect: Estimate
    margin: float
    held: bool | None


@dataclass(frozen=True, slots=True)
class StepRatio:
    """People who came back in a step of the ramp and could meet the candidate for the first time there.

    ``expected``, ``observed``: arm -> people, by the step's share among those whom none met before.
    """

    percent: float
    expected: Mapping[str, float]
    observed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StepVisits:
    """Decisions per person who was met in a step of the ramp, by arm.

    ``departs``: chance does not explain the difference. A candidate may change how often people come, so
    it is a warning and no mismatch.
    """

    percent: float
    control: float
    candidate: float
    departs: bool


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether people are in the arms that the shares say; e-value of a sequential multinomial test.

    ``expected`` and ``observed`` count people at their first exposure, ``returning`` those who came back
    in later steps, ``visits`` how often people of each arm had a decision; the last two where asked.
    """

    expected: Mapping[str, float]
    observed: Mapping[str, int]
    log_evidence: float
    mismatch: bool
    returning: tuple[StepRatio, ...] = ()
    visits: tuple[StepVisits, ...] = ()


@dataclass(frozen=True, slots=True)
class Noticed:
    """Decisions of a trial that something was strange about, by arm.

    What a policy does, and what people answer, is what makes a decision strange, so the arms may well
    differ: a candidate that intervenes too often has more of them.

    Attributes:
        decisions: arm -> such decisions, of ``of`` closed ones.
        people: the sample-ratio test over the people who have one; ``mismatch``: more of them are in one
            arm than the shares and chance explain.
    """

    decisions: Mapping[str, int]
    of: Mapping[str, int]
    people: SampleRatio

    def share(self, arm: str) -> float:
        """Of an arm's decisions, in [0, 1]; 0 where it has none."""
        return self.decisions[arm] / self.of[arm] if self.of[arm] else 0.0


@dataclass(frozen=True, slots=True)
class ExperimentFigures:
    """What people's answers say of a candidate, as known at ``until``.

    Attributes:
        primary: reward per decision, candidate - control; anytime-valid over all looks, stratified by day.
        control, candidate: mean reward per decision of each arm, fixed-time intervals for display.
        relative: primary's point estimate as a share of control above the least attainable reward.
        guardrails, segments: with their multiplicity paid for.
        ratio: sample ratio over exposed people.
        days: oldest first.
        cusum: the statistic of the drift detector, in standard errors; ``drifted`` above the threshold.
        variance_reduction: share of variance that earlier behaviour explains (CUPED); NaN without any.
        exposed: arm -> distinct people.
        fallback_share: share of the candidate's people's decisions that something else had to take.
        groups: attribute and group -> the same as a segment, for parity during exposure.
        flagged: decisions that were ever found strange; they count like any other, but for
            ``rejected`` ones, which a person took out. None where nobody counted.
    """

    rollout_id: str
    until: datetime
    primary: Estimate
    control: Estimate
    candidate: Estimate
    relative: float
    guardrails: tuple[MetricEffect, ...]
    ratio: SampleRatio
    days: tuple[DayEffect, ...]
    cusum: float
    drifted: bool
    segments: tuple[MetricEffect, ...] = ()
    variance_reduction: float = math.nan
    exposed: Mapping[str, int] = field(default_factory=dict)
    fallback_share: float = 0.0
    fairness: Check | None = None
    flagged: Noticed | None = None
    rejected: Noticed | None = None


@dataclass(frozen=True, slots=True)
class TrialVerdict:
    """The controller's answer about a trial: go on, hold, roll back or promote.

    ``checks`` are all that were asked; ``decided_by`` names the ones that led to the decision.
    ``awaits_person``: what it holds for is a named person's approval.
    """

    rollout_id: str
    deployment_id: str
    decision: Decision
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    at: datetime
    decided_by: tuple[str, ...] = ()
    awaits_person: bool = False
    experiment: ExperimentFigures | None = None
    alerts: tuple[str, ...] = ()
    schema_version: int = 1

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ShouldFixArgument(
                f"The verdict on {self.rollout_id} gives no reason.", "Say why."
            )
