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
        self._require_a_first_fit()

    def _require_a_first_fit(self) -> None:
        """A tour whose nights all end for want of decisions would show nothing."""
        needed, wanted = self.days_to_learn, self.spec.thresholds.min_episodes
        if needed is None:
            raise ShouldFixArgument(
                f"people={self.people} are too few: they make about "
                f"{self._closed_decisions(self.spec.thresholds.window_days):.0f} decisions that have "
                f"closed in a window of {self.spec.thresholds.window_days} days, and a night learns "
                f"from {wanted} (thresholds.min_episodes).",
                f"Give {self._people_to_learn(wanted)}, or lower thresholds.min_episodes "
                f"with --set.",
            )
        if self.days < needed:
            raise ShouldFixArgument(
                f"days={self.days} are too few: about {self._closed_decisions(self.days):.0f} decisions "
                f"of {self.people} people have closed by then, and a night learns from {wanted} "
                f"(thresholds.min_episodes).",
                f"Play at least {needed} days, or lower thresholds.min_episodes with --set.",
            )

    @property
    def days_to_learn(self) -> int | None:
        """The first day whose night is expected to have decisions enough; None if no window has them."""
        wanted, window = self.spec.thresholds.min_episodes, self.spec.thresholds.window_days
        enough = (d for d in range(1, window + 1) if self._closed_decisions(d) >= wanted)
        return next(enough, None)

    def _closed_decisions(self, days: int) -> float:
        """About how many decisions of the window have closed in the night after so many days.

        As many people come as leave, so each of ``people`` decides ``journeys.decisions_per_day`` a day.
        """
        return self.people * self._closed_of_one(days)

    def _closed_of_one(self, days: int) -> float:
        spec = self.spec
        open_days = spec.reward.closes_after_seconds / 86_400
        seen = max(0.0, min(days, spec.thresholds.window_days) - open_days)
        return spec.journeys.decisions_per_day * seen

    def _people_to_learn(self, wanted: int) -> str:
        each = self._closed_of_one(self.spec.thresholds.window_days)
        return (
            f"at least {math.ceil(wanted / each)} people"
            if each
            else "a longer thresholds.window_days"
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
