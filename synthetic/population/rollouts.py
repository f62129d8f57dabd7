"""The true value of a policy that sees what the product sees, by roll-outs with common random numbers.

People are rolled out as if nobody left, and each decision counts with the probability that the person
is still there, prod(1 - e) over their decisions before: exact given the states, and far less noisy than
drawing who leaves. A decision is worth its true expected reward under the policy. All draws come from
counters, so that two policies meet the same people in the same moods at the same hours: compare them by
``difference``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import ARCHETYPE_OF
from synthetic.population.behaviour import Policy
from synthetic.population.cohort import arrive
from synthetic.population.decisions import Chance, Standing, decide, parts_and_seconds
from synthetic.population.dynamics import MoodDraws, end_chance
from synthetic.population.journeys import partners_from
from synthetic.population.responses import Responses

GONE: Final = 1e-4
"""Roll-outs end when fewer than this share of people are still there."""
LONGEST: Final = 400
_Z: Final = 1.959963984540054
_FIRST: Final = (date(2026, 1, 1) - date(1970, 1, 1)).days
_PEOPLE, _STEP = 10, 11


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval over n people."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, each: Float) -> Estimate:
        """Mean of independent numbers (n,), n >= 2."""
        half = _Z * float(each.std(ddof=1)) / np.sqrt(len(each))
        mean = float(each.mean())
        return cls(mean, mean - half, mean + half, len(each))


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """What each of n people's journeys is worth under one policy.

    Attributes:
        discounted: (n,) sum of discounted expected rewards.
        total: (n,) undiscounted sum. decisions: (n,) expected number of decisions.
    """

    discounted: Float
    total: Float
    decisions: Float

    @property
    def journey(self) -> Estimate:
        """Expected discounted journey value."""
        return Estimate.of(self.discounted)

    @property
    def per_decision(self) -> Estimate:
        """Mean reward per decision, sum of totals over sum of decisions; interval by linearisation."""
        ratio = float(self.total.sum() / self.decisions.sum())
        residual = (self.total - ratio * self.decisions) / self.decisions.mean()
        return Estimate.of(ratio + residual)

    def difference(self, other: Rollout) -> Estimate:
        """How much more journey value than another policy's on the same people."""
        if len(self.discounted) != len(other.discounted):
            raise ShouldFixArgument(
                f"Roll-outs of {len(self.discounted)} and {len(other.discounted)} people differ.",
                "Compare roll-outs of the same people and seed.",
            )
        return Estimate.of(self.discounted - other.discounted)


def roll_out(
    responses: Responses,
    policy: Policy,
    people: int,
    seed: int,
    discount: float,
    burdened_group: int = 3,
) -> Rollout:
    """Roll out new people's journeys under a policy.

    Args:
        people: how many, >= 2. seed: >= 0; the same gives the same people to every policy.
        discount: of the journey's value, in [0, 1].

    Raises:
        ShouldFixArgument: fewer than two people, the policy's answer is no distribution, or moods
            follow a season.
    """
    if people < 2:
        raise ShouldFixArgument(f"roll_out: people={people} gives no interval.", "Take 2 or more.")
    responses.require_still("The value of journeys")
    rng = np.random.default_rng([seed, _PEOPLE])
    persons = arrive(people, burdened_group, rng, responses.mix)
    standing = Standing.new(persons.kind, MoodDraws.of(people, rng))
    day = np.full(people, _FIRST)
    there = np.ones(people)
    discounted, total, decisions = np.zeros((3, people))
    rows = np.arange(people)
    for step in range(LONGEST):
        chance = Chance.of(seed, _STEP, step)
        part, second = parts_and_seconds(
            ARCHETYPE_OF[persons.kind], chance.circumstances, responses.comes
        )
        partners = partners_from(responses, people, chance.circumstances)
        made, standing = decide(
            responses, persons, standing, part, day * 86_400 + second, partners, policy, chance
        )
        earned = there * (made.propensities * made.expected_reward).sum(axis=1)
        discounted += discount**step * earned
        total += earned
        decisions += there
        there = there * (1 - end_chance(made.expected_reward[rows, made.action]))
        if there.mean() < GONE:
            break
        day = day + np.minimum(chance.circumstances.geometric(0.5, people), 6)
    return Rollout(discounted, total, decisions)
