"""What a population is made with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.population.archetypes import AGE_GROUPS
from synthetic.population.disturbance import Disturbance
from synthetic.population.domain import COMPANION, Domain
from synthetic.population.misbehaviour import Misbehaviour
from synthetic.population.mix import SHIPPED, Mix
from synthetic.population.responses import Responses

YEAR: Final = 365.0
TURNOVER: Final = 0.12
"""Share of decisions after which people leave under the logging policy, about: what arrivals make up."""


@dataclass(frozen=True, slots=True)
class PopulationSpec:
    """Frozen parameters of a population.

    Attributes:
        people: present at the start, >= 1.
        arrivals_per_day: mean of new people a day (Poisson); None: what the logging policy loses.
        visits_per_day: chance that a person comes on a day, in (0, 1]; None: the loop's
            ``journeys.decisions_per_day``.
        drift: radians a year by which tastes turn against the traits that people show.
        group_gap: how much less any action suits ``gap_group`` (0: nothing differs between groups);
            1 is as much as from a middling mood to a high one.
        gap_group: one of ``AGE_GROUPS``.
        disturbance: noise, lateness and duplicates of signals.
        start: the day on which tastes have not drifted yet.
        domain: the catalogue and what its actions do.
        mix: who arrives.
        turned: radians by which tastes are turned from the start, the drift aside.
        misbehaviour: what groups, turns, bots, poison and seasons do on request.
    """

    people: int = 3_000
    arrivals_per_day: float | None = None
    visits_per_day: float | None = None
    drift: float = 0.0
    group_gap: float = 0.0
    gap_group: str = "over_64"
    disturbance: Disturbance = field(default_factory=Disturbance)
    start: date = date(2026, 1, 1)
    domain: Domain = COMPANION
    mix: Mix = SHIPPED
    turned: float = 0.0
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)

    def __post_init__(self) -> None:
        def refuse(name: str, problem: str) -> ShouldFixArgument:
            return ShouldFixArgument(
                f"PopulationSpec: {name}={getattr(self, name)!r} {problem}.", "Correct it."
            )

        if self.people < 1:
            raise refuse("people", "is below 1")
        if self.arrivals_per_day is not None and not 0 <= self.arrivals_per_day < math.inf:
            raise refuse("arrivals_per_day", "is no count >= 0")
        if self.visits_per_day is not None and not 0 < self.visits_per_day <= 1:
            raise refuse("visits_per_day", "is outside (0, 1]: people come at most once a day")
        for name in ("drift", "group_gap", "turned"):
            if not math.isfinite(getattr(self, name)):
                raise refuse(name, "is not finite")
        if self.gap_group not in AGE_GROUPS:
            raise refuse("gap_group", f"is none of {', '.join(AGE_GROUPS)}")

    def turn(self, day: date) -> float:
        """Radians by which tastes have turned by a day."""
        passed = self.day_of(day)
        return self.turned + self.drift * passed / YEAR + self.misbehaviour.turned(passed)

    def day_of(self, day: date) -> int:
        """Days since ``start``."""
        return (day - self.start).days

    @property
    def burdened_group(self) -> int:
        return AGE_GROUPS.index(self.gap_group)

    @property
    def burdened_share(self) -> float:
        """Share of the people who arrive that belong to ``gap_group``."""
        return float(self.mix.ages[self.burdened_group])

    def visits(self, loop: LoopSpec) -> float:
        """Chance that a person comes on a day."""
        if self.visits_per_day is not None:
            return self.visits_per_day
        if loop.journeys.decisions_per_day > 1:
            raise ShouldFixArgument(
                f"Loop {loop.name!r}: journeys.decisions_per_day={loop.journeys.decisions_per_day:g} "
                "is above 1, and people of the population come at most once a day.",
                "Set visits_per_day.",
            )
        return loop.journeys.decisions_per_day

    def arrivals(self, loop: LoopSpec) -> float:
        """Mean of new people a day."""
        if self.arrivals_per_day is not None:
            return self.arrivals_per_day
        return self.people * self.visits(loop) * TURNOVER

    def responses(self, loop: LoopSpec, day: date, partner_mix: Float | None = None) -> Responses:
        """The law of responses on a day, partners drawn from ``partner_mix`` (None: as people
        arrive). A season that goes on from day to day stands as it is on that day."""
        passed = self.day_of(day)
        return Responses(
            loop,
            self.mix.partners() if partner_mix is None else partner_mix,
            self.turn(day),
            self.group_gap,
            self.disturbance,
            self.domain,
            self.mix,
            self.misbehaviour.group_turn,
            self.misbehaviour.suiting(passed),
            self.misbehaviour.parts(passed),
            self.misbehaviour.restless,
        )
