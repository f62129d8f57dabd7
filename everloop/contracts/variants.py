"""Variants of personas and prompts, tried on people with the machinery of model trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from everloop.contracts.canonical import Json, canonical_json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate


@dataclass(frozen=True, slots=True)
class PersonaPerformanceMetrics:
    """What people's feedback says of a variant.

    ``rating``: mean feedback value per person who met it, in [-1, 1]; ``difference`` to the base persona,
    anytime-valid; NaN intervals where nothing is known. ``response``: share of the people who met it who
    judged anything, in [0, 1]; ``response_difference`` to the base's, anytime-valid.
    """

    people: int = 0
    feedback: int = 0
    rating: Estimate | None = None
    difference: Estimate | None = None
    response: Estimate | None = None
    response_difference: Estimate | None = None


@dataclass(frozen=True, slots=True)
class PersonaVariant:
    """The specification's record of a variant.

    ``modifications``: what it changes of the base persona (traits, prompt, tone); {} for the base itself.
    ``traffic_percentage``: share of people who meet it, in [0, 100].
    """

    base_persona_id: str
    variant_id: str
    modifications: Mapping[str, Json]
    traffic_percentage: float
    metrics: PersonaPerformanceMetrics = PersonaPerformanceMetrics()

    def __post_init__(self) -> None:
        if not self.base_persona_id or not self.variant_id:
            raise ShouldFixArgument(
                f"PersonaVariant: base_persona_id={self.base_persona_id!r}, "
                f"variant_id={self.variant_id!r} is empty.",
                "Name both.",
            )
        if not 0.0 <= self.traffic_percentage <= 100.0:
            raise ShouldFixArgument(
                f"PersonaVariant {self.variant_id}: traffic_percentage={self.traffic_percentage} is "
                "outside [0, 100].",
                "Give a percentage.",
            )
        try:
            canonical_json(self.modifications)
        except (ValueError, TypeError) as problem:
            raise ShouldFixArgument(
                f"PersonaVariant {self.variant_id}: modifications is not finite JSON ({problem}).",
                "Leave NaN out, and send numbers beyond 64 bits as text.",
            ) from None


@dataclass(frozen=True, slots=True)
class VariantExperiment:
    """A trial of variants of one persona (or of one prompt) against each other.

    ``variants``: the first one is the base that the others are compared with; shares sum to 100.
    ``state``: ``running``, ``promoted`` (``winner`` serves everybody) or ``stopped`` (the base does).
    ``max_days``: after so many days without a winner it stops as undecided.
    """

    experiment_id: str
    loop: str
    subject: Literal["persona", "prompt"]
    variants: tuple[PersonaVariant, ...]
    started_at: datetime
    state: Literal["running", "promoted", "stopped"] = "running"
    winner: str = ""
    reason: str = ""
    generation: int = 0
    alpha: float = 0.05
    min_people: int = 100
    tenant: str = "default"
    max_days: int = 28

    def __post_init__(self) -> None:
        if self.max_days < 1:
            raise ShouldFixArgument(
                f"Experiment {self.experiment_id}: max_days={self.max_days}.",
                "Give at least one day.",
            )
        ids = [v.variant_id for v in self.variants]
        total = sum(v.traffic_percentage for v in self.variants)
        if len(ids) < 2 or len(set(ids)) != len(ids):
            raise ShouldFixArgument(
                f"Experiment {self.experiment_id}: variants {ids} are fewer than two or repeat.",
                "Name a base and at least one variant.",
            )
        if not math.isclose(total, 100.0, abs_tol=1e-6):
            raise ShouldFixArgument(
                f"Experiment {self.experiment_id}: traffic_percentage sums to {total:g}.",
                "Let the shares sum to 100.",
            )


@dataclass(frozen=True, slots=True)
class Exposure:
    """A person's first meeting with a variant; ``user_id`` is a pseudonym."""

    experiment_id: str
    user_id: str
    variant_id: str
    at: datetime
    tenant: str = "default"
