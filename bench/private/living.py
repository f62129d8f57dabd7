"""People of the population from day to day, as encoded episodes without a log in between.

There are always as many learned-from and held-out people as asked for: whoever leaves for good is
replaced by somebody new on the same day. Whoever ends a journey stays away for a while. Everybody's last
episodes are kept, which is all that a fit reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from bench.private.population_log import encode_wide
from everloop.contracts.datasets import Bool, EncodedEpisodes, Int
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders import layout
from rl.encoders.context import encoder_of
from synthetic.population.archetypes import ARCHETYPE_OF
from synthetic.population.behaviour import logging_policy
from synthetic.population.cohort import arrive
from synthetic.population.decisions import Chance, Standing, decide, parts_and_seconds
from synthetic.population.dynamics import MoodDraws
from synthetic.population.mix import SHIPPED
from synthetic.population.play import PopulationSpec

DAY_SECONDS = 86_400.0
VISITS = 0.5
"""Chance that somebody who is not away comes on a day."""
AWAY_DAYS = (8, 30)
"""After the end of a journey a person stays away for so many days, all alike."""
_CONCERN = 99
_STANDING = ("mood", "tired", "past_action", "past_reward", "past_time")
_PERSON = ("kind", "age_group", "connections", "resting_pulse", "bent")


@dataclass(frozen=True, slots=True)
class LivingTerms:
    """What a world is made of.

    Attributes:
        people: learned from at any time. held_out: never learned from, at any time.
        episodes: the last ones of a person that are kept.
        seed: of everything.
        drift: radians a year by which tastes turn.
        turnover: share of people who are replaced by new ones within a year.
    """

    people: int
    held_out: int
    episodes: int
    seed: int
    drift: float = 0.0
    turnover: float = 0.0


class LivingWorld:
    """A population played day by day into everybody's last episodes."""

    def __init__(self, loop: LoopSpec, terms: LivingTerms, start: date = date(2026, 1, 1)) -> None:
        self.loop, self.terms, self.today = loop, terms, start - timedelta(days=1)
        self._law = PopulationSpec(
            people=terms.people, drift=terms.drift, visits_per_day=VISITS, start=start
        )
        slots, last = terms.people + terms.held_out, terms.episodes
        rng = np.random.default_rng([terms.seed, _CONCERN])
        self._persons = arrive(slots, 0, rng)
        self._standing = Standing.new(self._persons.kind, MoodDraws.of(slots, rng))
        self._identity = np.arange(slots)
        self._ever = slots
        self._back = np.zeros(slots, dtype=np.int64)
        self._count = np.zeros(slots, dtype=np.int64)
        actions, signals = len(loop.actions), len(loop.signals)
        self._kept: dict[str, np.ndarray[Any, Any]] = {
            "context": np.zeros((slots, last, layout(loop).width), dtype=np.float32),
            "action": np.zeros((slots, last), dtype=np.int64),
            "mask": np.zeros((slots, last, actions), dtype=np.bool_),
            "propensity": np.zeros((slots, last)),
            "signals": np.full((slots, last, signals), np.nan),
            "reward": np.zeros((slots, last)),
            "timestamp": np.zeros((slots, last)),
        }

    @property
    def until(self) -> float:
        """End of the last day played, seconds since the epoch."""
        midnight = datetime(self.today.year, self.today.month, self.today.day, tzinfo=UTC)
        return midnight.timestamp() + DAY_SECONDS

    @property
    def ever(self) -> int:
        """People who were ever there, held-out ones included."""
        return self._ever

    def fill(self) -> None:
        """Play until everybody has all their episodes; nobody leaves or stays away meanwhile."""
        while (lacking := self._count < self.terms.episodes).any():
            self.today += timedelta(days=1)
            rng = self._chance_of_today()
            self._decide(np.flatnonzero(lacking & (rng.random(len(lacking)) < VISITS)), rng)

    def play(self, days: int) -> None:
        """Play so many days."""
        for _ in range(days):
            self.today += timedelta(days=1)
            rng = self._chance_of_today()
            self._replace(rng)
            here = self._back < self.today.toordinal()
            self._decide(np.flatnonzero(here & (rng.random(len(here)) < VISITS)), rng)

    def _chance_of_today(self) -> np.random.Generator:
        return np.random.default_rng([self.terms.seed, _CONCERN, self.today.toordinal()])

    def _decide(self, rows: Int, rng: np.random.Generator) -> None:
        if not len(rows):
            return
        part, second = parts_and_seconds(ARCHETYPE_OF[self._persons.kind[rows]], rng)
        mix = SHIPPED.partners()
        made, after = decide(
            self._law.responses(self.loop, self.today),
            self._persons.where(rows),
            Standing(*(getattr(self._standing, name)[rows] for name in _STANDING)),
            part,
            (self.until - DAY_SECONDS + second).astype(np.int64),
            rng.choice(len(mix), size=(len(rows), 3), p=mix),
            logging_policy,
            Chance.of(self.terms.seed, self.today.toordinal()),
        )
        for name in _STANDING:
            getattr(self._standing, name)[rows] = getattr(after, name)
        away = rows[made.ended]
        days = rng.integers(AWAY_DAYS[0], AWAY_DAYS[1] + 1, len(away))
        self._back[away] = self.today.toordinal() + days
        newest = {
            "context": encode_wide(self.loop, made.contexts),
            "action": made.action,
            "mask": made.valid,
            "propensity": made.propensity,
            "signals": made.signals,
            "reward": made.reward,
            "timestamp": made.timestamp,
        }
        # a ring: decision k of a person lies at k modulo the number that is kept
        place = self._count[rows] % self.terms.episodes
        for name, kept in self._kept.items():
            kept[rows, place] = newest[name]
        self._count[rows] += 1

    def _replace(self, rng: np.random.Generator) -> None:
        daily = 1.0 - (1.0 - self.terms.turnover) ** (1.0 / 365.0)
        rows = np.flatnonzero(rng.random(len(self._count)) < daily)
        new = arrive(len(rows), 0, rng)
        fresh = Standing.new(new.kind, MoodDraws.of(len(rows), rng))
        for name in _PERSON:
            getattr(self._persons, name)[rows] = getattr(new, name)
        for name in _STANDING:
            getattr(self._standing, name)[rows] = getattr(fresh, name)
        self._identity[rows] = self._ever + np.arange(len(rows))
        self._ever += len(rows)
        self._count[rows], self._back[rows] = 0, 0

    def episodes(self) -> EncodedEpisodes:
        """Everybody's last episodes, in order of time; held-out people are marked."""
        there = np.arange(self.terms.episodes) < self._count[:, None]
        slot, place = np.nonzero(there)
        order = np.lexsort((slot, self._kept["timestamp"][slot, place]))
        slot, place = slot[order], place[order]
        present, person = np.unique(self._identity[slot], return_inverse=True)
        return EncodedEpisodes(
            episode_id=np.arange(len(slot)).astype(np.str_),
            person=person.astype(np.int64),
            people=np.array([f"{number:064x}" for number in present], dtype=np.str_),
            interacting=encoder_of(self.loop).interacting,
            holdout=slot >= self.terms.people,
            comparison=np.zeros(len(slot), dtype=np.bool_),
            encoder=layout(self.loop).encoder,
            **{name: kept[slot, place] for name, kept in self._kept.items()},
        )


def of_people(episodes: EncodedEpisodes, held_out: bool) -> EncodedEpisodes:
    """The episodes of people who are learned from, or of the others."""
    rows: Bool = episodes.holdout if held_out else ~episodes.holdout
    return episodes.where(rows)
