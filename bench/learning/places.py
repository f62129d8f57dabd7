"""Where policies are learned and judged: a population with a catalogue, its truth and its optimum.

``home`` is the shipped companion population. ``people`` are others: another mix of archetypes,
temperaments and ages, and tastes that are turned by a right angle against the traits that people show.
``actions`` is another domain: the same people, another catalogue, described by the same features.

Constraints of the loop are left out everywhere, in learning and in judging: the optimum knows of none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from bench.private.population_log import World, encoded_policy, make_world
from everloop.contracts.constraint_spec import ConstraintSpec
from everloop.contracts.datasets import Bool, Float, Float32
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.loops import load
from rl.runtime import OnnxPolicy
from synthetic.population import Policy, PopulationSpec, Truth, uniform_policy
from synthetic.population.behaviour import rules_of
from synthetic.population.domain import COMPANION
from synthetic.population.drawn_domain import drawn_domain, spoken
from synthetic.population.mix import SHIPPED, Mix
from synthetic.population.responses import Responses
from synthetic.population.rollouts import Rollout, roll_out

HOME, PEOPLE, ACTIONS = "home", "people", "actions"
TURNED: Final = math.pi / 2
ROLLED_OUT: Final = 1_000
"""New people whose journeys are rolled out for each policy."""
_ROLLED_SEED = 123
DISCOUNT: Final = 0.9
"""Of the journeys that optimum and policies are judged by, however far ahead a training looks."""


@dataclass(frozen=True)
class Place:
    """A population and the loop that it speaks.

    Attributes:
        name: HOME, PEOPLE or ACTIONS.
        loop: with the place's catalogue.
        spec: of the population.
    """

    name: str
    loop: LoopSpec
    spec: PopulationSpec

    @cached_property
    def responses(self) -> Responses:
        return self.spec.responses(self.loop, self.spec.start)

    @cached_property
    def truth(self) -> Truth:
        return Truth(self.responses, DISCOUNT, self.spec.burdened_share)

    @cached_property
    def rules(self) -> Policy:
        """What decided before, and logs."""
        return rules_of(self.spec.domain)

    @cached_property
    def best(self) -> tuple[float, float]:
        """(per decision, per discounted journey) of the best policy, which sees the hidden state."""
        value = self.truth.value(self.truth.best_policy())
        return value.per_decision, value.journey

    def world(self, people: int, each: int, seed: int) -> World:
        """``people`` times ``each`` episodes that the rules decided, nobody held out."""
        return make_world(
            self.loop, people, each, seed, self.spec, policy=self.rules, holdout_share=1e-9
        )

    def rolled_out(self, policy: Policy) -> Rollout:
        """The same new people for every policy of the place."""
        group = self.spec.burdened_group
        return roll_out(self.responses, policy, ROLLED_OUT, _ROLLED_SEED, DISCOUNT, group)

    @cached_property
    def uniform(self) -> Rollout:
        return self.rolled_out(uniform_policy)

    @cached_property
    def logging(self) -> Rollout:
        return self.rolled_out(self.rules)

    def worth(self, rolled: Rollout) -> dict[str, float]:
        """What a policy earns per decision, with its interval, and its shares of the optimum's gain.

        ``share``: of the gain over uniform decisions; ``share_low`` and ``share_high`` by roll-out.
        ``over_logging``: of the gain over what logged. ``journey``: of the discounted journey's gain.
        """
        best, best_journey = self.best
        found, even = rolled.per_decision, self.uniform.per_decision.value
        before, journey = self.logging.per_decision.value, self.uniform.journey.value

        def share(value: float) -> float:
            return (value - even) / (best - even)

        return {
            "value": found.value,
            "share": share(found.value),
            "share_low": share(found.low),
            "share_high": share(found.high),
            "over_logging": (found.value - before) / (best - before),
            "journey": (rolled.journey.value - journey) / (best_journey - journey),
        }

    def served(self, policy: OnnxPolicy, epsilon: float = 0.0) -> Policy:
        """An exported policy as one that the population plays; ``epsilon``: its exploration."""

        def act(context: Float32, valid: Bool) -> Float:
            return policy.act(States(context, valid), epsilon).propensity

        return encoded_policy(self.loop, act)


@lru_cache(maxsize=8)
def place(name: str, seed: int = 0) -> Place:
    """A place; ``seed`` draws its mix or its catalogue, and means nothing at home."""
    loop = load("companion").model_copy(update={"constraints": ConstraintSpec()})
    if name == PEOPLE:
        return Place(name, loop, PopulationSpec(mix=Mix.drawn(seed), turned=TURNED))
    if name == ACTIONS:
        domain = drawn_domain(seed)
        return Place(name, spoken(loop, domain), PopulationSpec(domain=domain))
    return Place(HOME, loop, PopulationSpec(domain=COMPANION, mix=SHIPPED))


def old_optimum_share(there: Place) -> float:
    """What home's optimum earns among other people, as a share of their own optimum's gain."""
    even = there.truth.value(there.truth.uniform()).per_decision
    old = there.truth.value(place(HOME).truth.best_policy()).per_decision
    return (old - even) / (there.best[0] - even)
