"""What a tour plays: how long, with how many people, from which seed, under which settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops import load
from everloop.loops.sections import override

LOOP = "companion"
FIRST_DAY = date(2025, 1, 6)
"""A Monday of the past: every logical date has ended by the real clock, and is the same for everyone."""

DAYS, PEOPLE, SEED = 30, 6_000, 7

FIRST_FIT_EPISODES = 2
"""Closed decisions per person to wait for: the first fit takes a quarter of the year's budget, so it
had better not meet people of whom hardly anything is known."""

MANY_WHO_COME_SELDOM = ("journeys.decisions_per_day=0.3", "journeys.ends_after_hours=336")
"""What privacy costs falls with the number of people; what a night takes grows with the number of
decisions. A person who stayed away for two weeks has left."""
TEACHERS_AND_JUDGES = ("thresholds.holdout_share=0.4", "thresholds.window_days=14")
"""Six of ten people are learned from; the others are enough to certify fairness of four groups."""
SHORT_TRAINING = ("training.iterations=20", "training.epochs=6", "training.learning_rate=0.002")
"""A third of a night's simulation in longer steps: a month of nights ends within minutes."""


@dataclass(frozen=True)
class DemoPlan:
    """A tour's terms. The same terms give the same people, decisions and policies.

    Attributes:
        days: how many to play, >= 1.
        people: how many there are on the first day.
        seed: of the people and of every draw but privacy noise, which is secret.
        settings: ``section.key=value`` overrides on top of the tour's own.

    Raises:
        ShouldFixArgument: naming what cannot be played.
        ShouldFixLoopSpec: a setting names nothing.
    """

    days: int = DAYS
    people: int = PEOPLE
    seed: int = SEED
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ShouldFixArgument(f"days={self.days} is below 1.", "Play at least one day.")
        if self.seed < 0:
            raise ShouldFixArgument(f"seed={self.seed} is negative.", "Give 0 or more.")
        today = datetime.now(UTC).date()
        if self.date_of(self.days) >= today:
            raise ShouldFixArgument(
                f"days={self.days} from {FIRST_DAY} end on {self.date_of(self.days)}, which has not "
                f"ended: today is {today} (UTC).",
                f"Play at most {(today - FIRST_DAY).days} days, or check the clock.",
            )
        if self.people < self.fewest_people:
            privacy, held = self.spec.privacy, self.spec.thresholds.holdout_share
            raise ShouldFixArgument(
                f"people={self.people} are too few: {held:.0%} are kept from learning, and a private "
                f"fit needs {privacy.min_people} who are not.",
                f"Give at least {self.fewest_people}, or lower privacy.min_people with --set.",
            )

    @cached_property
    def spec(self) -> LoopSpec:
        """The shipped companion loop with all overrides."""
        return override(load(LOOP), self.overrides)

    @property
    def overrides(self) -> tuple[str, ...]:
        """Every setting that differs from the shipped loop's, the caller's last."""
        return (
            f"privacy.people_expected={max(1, self.people)}",
            f"thresholds.min_episodes={max(1, FIRST_FIT_EPISODES * self.people)}",
            *MANY_WHO_COME_SELDOM,
            *TEACHERS_AND_JUDGES,
            *SHORT_TRAINING,
            *self.settings,
        )

    @property
    def fewest_people(self) -> int:
        """How many it takes for ``privacy.min_people`` of them to be learned from."""
        spec = self.spec
        return math.ceil(spec.privacy.min_people / (1.0 - spec.thresholds.holdout_share))

    @staticmethod
    def date_of(number: int) -> date:
        """Date of the how-manieth day, counted from 1."""
        return FIRST_DAY + timedelta(days=number - 1)
