"""What is played: how many people and days, and the loop's settings that make ten days enough.

A trial's times are compressed: the product's ramp of 1, 5, 25, 50 and 100 percent with a day at each step
would outlast ten days. Here the shadow takes two hours, people meet a candidate in two steps of at least
six hours, and episodes close six hours after their decision, so that a night's run knows of the day before
it. All else, the gate's limits and the error rates included, is the product's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from everloop.contracts.loop_spec import LoopSpec
from everloop.sdk.demo import DemoPlan
from everloop.sdk.demo.plan import FIRST_DAY
from synthetic.population import Misbehaviour, Population, PopulationSpec, Turn

COMPRESSED = (
    "journeys.decisions_per_day=0.5",
    "reward.closes_after_seconds=21600",
    "rollout.ramp=[25, 50]",
    "rollout.dwell_hours=[6]",
    "rollout.promote_from_percent=25",
    "rollout.max_days=5",
    "rollout.shadow.hours=2",
    "rollout.shadow.decisions=100",
)
ONE_ALTERNATIVE = ('training.alternatives=["greedy"]',)
"""Every learner of a night takes its part of the gate's error, and of the time."""


@dataclass(frozen=True)
class LoopTerms:
    """One seed's run.

    Attributes:
        seed: of people, of training and of what is drawn; privacy noise stays secret.
        people: on the first day.
        days: how many are played.
        fork: after the night of this day, planted candidates and changed definitions part from the run.
        trial_days: how many days a planted candidate's trial may take.
        first_fit: closed decisions a person to wait for before the first night learns.
        settings: further ``section.key=value``.
    """

    seed: int
    people: int = 8_000
    days: int = 10
    fork: int = 7
    trial_days: int = 4
    first_fit: float = 0.75
    settings: tuple[str, ...] = ()

    @cached_property
    def plan(self) -> DemoPlan:
        """The same as a tour's terms: its loop, its calendar, its folder."""
        wait = f"thresholds.min_episodes={max(1, round(self.first_fit * self.people))}"
        settings = (*COMPRESSED, *ONE_ALTERNATIVE, wait, *self.settings)
        return DemoPlan(max(self.days, self.fork), self.people, self.seed, settings)

    @property
    def spec(self) -> LoopSpec:
        return self.plan.spec

    def date_of(self, number: int) -> date:
        """Date of a day, counted from 1."""
        return self.plan.date_of(number)

    def population(self, turns: tuple[Turn, ...] = ()) -> Population:
        """The people, who are the same whatever decides; ``turns`` count from the first day, which is 0."""
        told = PopulationSpec(start=FIRST_DAY, misbehaviour=Misbehaviour(turns=turns))
        return Population(self.spec, self.people, self.seed, told)


def end_of(day: date) -> datetime:
    """The midnight that ends a day (UTC)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


QUICK = LoopTerms(
    seed=11,
    people=3_000,
    days=3,
    fork=2,
    trial_days=1,
    settings=("training.iterations=2", "privacy.min_people=50"),
)
"""A smoke size: enough for every part to run once, too small for any figure."""
