"""When simulated people decide: hours of a public day curve, days and weeks, and how contexts follow.

Time is drawn in two steps. In operational time u, measured in days, decisions come as a Poisson process
of ``journeys.decisions_per_day``; a public curve of the day then maps u to the clock, so that few of
them fall into the night. A person's curve is moved to the hour at which their profile rests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float, Float32, Int
from everloop.contracts.loop_spec import JourneySpec, LoopSpec

DAY_CURVE = (2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 9, 10, 10, 9, 9, 10, 12, 14, 15, 15, 13, 9, 5)
"""Public guess of how decisions spread over the hours of a day, from midnight; only ratios count."""
PEAK_HOUR = 19.5
"""Where the curve is highest; a profile that rests at another hour has its curve moved there."""

_CUMULATIVE = np.concatenate([[0.0], np.cumsum(DAY_CURVE) / np.sum(DAY_CURVE)])
_HOURS = np.arange(25) / 24.0
_PERIODS = {24.0: "hour", 168.0: "hour of the week", 7.0: "weekday", 52.0: "week", 53.0: "week"}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How decisions of a person who stays follow each other.

    Attributes:
        per_day: mean number in a day of operational time.
        most_days: a longer gap would have ended the journey, in days on the clock.
    """

    per_day: float
    most_days: float

    @classmethod
    def of(cls, journeys: JourneySpec) -> Arrivals:
        """What the loop declares."""
        return cls(journeys.decisions_per_day, journeys.ends_after_hours / 24.0)

    def expected(self, days: int) -> float:
        """Decisions that somebody who never leaves gets in so many days, about.

        1 plus days over the mean of an exponential gap that is cut off at ``most_days``,
        1/r - m exp(-r m) / (1 - exp(-r m)).
        """
        cut = self.per_day * self.most_days
        mean = (
            1.0 / self.per_day - self.most_days / np.expm1(cut) if cut < 700 else 1 / self.per_day
        )
        return 1.0 + days / float(mean)

    def first(self, people: int, rng: np.random.Generator) -> Float:
        """(people,) operational times of the first decisions, evenly over one day."""
        return rng.random(people)

    def following(self, before: Float, rng: np.random.Generator) -> Float:
        """(n,) operational times of the next decisions; the gap on the clock is at most ``most_days``."""
        latest = operational(clock(before) + self.most_days)
        reach = -np.expm1(-self.per_day * (latest - before))
        gap: Float = -np.log1p(-rng.random(len(before)) * reach) / self.per_day
        return before + gap


def clock(operational_days: Float) -> Float:
    """Days on the clock of the public curve for operational times."""
    whole = np.floor(operational_days)
    return np.asarray(whole + np.interp(operational_days - whole, _CUMULATIVE, _HOURS))


def operational(clock_days: Float) -> Float:
    """The inverse of ``clock``."""
    whole = np.floor(clock_days)
    return np.asarray(whole + np.interp(clock_days - whole, _HOURS, _CUMULATIVE))


def own_shift(spec: LoopSpec, layout: EncodingLayout, context: Float32) -> Float:
    """(n,) days in [-0.5, 0.5) by which each person's day lies after the public one.

    Read from the first cycle of 24 hours; 0 where there is none or the profile's is missing.
    """
    for block in layout.of_kind("cycle"):
        if spec.field(block.field).period == 24.0:
            sine, cosine = context[:, block.dimensions].astype(np.float64).T
            rests_at = np.arctan2(sine, cosine) / (2.0 * np.pi)
            moved = np.remainder(rests_at - PEAK_HOUR / 24.0 + 0.5, 1.0) - 0.5
            return np.where((sine == 0.0) & (cosine == 0.0), 0.0, moved)
    return np.zeros(len(context))


class Calendar:
    """Moves the cycles of contexts along with simulated time.

    Cycles of 24 (hour), 7 (weekday, Monday 0), 168 (hour of the week) and 52 or 53 (ISO week) follow the
    clock; any other cycle, and one that is missing in a profile, stays as it rests.

    Args:
        spec: the loop.
        layout: where its cycles are.
        start: day 0.
        days: how many days are simulated.
    """

    def __init__(self, spec: LoopSpec, layout: EncodingLayout, start: date, days: int) -> None:
        self.start = start
        every = [start + timedelta(days=day) for day in range(days + 1)]
        self._weekday = np.array([day.weekday() for day in every], dtype=np.float64)
        self._week = np.array([day.isocalendar().week for day in every], dtype=np.float64)
        self._cycles = [
            (block.dimensions, spec.field(block.field).period)
            for block in layout.of_kind("cycle")
            if spec.field(block.field).period in _PERIODS
        ]

    def place(self, context: Float32, at: Float) -> Float32:
        """(n, d) contexts at (n,) times in days since midnight of day 0; a copy."""
        placed = context.copy()
        day = np.minimum(np.floor(at).astype(np.int64), len(self._weekday) - 1)
        hour = (at - np.floor(at)) * 24.0
        for dimensions, period in self._cycles:
            value = self._value(period, day, hour)
            angle = np.remainder(value, period) * (2.0 * np.pi / period)
            circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
            known = context[:, dimensions].any(axis=1)
            placed[known, dimensions] = circle[known].astype(np.float32)
        return placed

    def _value(self, period: float, day: Int, hour: Float) -> Float:
        named = _PERIODS[period]
        if named == "hour":
            return hour
        if named == "hour of the week":
            return np.asarray(self._weekday[day] * 24.0 + hour)
        return np.asarray((self._weekday if named == "weekday" else self._week)[day])
