"""Who is behind accounts: people, people who answer falsely, and bots."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Float, Int
from synthetic.population.archetypes import CONNECTED_OF
from synthetic.population.cohort import arrive
from synthetic.population.day import BOT, PERSON, POISONER
from synthetic.population.emission import Persons
from synthetic.population.misbehaviour import Misbehaviour
from synthetic.population.mix import Mix
from synthetic.population.scripts import HONEST, Accounts
from synthetic.population.state import LEVELS

_POISON, _BOTS = 5, 6
"""Concerns of the population's counters: others than those of ``play``."""
FIRST_BATCH: Final = 0


class Crowd:
    """Draws who answers by which script, and what seasons do to moods.

    Args:
        misbehaviour: of the population. seed: of the population.
    """

    def __init__(self, misbehaviour: Misbehaviour, seed: int) -> None:
        self._terms, self._seed = misbehaviour, seed

    def scripts(self, count: int, batch: int) -> Int:
        """(count,) the script of each of the people who arrived together; ``HONEST`` for most. A batch
        is the day's ordinal number, or ``FIRST_BATCH``."""
        if not self._terms.poison:
            return np.full(count, HONEST, dtype=np.int64)
        edges = np.cumsum([one.share for one in self._terms.poison])
        drawn = np.random.default_rng([self._seed, _POISON, batch]).random(count)
        place = np.searchsorted(edges, drawn, side="right")
        first = len(self._terms.scripts) - len(edges)
        return np.where(place < len(edges), first + place, HONEST)

    def bots(self, people: int, burdened_group: int, mix: Mix) -> Persons:
        """What the product sees behind bots: people's faces, without connections."""
        terms = self._terms.bots
        count = 0 if terms is None else terms.accounts(people)
        drawn = arrive(count, burdened_group, np.random.default_rng([self._seed, _BOTS]), mix)
        return Persons(
            kind=drawn.kind - CONNECTED_OF[drawn.kind],
            age_group=drawn.age_group,
            connections=np.zeros(count, dtype=np.int64),
            resting_pulse=drawn.resting_pulse,
            bent=drawn.bent,
        )

    def come(self, day: int, script: Int) -> bool:
        """Whether bots come new on a day among accounts of such scripts (n,)."""
        bots = self._terms.bots
        return bots is not None and day >= bots.from_day and not (script == 0).any()

    def roles(self, script: Int, day: int) -> Int:
        """(n,) positions in ``day.ROLES``; who does not answer falsely yet is a person."""
        found = np.full(len(script), PERSON, dtype=np.int64)
        first = 0
        if self._terms.bots is not None:
            found[script == 0] = BOT
            first = 1
        for position, poison in enumerate(self._terms.poison, first):
            if day >= poison.from_day:
                found[script == position] = POISONER
        return found

    def accounts(self, script: Int, day: int) -> Accounts | None:
        """How so many accounts answer on a day; None where everybody may as they feel."""
        if not self._terms.scripts:
            return None
        role = self.roles(script, day)
        return Accounts(
            script=np.where(role == PERSON, HONEST, script),
            scripts=self._terms.scripts,
            stays=role == BOT,
        )

    def moods(self, mood: Int, part: Int, day: int, draws: Float) -> Int:
        """(n, 4) moods as people come: moved by the seasons with uniforms (n, 4)."""
        chance = self._terms.moods(day).T[part]
        step = np.where(draws < np.abs(chance), np.sign(chance), 0).astype(np.int64)
        return np.asarray(np.clip(mood + step, 0, LEVELS - 1), dtype=np.int64)
