"""The population from day to day: who comes, what is decided, who leaves and who is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    ARCHETYPES,
    CONNECTED_OF,
)
from synthetic.population.behaviour import Policy
from synthetic.population.cohort import arrive
from synthetic.population.crowd import FIRST_BATCH, Crowd
from synthetic.population.day import BOT, DayOfDecisions, Visitors, decision_id, user_id
from synthetic.population.decisions import Chance, Standing, decide, parts_and_seconds
from synthetic.population.domain import require_domain
from synthetic.population.dynamics import MoodDraws
from synthetic.population.emission import Persons
from synthetic.population.meeting import meet
from synthetic.population.responses import Responses
from synthetic.population.spec import PopulationSpec
from synthetic.population.state import Hidden
from synthetic.population.truth import Truth

_ARRIVALS, _VISITS, _PARTNERS, _DECISIONS, _MOODS = range(5)
_BOTS = 7

Greet = Callable[[Visitors], None]


class Population:
    """People with a known truth, played day by day.

    The same loop, parameters, seed and policies give the same people, decisions and signals. Every
    draw comes from a counter (seed, concern, day), so that a day's draws do not depend on how many were
    made before.

    Args:
        loop: the loop of the population's domain: the companion's by default.
        people: present at the start.
        seed: of everything, >= 0.
        spec: all other parameters; its ``people`` gives way to the argument.

    Raises:
        ShouldFixArgument: another loop, or a parameter that cannot be used.
    """

    def __init__(
        self,
        loop: LoopSpec,
        people: int = 3_000,
        seed: int = 7,
        spec: PopulationSpec | None = None,
    ) -> None:
        if seed < 0:
            raise ShouldFixArgument(f"Population: seed={seed} is below 0.", "Raise it.")
        self.spec = replace(spec or PopulationSpec(), people=people)
        require_domain(loop, self.spec.domain)
        self.loop = loop
        self.seed = seed
        self.spec.visits(loop)
        rng = np.random.default_rng([seed, _ARRIVALS])
        self._persons = arrive(people, self.spec.burdened_group, rng, self.spec.mix)
        self._standing = Standing.new(self._persons.kind, MoodDraws.of(people, rng))
        self._crowd = Crowd(self.spec.misbehaviour, seed)
        self._script = self._crowd.scripts(people, FIRST_BATCH)
        self._number = np.arange(people)
        self._arrived = people
        self._last: date | None = None

    @property
    def present(self) -> int:
        """How many people are there."""
        return int(self._people.sum())

    @property
    def _people(self) -> Bool:
        """(n,) True where somebody is behind an account."""
        return np.asarray(self._crowd.roles(self._script, 0) != BOT)

    @property
    def persons(self) -> Persons:
        """The people present: the truth about each."""
        return self._persons.where(self._people)

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Product ids of the people present."""
        return tuple(user_id(number) for number in self._number[self._people].tolist())

    @property
    def partner_mix(self) -> Float:
        """(6,) archetypes of the people present who have connections; of arriving ones if none has."""
        met = ARCHETYPE_OF[self._persons.kind[CONNECTED_OF[self._persons.kind]]]
        if not len(met):
            return self.spec.mix.partners()
        return np.asarray(np.bincount(met, minlength=len(ARCHETYPES)) / len(met))

    def responses(self, day: date) -> Responses:
        """The law of responses with the people who are present now and the tastes of a day."""
        return self.spec.responses(self.loop, day, self.partner_mix)

    def truth(self, day: date) -> Truth:
        """Best policy and values with the people who are present now, the tastes of a day and the
        loop's discount."""
        return Truth(self.responses(day), self.loop.training.discount, self.spec.burdened_share)

    def day(self, day: date, policy: Policy, greet: Greet | None = None) -> DayOfDecisions:
        """Play one day: new people arrive, some come, are decided for and answer, some leave for good.

        Args:
            policy: what decides.
            greet: told who comes before the policy is asked for them, in the same order.

        Raises:
            ShouldFixArgument: the day is not after the last one played, or the policy's answer is no
                distribution over the valid actions.
        """
        if self._last is not None and day <= self._last:
            raise ShouldFixArgument(
                f"Day {day} is not after {self._last}, which was played.", "Play days in order."
            )
        number = day.toordinal()
        arrived = self._welcome(day)
        passed = self.spec.day_of(day)
        if self._crowd.come(passed, self._script):
            self._let_in_bots()
        responses, present = self.responses(day), self.present
        rows, part, second = self._visits(responses, passed, number)
        accounts = self._crowd.accounts(self._script[rows], passed)
        meetings = meet(
            rows,
            np.flatnonzero(CONNECTED_OF[self._persons.kind]),
            np.random.default_rng([self.seed, _PARTNERS, number]),
        )
        met = meetings.met
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        users = tuple(user_id(n) for n in self._number[rows].tolist())
        standing = self._felt(_rows_of(self._standing, rows), part, passed, number)
        if greet is not None:
            kind = self._persons.kind[rows]
            hidden = Hidden(kind, standing.mood, standing.tired, part)
            greet(Visitors(users, midnight + second, hidden))
        decisions, after = decide(
            responses,
            self._persons.where(rows),
            standing,
            part,
            midnight + second,
            ARCHETYPE_OF[self._persons.kind[met]],
            policy,
            Chance.of(self.seed, _DECISIONS, number),
            accounts,
        )
        self._last = day
        partners = self.spec.domain.partners[decisions.action]
        played = DayOfDecisions(
            date=day,
            decision_ids=tuple(decision_id(self.seed, user, day) for user in users),
            user_ids=users,
            partner_ids=tuple(
                tuple(user_id(n) for n in self._number[met[row, :count]].tolist())
                for row, count in enumerate(partners)
            ),
            slate_chance=meetings.chance[np.arange(len(rows)), np.maximum(partners, 1) - 1],
            decisions=decisions,
            responses=responses,
            present=present,
            arrived=arrived,
            left=int(decisions.ended.sum()),
            role=self._crowd.roles(self._script[rows], passed),
        )
        self._carry_on(rows, after, decisions.ended)
        return played

    def _welcome(self, day: date) -> int:
        """Let new people in; returns how many."""
        if self._last is None:
            return 0
        rng = np.random.default_rng([self.seed, _ARRIVALS, day.toordinal()])
        count = int(rng.poisson(self.spec.arrivals(self.loop)))
        new = arrive(count, self.spec.burdened_group, rng, self.spec.mix)
        self._join(new, rng, self._crowd.scripts(count, day.toordinal()))
        return count

    def _let_in_bots(self) -> None:
        bots = self._crowd.bots(self.spec.people, self.spec.burdened_group, self.spec.mix)
        rng = np.random.default_rng([self.seed, _BOTS])
        self._join(bots, rng, np.zeros(len(bots), dtype=np.int64))

    def _join(self, new: Persons, rng: np.random.Generator, script: Int) -> None:
        """New accounts, numbered on, with nothing behind them."""
        count = len(new)
        standing = Standing.new(new.kind, MoodDraws.of(count, rng))
        self._persons = self._persons.joined(new)
        self._standing = _stacked(self._standing, standing)
        self._script = np.concatenate([self._script, script])
        self._number = np.concatenate([self._number, self._arrived + np.arange(count)])
        self._arrived += count

    def _visits(self, responses: Responses, passed: int, number: int) -> tuple[Int, Int, Int]:
        """(rows of who comes, parts of the day, seconds of the day), in order of time."""
        rng = np.random.default_rng([self.seed, _VISITS, number])
        chance = self.spec.visits(self.loop) * self.spec.misbehaviour.coming(passed)
        comes = rng.random(len(self._number)) < chance
        rows = np.flatnonzero(comes | ~self._people)
        archetype = ARCHETYPE_OF[self._persons.kind[rows]]
        part, second = parts_and_seconds(archetype, rng, responses.comes)
        order = np.lexsort((rows, second))
        return rows[order], part[order], second[order]

    def _felt(self, standing: Standing, part: Int, passed: int, number: int) -> Standing:
        """Where people stand as they come: seasons have moved their moods."""
        if not self.spec.misbehaviour.restless:
            return standing
        draws = np.random.default_rng([self.seed, _MOODS, number]).random(standing.mood.shape)
        return replace(standing, mood=self._crowd.moods(standing.mood, part, passed, draws))

    def _carry_on(self, rows: Int, after: Standing, ended: Bool) -> None:
        standing = self._standing
        for name in ("mood", "tired", "past_action", "past_reward", "past_time"):
            getattr(standing, name)[rows] = getattr(after, name)
        stays = np.ones(len(self._number), dtype=np.bool_)
        stays[rows[ended]] = False
        kept = np.flatnonzero(stays)
        self._persons, self._number = self._persons.where(kept), self._number[kept]
        self._script = self._script[kept]
        self._standing = _rows_of(standing, kept)


def _rows_of(standing: Standing, rows: Int) -> Standing:
    return Standing(
        standing.mood[rows],
        standing.tired[rows],
        standing.past_action[rows],
        standing.past_reward[rows],
        standing.past_time[rows],
    )


def _stacked(first: Standing, second: Standing) -> Standing:
    return Standing(
        *(
            np.concatenate([getattr(first, name), getattr(second, name)])
            for name in ("mood", "tired", "past_action", "past_reward", "past_time")
        )
    )
