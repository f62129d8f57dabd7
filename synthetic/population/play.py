"""The population from day to day: who comes, what is decided, who leaves and who is new."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.population.archetypes import (
    AGE_GROUPS,
    AGE_SHARES,
    ARCHETYPE_OF,
    ARCHETYPES,
    CONNECTED_OF,
    arriving_partners,
)
from synthetic.population.behaviour import Policy
from synthetic.population.catalogue import (
    ACTIONS,
    MOST_PARTNERS,
    PARTNERS,
    SIGNALS,
    require_companion,
)
from synthetic.population.cohort import arrive
from synthetic.population.decisions import Chance, Decisions, Standing, decide, parts_and_seconds
from synthetic.population.dynamics import MoodDraws
from synthetic.population.emission import Persons
from synthetic.population.responses import Disturbance, Responses

_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "everloop/population")
_ARRIVALS, _VISITS, _PARTNERS, _DECISIONS = range(4)
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
    """

    people: int = 3_000
    arrivals_per_day: float | None = None
    visits_per_day: float | None = None
    drift: float = 0.0
    group_gap: float = 0.0
    gap_group: str = "over_64"
    disturbance: Disturbance = field(default_factory=Disturbance)
    start: date = date(2026, 1, 1)

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
        for name in ("drift", "group_gap"):
            if not math.isfinite(getattr(self, name)):
                raise refuse(name, "is not finite")
        if self.gap_group not in AGE_GROUPS:
            raise refuse("gap_group", f"is none of {', '.join(AGE_GROUPS)}")

    def turn(self, day: date) -> float:
        """Radians by which tastes have turned by a day."""
        return self.drift * (day - self.start).days / YEAR

    @property
    def burdened_group(self) -> int:
        return AGE_GROUPS.index(self.gap_group)

    @property
    def burdened_share(self) -> float:
        """Share of the people who arrive that belong to ``gap_group``."""
        return float(AGE_SHARES[self.burdened_group])

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
        arrive)."""
        return Responses(
            loop,
            arriving_partners() if partner_mix is None else partner_mix,
            self.turn(day),
            self.group_gap,
            self.disturbance,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DayOfDecisions:
    """One day: n decisions in order of time.

    Attributes:
        date: the day, UTC.
        decision_ids: n UUIDs. user_ids: n product ids of the people, such as "person-000123".
        partner_ids: per decision, the product ids of those whom its pairing brought together.
        decisions: contexts, actions, propensities, evidence, and the truth beside them.
        responses: the law of the day: the truth of any action at these states.
        present: people present in the morning. arrived, left: how many came new, and left.
    """

    date: date
    decision_ids: tuple[str, ...]
    user_ids: tuple[str, ...]
    partner_ids: tuple[tuple[str, ...], ...]
    decisions: Decisions
    responses: Responses
    present: int
    arrived: int
    left: int

    def __len__(self) -> int:
        return len(self.decision_ids)

    def valid_actions(self, row: int) -> tuple[str, ...]:
        valid = self.decisions.valid[row]
        return tuple(name for name, allowed in zip(ACTIONS, valid, strict=True) if allowed)

    def action_arguments(self, row: int) -> dict[str, Any]:
        """Whom the action brought together; empty for other actions."""
        return {"user_ids": list(self.partner_ids[row])} if self.partner_ids[row] else {}

    def signals(self) -> list[Mapping[str, Any]]:
        """Every signal as the product sends it: signal_id, decision_id, signal_type, value, latency,
        confidence. Ids are deterministic."""
        found = self.decisions.evidence
        return [
            {
                "signal_id": str(uuid.uuid5(_IDS, f"{self.decision_ids[row]}/{index}")),
                "decision_id": self.decision_ids[row],
                "signal_type": SIGNALS[kind],
                "value": value,
                "latency": latency,
                "confidence": confidence,
            }
            for index, (row, kind, value, latency, confidence) in enumerate(
                zip(
                    found.decision.tolist(),
                    found.kind.tolist(),
                    found.value.tolist(),
                    found.latency.tolist(),
                    found.confidence.tolist(),
                    strict=True,
                )
            )
        ]


class Population:
    """People with a known truth, played day by day.

    The same loop, parameters, seed and policies give the same people, decisions and signals. Every
    draw comes from a counter (seed, concern, day), so that a day's draws do not depend on how many were
    made before.

    Args:
        loop: the companion loop.
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
        require_companion(loop)
        if seed < 0:
            raise ShouldFixArgument(f"Population: seed={seed} is below 0.", "Raise it.")
        self.spec = replace(spec or PopulationSpec(), people=people)
        self.loop = loop
        self.seed = seed
        self.spec.visits(loop)
        rng = np.random.default_rng([seed, _ARRIVALS])
        self._persons = arrive(people, self.spec.burdened_group, rng)
        self._standing = Standing.new(self._persons.kind, MoodDraws.of(people, rng))
        self._number = np.arange(people)
        self._arrived = people
        self._last: date | None = None

    @property
    def present(self) -> int:
        """How many people are there."""
        return len(self._number)

    @property
    def persons(self) -> Persons:
        """The people present: the truth about each."""
        return self._persons

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Product ids of the people present."""
        return tuple(_user_id(number) for number in self._number.tolist())

    @property
    def partner_mix(self) -> Float:
        """(6,) archetypes of the people present who have connections; of arriving ones if none has."""
        met = ARCHETYPE_OF[self._persons.kind[CONNECTED_OF[self._persons.kind]]]
        if not len(met):
            return arriving_partners()
        return np.asarray(np.bincount(met, minlength=len(ARCHETYPES)) / len(met))

    def responses(self, day: date) -> Responses:
        """The law of responses with the people who are present now and the tastes of a day."""
        return self.spec.responses(self.loop, day, self.partner_mix)

    def day(self, day: date, policy: Policy) -> DayOfDecisions:
        """Play one day: new people arrive, some come, are decided for and answer, some leave for good.

        Raises:
            ShouldFixArgument: the day is not after the last one played, or the policy's answer is no
                distribution over the valid actions.
        """
        if self._last is not None and day <= self._last:
            raise ShouldFixArgument(
                f"Day {day} is not after {self._last}, which was played.", "Play days in order."
            )
        number = day.toordinal()
        arrived = self._welcome(np.random.default_rng([self.seed, _ARRIVALS, number]))
        responses, present = self.responses(day), self.present
        rng = np.random.default_rng([self.seed, _VISITS, number])
        rows = np.flatnonzero(rng.random(present) < self.spec.visits(self.loop))
        part, second = parts_and_seconds(ARCHETYPE_OF[self._persons.kind[rows]], rng)
        order = np.lexsort((rows, second))
        rows, part, second = rows[order], part[order], second[order]
        met = self._met(rows, np.random.default_rng([self.seed, _PARTNERS, number]))
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        decisions, after = decide(
            responses,
            self._persons.where(rows),
            _rows_of(self._standing, rows),
            part,
            midnight + second,
            ARCHETYPE_OF[self._persons.kind[met]],
            policy,
            Chance.of(self.seed, _DECISIONS, number),
        )
        self._last = day
        users = tuple(_user_id(n) for n in self._number[rows].tolist())
        partners = PARTNERS[decisions.action]
        played = DayOfDecisions(
            date=day,
            decision_ids=tuple(
                str(uuid.uuid5(_IDS, f"{self.seed}/{user}/{day.isoformat()}")) for user in users
            ),
            user_ids=users,
            partner_ids=tuple(
                tuple(_user_id(n) for n in self._number[met[row, :count]].tolist())
                for row, count in enumerate(partners)
            ),
            decisions=decisions,
            responses=responses,
            present=present,
            arrived=arrived,
            left=int(decisions.ended.sum()),
        )
        self._carry_on(rows, after, decisions.ended)
        return played

    def _welcome(self, rng: np.random.Generator) -> int:
        """Let new people in; returns how many."""
        if self._last is None:
            return 0
        count = int(rng.poisson(self.spec.arrivals(self.loop)))
        new = arrive(count, self.spec.burdened_group, rng)
        standing = Standing.new(new.kind, MoodDraws.of(count, rng))
        self._persons = self._persons.joined(new)
        self._standing = _stacked(self._standing, standing)
        self._number = np.concatenate([self._number, self._arrived + np.arange(count)])
        self._arrived += count
        return count

    def _met(self, rows: Int, rng: np.random.Generator) -> Int:
        """(n, 3) people whom a pairing would bring: distinct draws from those present who have
        connections, never oneself; oneself only where there is nobody else."""
        pool = np.flatnonzero(CONNECTED_OF[self._persons.kind])
        if not len(pool):
            return np.repeat(rows[:, None], MOST_PARTNERS, axis=1)
        spot = rng.integers(0, len(pool), len(rows))
        met = np.empty((len(rows), MOST_PARTNERS), dtype=np.int64)
        for place in range(MOST_PARTNERS):
            own = pool[spot % len(pool)] == rows
            spot = spot + own
            met[:, place] = pool[spot % len(pool)]
            spot = spot + rng.integers(1, max(2, len(pool) // (MOST_PARTNERS + 1)), len(rows))
        return met

    def _carry_on(self, rows: Int, after: Standing, ended: Bool) -> None:
        standing = self._standing
        for name in ("mood", "tired", "past_action", "past_reward", "past_time"):
            getattr(standing, name)[rows] = getattr(after, name)
        stays = np.ones(self.present, dtype=np.bool_)
        stays[rows[ended]] = False
        kept = np.flatnonzero(stays)
        self._persons, self._number = self._persons.where(kept), self._number[kept]
        self._standing = _rows_of(standing, kept)


def _user_id(number: int) -> str:
    return f"person-{number:06d}"


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
