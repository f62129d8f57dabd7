"""What policies are truly worth among the tour's people: known, because the people are made up.

Worth is reward per decision over whole journeys of new people, until they leave: who is treated well
stays longer and is in another mood the next time, so a policy is judged on the states that it leads to
itself. The best policy's is solved exactly; it sees the hidden state, which no policy can. The others'
are roll-outs that meet the same people in the same moods, so that days can be compared.
"""

from __future__ import annotations

import math
from functools import cached_property

from everloop.contracts.evaluation import Estimate
from everloop.sdk.demo.deciders import Decider
from everloop.sdk.demo.plan import FIRST_DAY, DemoPlan
from synthetic.population import Policy, PopulationSpec, Truth, logging_policy
from synthetic.population.rollouts import roll_out

PEOPLE = 150
"""New people rolled out for each policy."""
CONFIDENCE = 0.95


class Worth:
    """True reward per decision of any policy of one tour."""

    def __init__(self, plan: DemoPlan) -> None:
        self._plan = plan
        self._responses = PopulationSpec().responses(plan.spec, FIRST_DAY)
        self._known: dict[tuple[str, float], Estimate] = {}

    @cached_property
    def best(self) -> Estimate:
        """Of the policy that is best for the discounted journey and sees the hidden state; exact."""
        truth = Truth(self._responses, self._plan.spec.training.discount)
        value = truth.value(truth.best_policy()).per_decision
        return Estimate("best possible", value, value, value, 1.0, 0, 0, "exact solution")

    @cached_property
    def first(self) -> Estimate:
        """Of the rules that decide at first, their exploration included."""
        return self._rolled_out("first policy", logging_policy)

    def of(self, decider: Decider) -> Estimate:
        """Of what decides, its exploration included."""
        key = decider.version, decider.exploration
        if key not in self._known:
            self._known = {key: self._rolled_out(decider.version, decider.policy)}
        return self._known[key]

    def _rolled_out(self, name: str, policy: Policy) -> Estimate:
        discount = self._plan.spec.training.discount
        rolled = roll_out(self._responses, policy, PEOPLE, self._plan.seed, discount)
        found = rolled.per_decision
        decisions = math.floor(rolled.decisions.sum())
        return Estimate(
            name=name,
            value=float(found.value),
            low=float(found.low),
            high=float(found.high),
            confidence=CONFIDENCE,
            n=decisions,
            clusters=found.n,
            method="roll-outs",
        )
