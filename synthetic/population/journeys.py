"""Whole logs at once: so many people, so many decisions each, for benchmarks and roll-outs.

People who leave come back after a break of more than a week, rested and as if new but for their
history: so everyone has the same number of decisions, and a gap in time is where a journey ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

import numpy as np

from everloop.contracts.datasets import Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import ARCHETYPE_OF, ARCHETYPES
from synthetic.population.behaviour import Policy
from synthetic.population.catalogue import MOST_PARTNERS
from synthetic.population.cohort import arrive
from synthetic.population.decisions import Chance, Decisions, Standing, decide, parts_and_seconds
from synthetic.population.dynamics import MoodDraws, rest
from synthetic.population.emission import Persons
from synthetic.population.responses import Responses

CHUNK: Final = 10_000
"""People played together: what memory grows with."""
_PEOPLE, _STEP = range(2)
_WITHIN_DAYS: Final = 6
_BREAK_DAYS: Final = 8
_FIRST_DAYS: Final = 14
"""First decisions are spread over so many days."""


@dataclass(frozen=True, slots=True, eq=False)
class JourneyStep:
    """The ``step``-th decision of the people ``first .. first + n - 1``.

    Attributes:
        decisions: one per person, in order. persons: what is their own.
    """

    first: int
    step: int
    persons: Persons
    decisions: Decisions

    @property
    def person(self) -> Int:
        """(n,) numbers of the people."""
        return self.first + np.arange(len(self.decisions))


def play_journeys(
    responses: Responses,
    people: int,
    decisions: int,
    seed: int,
    policy: Policy,
    visits_per_day: float = 0.5,
    burdened_group: int = 3,
    first_day: date = date(2026, 1, 1),
    chunk: int = CHUNK,
) -> Iterator[JourneyStep]:
    """Play ``people`` times ``decisions`` decisions; ordered by chunk of people, then by step.

    Partners are drawn from ``responses.partner_mix``. Randomness is counted by (seed, chunk, step).

    Args:
        visits_per_day: chance of coming on a day, in (0, 1]: sets the gaps between decisions.
        burdened_group: age group whose people are burdened (``responses.group_gap``).
        first_day: first decisions lie within the two weeks from here.

    Raises:
        ShouldFixArgument: a count below 1, a rate outside (0, 1], a policy whose answer is none, or
            moods that follow a season.
    """
    for name, value in (("people", people), ("decisions", decisions), ("chunk", chunk)):
        if value < 1:
            raise ShouldFixArgument(f"play_journeys: {name}={value} is below 1.", "Raise it.")
    if not 0 < visits_per_day <= 1:
        raise ShouldFixArgument(
            f"play_journeys: visits_per_day={visits_per_day} is outside (0, 1].", "Correct it."
        )
    responses.require_still("How journeys go on")
    midnight = int(datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC).timestamp())
    for index, first in enumerate(range(0, people, chunk)):
        n = min(chunk, people - first)
        rng = np.random.default_rng([seed, _PEOPLE, index])
        persons = arrive(n, burdened_group, rng, responses.mix)
        standing = Standing.new(persons.kind, MoodDraws.of(n, rng))
        day = rng.integers(0, _FIRST_DAYS, n)
        for step in range(decisions):
            chance = Chance.of(seed, _STEP, index, step)
            part, second = parts_and_seconds(
                ARCHETYPE_OF[persons.kind], chance.circumstances, responses.comes
            )
            made, standing = decide(
                responses,
                persons,
                standing,
                part,
                midnight + day * 86_400 + second,
                partners_from(responses, n, chance.circumstances),
                policy,
                chance,
            )
            yield JourneyStep(first, step, persons, made)
            gap = chance.circumstances.geometric(visits_per_day, n)
            day = day + np.where(made.ended, _BREAK_DAYS + gap, np.minimum(gap, _WITHIN_DAYS))
            standing = _back(standing, persons.kind, made, chance.change)


def partners_from(responses: Responses, n: int, rng: np.random.Generator) -> Int:
    """(n, 3) archetypes of partners drawn from ``responses.partner_mix``."""
    return rng.choice(len(ARCHETYPES), (n, MOST_PARTNERS), p=responses.partner_mix)


def _back(standing: Standing, kind: Int, made: Decisions, rng: np.random.Generator) -> Standing:
    """Those who left are back: moods at rest, tired of nothing."""
    rested = rest(kind, rng.random(standing.mood.shape))
    return replace(
        standing,
        mood=np.where(made.ended[:, None], rested, standing.mood),
        tired=standing.tired & ~made.ended[:, None],
    )
