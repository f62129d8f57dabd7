"""How a population misbehaves on request: groups, turns, bots, poison and seasons.

Days are counted from the population's ``start``, which is day 0. Nothing misbehaves by default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import PARTS
from synthetic.population.scripts import Script
from synthetic.population.state import MOODS

A_DAY: Final = 1.0
SHORTEST: Final = 2.0
"""Days: what is shorter and not a day cannot be told apart by whole days."""


def _refuse(owner: object, name: str, problem: str) -> ShouldFixArgument:
    return ShouldFixArgument(
        f"{type(owner).__name__}: {name}={getattr(owner, name)!r} {problem}.", "Correct it."
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """Tastes that turn within some days and stay turned.

    Attributes:
        day: on which it begins, >= 0.
        radians: by which tastes have turned against the traits that people show when it is over.
        days: how long it takes, >= 0, evenly; 0: at once, in the morning of ``day``.
    """

    day: int
    radians: float
    days: int = 0

    def __post_init__(self) -> None:
        for name in ("day", "days"):
            if getattr(self, name) < 0:
                raise _refuse(self, name, "is below 0")
        if not math.isfinite(self.radians):
            raise _refuse(self, "radians", "is not finite")

    def by(self, day: int) -> float:
        """Radians turned on a day."""
        if day < self.day:
            return 0.0
        return self.radians * (min(1.0, (day - self.day) / self.days) if self.days else 1.0)


@dataclass(frozen=True, slots=True)
class Bots:
    """Accounts with nobody behind them: they come every day, never leave, know nobody, and answer by a
    script.

    Attributes:
        share: of the accounts when they come, in (0, 1): for P people, P share / (1 - share) of them.
        script: what they answer.
        from_day: on which they come.
    """

    share: float
    script: Script
    from_day: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise _refuse(self, "share", "is outside (0, 1)")
        if self.from_day < 0:
            raise _refuse(self, "from_day", "is below 0")

    def accounts(self, people: int) -> int:
        """How many there are beside so many people."""
        return round(people * self.share / (1.0 - self.share))


@dataclass(frozen=True, slots=True)
class Poison:
    """People whose answers are false: they live like everybody, and answer by a script from a day on.

    Attributes:
        share: of the people who arrive, in (0, 1].
        script: what they answer.
        from_day: since when.
    """

    share: float
    script: Script
    from_day: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise _refuse(self, "share", "is outside (0, 1]")
        if self.from_day < 0:
            raise _refuse(self, "from_day", "is below 0")


@dataclass(frozen=True, slots=True)
class Season:
    """A cycle, w(t) = cos(2 pi (t - peak) / period), t in days.

    ``visits``: the chance of coming is multiplied by 1 + amplitude w (and is at most 1); within a day,
    the chances of its parts are. ``rewards``: everything but doing nothing suits by amplitude w more; 1
    is as much as from a middling mood to a high one. ``moods``: ``mood`` is one level higher with
    probability amplitude w when somebody comes, or one lower with -amplitude w.

    Attributes:
        of: what rises and falls.
        amplitude: in [0, 1] for visits and moods, >= 0 for rewards.
        period: days: 1 (by the middle of each part of the day) or at least 2 (day by day).
        peak: days after the start's midnight.
        mood: one of ``MOODS``; for ``moods`` alone.
    """

    of: Literal["visits", "rewards", "moods"]
    amplitude: float
    period: float = 7.0
    peak: float = 0.0
    mood: str = ""

    def __post_init__(self) -> None:
        if self.of not in ("visits", "rewards", "moods"):
            raise _refuse(self, "of", "is none of visits, rewards, moods")
        most = math.inf if self.of == "rewards" else 1.0
        if not (0.0 <= self.amplitude <= most and math.isfinite(self.amplitude)):
            raise _refuse(self, "amplitude", f"is outside [0, {most:g}] for {self.of}")
        if not (self.period == A_DAY or SHORTEST <= self.period < math.inf):
            raise _refuse(self, "period", "is neither 1 day nor at least 2")
        if not math.isfinite(self.peak):
            raise _refuse(self, "peak", "is not finite")
        if (self.mood in MOODS) != (self.of == "moods") or (self.mood and self.of != "moods"):
            raise _refuse(self, "mood", f"does not go with {self.of}: moods are {', '.join(MOODS)}")

    def waves(self, day: int) -> Float:
        """(4,) w in each part of a day."""
        if self.period == A_DAY:
            moment = (np.arange(len(PARTS)) + 0.5) / len(PARTS)
        else:
            moment = np.full(len(PARTS), float(day))
        return np.asarray(np.cos(2.0 * np.pi * (moment - self.peak) / self.period))


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """Everything that a population does to the checks that watch a loop.

    Attributes:
        turns: of everybody's tastes, on top of drift; their radians add up.
        group_turn: radians by which the tastes of ``gap_group`` are turned against everybody else's, so
            that a policy which learned what suits most people suits them less.
        bots: accounts with nobody behind them.
        poison: people who answer falsely; their shares add up to at most 1.
        seasons: cycles, which add up.

    Raises:
        ShouldFixArgument: naming what is out of range.
    """

    turns: tuple[Turn, ...] = ()
    group_turn: float = 0.0
    bots: Bots | None = None
    poison: tuple[Poison, ...] = ()
    seasons: tuple[Season, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.group_turn):
            raise _refuse(self, "group_turn", "is not finite")
        if sum(one.share for one in self.poison) > 1.0 + 1e-12:
            raise _refuse(self, "poison", "has shares of more than everybody")

    @property
    def scripts(self) -> tuple[Script, ...]:
        """Of the bots, then of each poison."""
        bots = () if self.bots is None else (self.bots.script,)
        return (*bots, *(one.script for one in self.poison))

    def turned(self, day: int) -> float:
        """Radians by which the turns have turned tastes on a day."""
        return sum(turn.by(day) for turn in self.turns)

    def coming(self, day: int) -> float:
        """Factor on the chance of coming on a day."""
        waves = [s.amplitude * s.waves(day)[0] for s in self._of("visits", within=False)]
        return max(0.0, 1.0 + float(sum(waves)))

    def parts(self, day: int) -> tuple[float, ...]:
        """Factors on the chances of the parts of a day."""
        return self._summed("visits", day, 1.0, within=True)

    def suiting(self, day: int) -> tuple[float, ...]:
        """How much more everything suits in each part of a day."""
        return self._summed("rewards", day, 0.0)

    def moods(self, day: int) -> Float:
        """(4 moods, 4 parts) signed chances of a step, within [-1, 1]."""
        found = np.zeros((len(MOODS), len(PARTS)))
        for season in self._of("moods"):
            found[MOODS.index(season.mood)] += season.amplitude * season.waves(day)
        return np.clip(found, -1.0, 1.0)

    @property
    def restless(self) -> bool:
        """Whether moods follow the calendar."""
        return bool(self._of("moods"))

    def _of(self, of: str, within: bool | None = None) -> list[Season]:
        """Seasons of something: within the day, from day to day, or both."""
        return [
            season
            for season in self.seasons
            if season.of == of and within in (None, season.period == A_DAY)
        ]

    def _summed(
        self, of: str, day: int, level: float, within: bool | None = None
    ) -> tuple[float, ...]:
        waves = [season.amplitude * season.waves(day) for season in self._of(of, within)]
        total = np.full(len(PARTS), level) + sum(waves, np.zeros(len(PARTS)))
        return tuple(np.maximum(total, 0.0).tolist() if level else total.tolist())
