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
    """A variant; ``difference`` to the base holds however often it is looked at."""

    base_persona_id: str
    variant_id: str
    modifications: Mapping[str, Any]
    traffic_percentage: float
    people: int
    feedback: int
    rating: VariantFigure | None
    difference: VariantFigure | None


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
