"""Answers about models: what there is, what was measured, what serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ModelKind = Literal["pairing", "emotion", "intervention"]


@dataclass(frozen=True, slots=True)
class Model:
    """A registered checkpoint; only one whose ``verdict`` is ``continue`` may be deployed."""

    checkpoint_id: str
    loop: str
    model_type: str
    version: str
    active: bool
    aliases: tuple[str, ...]
    verdict: str
    provenance: str
    training_date: datetime
    performance_metrics: Mapping[str, float]
    lineage: Mapping[str, str]
    weights_sha256: str
    files: Mapping[str, str]
    erasures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Models:
    """Newest first within a loop."""

    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves from now on; ``previous`` served before, ``ended_rollout`` was its trial."""

    checkpoint_id: str
    loop: str
    version: str
    generation: int
    previous: str | None
    ended_rollout: str | None


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate with its interval at ``confidence``, from ``n`` decisions of ``people``."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    n: int
    people: int
    method: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The policy on held-out real decisions; ``difference`` is candidate minus baseline."""

    policy: str
    baseline_name: str
    baseline: Figure
    difference: Figure
    estimates: tuple[Figure, ...]
    effective_sample: float | None
    held_out: int | None
    candidates: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One question of the gate and its answer."""

    name: str
    status: str
    reason: str
    value: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """The model's newest trial, or the refusal of one."""

    rollout_id: str
    state: str
    traffic_percent: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was measured of a model; ``None`` where nothing was.

    Attributes:
        decisions: that it made while it served, counted up to ``decisions_counted_to``.
        reasons: why the gate decided so.
    """

    checkpoint_id: str
    loop: str
    version: str
    active: bool
    verdict: str
    training_date: datetime
    performance_metrics: Mapping[str, float]
    run_id: str | None
    logical_date: str | None
    evaluation: Evaluation | None
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    decisions: int
    decisions_counted_to: int
    rollout: Trial | None
    model_type: str = "intervention"
