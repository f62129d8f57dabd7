"""Models and their figures as answers: only finite numbers, only what was measured."""

from __future__ import annotations

import math
from datetime import datetime

from pydantic import BaseModel

from everloop.contracts.evaluation import Estimate, PolicyEvaluation, Verdict
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import RolloutRecord
from everloop.registry.loading import active_alias
from everloop.serving.models.figures import MOST_COUNTED, ModelFigures
from everloop.serving.models.finding import version_of


class Model(BaseModel):
    """A registered checkpoint."""

    checkpoint_id: str
    loop: str
    model_type: str
    version: str
    """What decisions of this model carry as ``model_version``."""
    active: bool
    aliases: list[str]
    """``active`` serves, ``active-pairing`` and ``active-emotion`` beside it; ``candidate`` is on trial."""
    verdict: str
    """The gate's decision: only ``continue`` may be deployed."""
    provenance: str
    training_date: datetime
    performance_metrics: dict[str, float]
    lineage: dict[str, str]
    """What it was made from, by id or checksum."""
    weights_sha256: str
    files: dict[str, str]
    """File name to SHA-256."""
    erasures: list[str]
    """Erasures of people whose data fed it; the next run is made without them."""


class Figure(BaseModel):
    """An estimate with its interval and what it rests on."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    n: int
    """Decisions."""
    people: int
    method: str


class Evaluation(BaseModel):
    """The policy on held-out real decisions, as the run that made it judged it."""

    policy: str
    baseline_name: str
    baseline: Figure
    difference: Figure
    """Candidate minus baseline; the gate looks at its lower bound."""
    estimates: list[Figure]
    effective_sample: float | None
    held_out: int | None
    candidates: int
    """Candidates judged on these people, over which the error is split."""
    problems: list[str]


class CheckAnswer(BaseModel):
    """One question of the gate and its answer."""

    name: str
    status: str
    reason: str
    value: float | None
    threshold: float | None


class Trial(BaseModel):
    """The model's newest trial, or the refusal of one."""

    rollout_id: str
    state: str
    traffic_percent: float
    reasons: list[str]


class Metrics(BaseModel):
    """What was measured of a model; ``null`` where nothing was, or its run's outputs are gone."""

    checkpoint_id: str
    loop: str
    model_type: str
    version: str
    active: bool
    verdict: str
    training_date: datetime
    performance_metrics: dict[str, float]
    run_id: str | None
    logical_date: str | None
    evaluation: Evaluation | None
    reasons: list[str]
    """Why the gate decided so."""
    checks: list[CheckAnswer]
    decisions: int
    """Stored decisions that it made while it served, at most ``decisions_counted_to``."""
    decisions_counted_to: int = MOST_COUNTED
    rollout: Trial | None


def model(checkpoint: ModelCheckpoint, aliases: list[str], erasures: list[str]) -> Model:
    """A checkpoint as it is listed."""
    return Model(
        checkpoint_id=checkpoint.checkpoint_id,
        loop=checkpoint.loop,
        model_type=checkpoint.model_type.value,
        version=version_of(checkpoint),
        active=active_alias(checkpoint.model_type) in aliases,
        aliases=aliases,
        verdict=checkpoint.verdict,
        provenance=checkpoint.provenance.value,
        training_date=checkpoint.training_date,
        performance_metrics=dict(checkpoint.performance_metrics),
        lineage=dict(checkpoint.lineage),
        weights_sha256=checkpoint.weights_sha256,
        files=dict(checkpoint.files),
        erasures=erasures,
    )


def metrics(found: ModelFigures) -> Metrics:
    """A model's figures as they are answered."""
    checkpoint, verdict = found.checkpoint, found.verdict
    return Metrics(
        checkpoint_id=checkpoint.checkpoint_id,
        loop=checkpoint.loop,
        model_type=checkpoint.model_type.value,
        version=version_of(checkpoint),
        active=found.active,
        verdict=checkpoint.verdict,
        training_date=checkpoint.training_date,
        performance_metrics=dict(checkpoint.performance_metrics),
        run_id=found.run.run_id if found.run else None,
        logical_date=found.run.logical_date if found.run else None,
        evaluation=_evaluation(found.evaluation) if found.evaluation else None,
        reasons=list(verdict.reasons) if verdict else [],
        checks=_checks(verdict),
        decisions=found.decisions,
        rollout=_trial(found.rollout) if found.rollout else None,
    )


def _evaluation(found: PolicyEvaluation) -> Evaluation:
    return Evaluation(
        policy=found.policy,
        baseline_name=found.baseline_name,
        baseline=figure(found.baseline),
        difference=figure(found.difference),
        estimates=[figure(estimate) for estimate in found.estimates],
        effective_sample=finite(found.overlap.effective_sample),
        held_out=found.held_out,
        candidates=found.candidates,
        problems=list(found.overlap.problems),
    )


def figure(found: Estimate) -> Figure:
    """An estimate as an answer."""
    return Figure(
        name=found.name,
        value=finite(found.value),
        low=finite(found.low),
        high=finite(found.high),
        confidence=found.confidence,
        n=found.n,
        people=found.clusters,
        method=found.method,
    )


def _checks(verdict: Verdict | None) -> list[CheckAnswer]:
    return [
        CheckAnswer(
            name=check.name,
            status=check.status.value,
            reason=check.reason,
            value=finite(check.value),
            threshold=finite(check.threshold),
        )
        for check in (verdict.checks if verdict else ())
    ]


def _trial(found: RolloutRecord) -> Trial:
    return Trial(
        rollout_id=found.rollout_id,
        state=found.state,
        traffic_percent=found.traffic_percent,
        reasons=list(found.reasons),
    )


def finite(value: float | None) -> float | None:
    """A number that JSON has; null for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None
