"""Answers about trials of personas and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class VariantFigure:
    """An estimate with its interval; bounds are None where nothing is known."""

    value: float | None
    low: float | None
    high: float | None
    confidence: float
    people: int
    method: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant; ``difference`` and ``response_difference`` to the base hold however often one looks.

    ``response``: share of the people who met it who judged anything.
    """

    base_persona_id: str
    variant_id: str
    modifications: Mapping[str, Any]
    traffic_percentage: float
    people: int
    feedback: int
    rating: VariantFigure | None
    difference: VariantFigure | None
    response: VariantFigure | None = None
    response_difference: VariantFigure | None = None


@dataclass(frozen=True, slots=True)
class SharesMet:
    """Whether people met the variants in the shares asked for, by variant."""

    expected: Mapping[str, float]
    observed: Mapping[str, int]
    mismatch: bool


@dataclass(frozen=True, slots=True)
class VariantTrial:
    """A trial; the first variant is the base. ``verdict`` says what the figures say now."""

    experiment_id: str
    loop: str
    subject: str
    state: str
    winner: str
    reason: str
    generation: int
    alpha: float
    min_people: int
    started_at: datetime
    variants: tuple[Variant, ...]
    verdict: str | None = None
    max_days: int = 28
    sample_ratio: SharesMet | None = None


@dataclass(frozen=True, slots=True)
class VariantTrials:
    """Newest first."""

    experiments: tuple[VariantTrial, ...]


@dataclass(frozen=True, slots=True)
class MetVariant:
    """Whom a person meets."""

    experiment_id: str
    variant_id: str
    base_persona_id: str
    modifications: Mapping[str, Any]
    state: str
