"""When simulated people decide: public guesses about how often they come, and nothing that was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import JourneySpec
from rl.constraints.limits import DAY

_FIRST_DAY = 20_000 * DAY
"""Journeys begin on one day; which day it is changes nothing."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How a person's decisions follow each other, in UTC.

    The first one comes at any time of a day alike. Gaps are exponential with a mean of 1 / ``per_day``
    days, cut off at ``most_days``: after a longer one the journey would have ended,
    gap = -ln(1 - u (1 - exp(-per_day most_days))) / per_day for u uniform in [0, 1).
    """

    per_day: float = 0.5
    most_days: float = 7.0

    def __post_init__(self) -> None:
        if not (0.0 < self.per_day < np.inf and 0.0 < self.most_days < np.inf):
            raise ShouldFixArgument(
                f"per_day={self.per_day:g} and most_days={self.most_days:g} must be above 0.",
                "Give the loop's journeys.decisions_per_day and ends_after_hours / 24.",
            )

    @classmethod
    def of(cls, journeys: JourneySpec) -> Arrivals:
        """What the loop declares."""
        return cls(journeys.decisions_per_day, journeys.ends_after_hours / 24.0)

    def first(self, people: int, rng: np.random.Generator) -> Int:
        """(people,) times of first decisions, microseconds UTC."""
        return _FIRST_DAY + (rng.random(people) * DAY).astype(np.int64)

    def gaps(self, people: int, rng: np.random.Generator) -> Int:
        """(people,) times to the next decisions, microseconds, at most ``most_days``."""
        reach = -np.expm1(-self.per_day * self.most_days)
        days = -np.log1p(-rng.random(people) * reach) / self.per_day
        return np.asarray((days * DAY).astype(np.int64))
