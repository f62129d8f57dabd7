"""What a tour shows: one record a simulated day, beside what the truth and another accounting say.

The tour's people are made up and their truth is known, so values are true ones, which no operator of
real people has. Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate


@dataclass(frozen=True, slots=True)
class DemoDay:
    """One finished day: who was there, who decided, what it was worth, and what the night learned.

    Attributes:
        number: 1 for the first day.
        people: who belonged to the product at the end of the day; ``arrived`` and ``left`` that day.
        decisions: how many were made.
        decided_by: version of the policy that decided.
        exploration: share of uniform exploration in its choices, in [0, 1].
        value: true reward per decision of what decided, exploration included.
        best: the same of the best possible policy; ``first``: of the policy that decides at first.
        auc_private, auc_reference: area under the ROC curve of acceptance on the people who are kept
            from learning, of the private user model and of one that was fitted without privacy; NaN
            on a night that fitted none.
        epsilon_tonight, epsilon_period, epsilon_since_first_seen: of the person who has spent most, at
            the loop's delta.
        epsilon_every_night: what this person had spent in the period if each night with a release had
            taken the whole period's epsilon for itself.
        verdict: ``continue``, ``hold``, or ``no candidate`` where the night ended before the gate.
        reason: why, in a sentence.
        serves_next: version of what decides on the next day.
        seconds: wall time by step; not part of what a repetition reproduces.
    """

    number: int
    date: datetime.date
    people: int
    arrived: int
    left: int
    decisions: int
    decided_by: str
    exploration: float
    value: Estimate
    best: Estimate
    first: Estimate
    auc_private: float
    auc_reference: float
    epsilon_tonight: float
    epsilon_period: float
    epsilon_since_first_seen: float
    epsilon_every_night: float
    verdict: str
    reason: str
    serves_next: str
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ShouldFixArgument(f"Day number {self.number} is below 1.", "Count from 1.")

    @property
    def gain_share(self) -> float:
        """(value - first) / (best - first): how much of the possible gain is reached; NaN where
        nothing can be gained."""
        possible = self.best.value - self.first.value
        return (self.value.value - self.first.value) / possible if possible > 0 else math.nan


@dataclass(frozen=True, slots=True)
class DemoTour:
    """A tour: its terms and its finished days, oldest first.

    ``settings`` are the loop's ``section.key=value`` overrides, as they were applied.
    """

    loop: str
    people: int
    seed: int
    epsilon: float
    delta: float
    period_days: int
    settings: tuple[str, ...]
    days: tuple[DemoDay, ...]
