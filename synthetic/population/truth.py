"""What is true of the population: the best policy, and the value of any policy.

Types do not mix, so each is a decision process of its own (648 carried states by four parts of the
day) and a value is the mean over the types of those who arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    CONNECTED_OF,
    PLANE,
    TYPES,
    UNBURDENED,
)
from synthetic.population.catalogue import ACTIONS, NOTHING
from synthetic.population.dynamics import (
    carried_kernels,
    end_chance,
    next_feeling,
    start_law,
)
from synthetic.population.emission import FEELING
from synthetic.population.mix import SHIPPED
from synthetic.population.responses import Responses
from synthetic.population.solve import DecisionProcess
from synthetic.population.state import MOODS, SHAPE, Hidden, all_states

POLICY_SHAPE: Final = (*SHAPE, len(ACTIONS))
"""(48, 648, 4, A): a policy on hidden states, in the companion's domain."""


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a policy earns.

    Attributes:
        journey: expected discounted sum of rewards of a new person's journey.
        per_decision: mean reward of a decision while journeys last: expected sum of a journey's
            rewards over its expected number of decisions, arrivals being steady.
        decisions: expected number of decisions until a person leaves.
    """

    journey: float
    per_decision: float
    decisions: float


@dataclass(frozen=True)
class Truth:
    """Everything that is true while the people present and the tastes stay as they are.

    Attributes:
        responses: the law of responses.
        discount: of the journey's value, in [0, 1].
        burdened_share: share of arriving people who are burdened; matters where groups differ alone.

    Raises:
        ShouldFixArgument: by what knows how moods go on, where they follow a season.
    """

    responses: Responses
    discount: float
    burdened_share: float = float(SHIPPED.ages[3])

    @property
    def shape(self) -> tuple[int, ...]:
        """(48, 648, 4, A) of a policy on hidden states."""
        return (*SHAPE, len(self.responses.domain))

    @cached_property
    def type_shares(self) -> Float:
        """(48,) of arriving people."""
        return self.responses.mix.type_shares(self.burdened_share)

    def expected_reward(self, hidden: Hidden) -> Float:
        """(n, A) true expected reward of every action at these states, valid or not."""
        return self.responses.expected_reward(hidden)

    def acceptance(self, hidden: Hidden) -> Float:
        """(n, A) true probability that the reward reaches ``success_at``."""
        # Partners' draws make it dear, and a log holds every state many times.
        place = np.ravel_multi_index((hidden.kind, hidden.carried, hidden.part), SHAPE)
        _, first, back = np.unique(place, return_index=True, return_inverse=True)
        return self.responses.acceptance(hidden.where(first))[back]

    def end_chance(self, hidden: Hidden) -> Float:
        """(n, A) true probability that the person leaves after the decision."""
        return end_chance(self.expected_reward(hidden))

    def signal_means(self, hidden: Hidden) -> Float:
        """(n, A, 3) true mean of each signal in [-1, 1], given that it is sent; two-sided ones as
        2 v - 1."""
        means = self.responses.means(hidden)
        means[..., 1:] = 2 * means[..., 1:] - 1
        return means

    def presence(self, hidden: Hidden) -> Float:
        """(n, A, 3) true probability that each signal is present when the episode closes."""
        present = self.responses.presence()
        return np.broadcast_to(present, (len(hidden), *present.shape)).copy()

    def next_feeling(self, hidden: Hidden) -> Float:
        """(n, A, 4) true mean of the next moods in -1..1, of those who stay."""
        self.responses.require_still("What moods become")
        table = next_feeling(self.responses.partner_mix, self.responses.domain)
        mood = np.arange(len(MOODS))
        found: Float = table[hidden.kind[:, None], hidden.mood, :, mood]
        return found.transpose(0, 2, 1)

    def next_numbers(self, hidden: Hidden) -> Float:
        """(n, A, 6) true mean of the next numbers behind the emotion vector, of those who stay, over
        people's bents; ``emission.MIXING`` maps them to the vector's mean (clipping, which meets two
        numbers in ten thousand, aside)."""
        moods = self.next_feeling(hidden)
        plane = np.broadcast_to(
            PLANE[ARCHETYPE_OF[hidden.kind]][:, None, :], (*moods.shape[:2], PLANE.shape[1])
        )
        return np.asarray(FEELING * np.concatenate([moods, plane], axis=2))

    def process(self, kind: int) -> DecisionProcess:
        """The decision process of one hidden type."""
        self.responses.require_still("The decision process")
        return self._process(kind, self._kernels(kind))

    def _process(self, kind: int, kernels: Float) -> DecisionProcess:
        row = kind % len(self._rewards)
        return DecisionProcess(
            reward=self._rewards[row],
            ends=end_chance(self._rewards[row]),
            valid=self._valid[kind],
            kernels=kernels,
            law=self.responses.comes[ARCHETYPE_OF[kind]],
            start=start_law(kind),
        )

    def _kernels(self, kind: int) -> Float:
        return carried_kernels(kind, self.responses.partner_mix, self.responses.domain)

    @cached_property
    def _rewards(self) -> Float:
        """(24 or 48, 648, 4, A) expected rewards; burdened types have their own where groups differ."""
        kinds = np.arange(TYPES if self.responses.groups_differ else UNBURDENED)
        rewards = self.responses.expected_reward(all_states(kinds))
        return rewards.reshape(len(kinds), *self.shape[1:])

    @cached_property
    def _valid(self) -> Bool:
        """(48, 648, 4, A)."""
        return self.responses.valid(all_states(np.arange(TYPES))).reshape(self.shape)

    def _of_types(self) -> Iterator[tuple[int, float, DecisionProcess]]:
        """(type, its share, its process); burdened types are counted with the others unless they
        differ."""
        self.responses.require_still("The value of policies")
        shares = self.type_shares
        if not self.responses.groups_differ:
            shares = shares[:UNBURDENED] + shares[UNBURDENED:]
        kernels = np.empty(0)
        for kind, share in enumerate(shares):
            if not CONNECTED_OF[kind]:  # the connected type beside it moves alike
                kernels = self._kernels(kind)
            yield kind, float(share), self._process(kind, kernels)

    def best_policy(self) -> Float:
        """(48, 648, 4, A) the policy of the highest discounted journey value in every state."""
        best = np.zeros(self.shape)
        for kind, _, process in self._of_types():
            best[kind] = process.best_policy(self.discount)
        if not self.responses.groups_differ:
            best[UNBURDENED:] = best[:UNBURDENED]
        return best

    def value(self, policy: Float) -> PolicyValue:
        """Exact value of a policy given as (48, 648, 4, A) probabilities on hidden states.

        Raises:
            ShouldFixArgument: it is no policy, or takes an action that is not valid.
        """
        journey = total = decisions = 0.0
        for kind, share, process in self._of_types():
            earned, visited = process.journey_total(policy[kind])
            journey += share * process.journey_value(policy[kind], self.discount)
            total += share * earned
            decisions += share * visited
        return PolicyValue(journey, total / decisions, decisions)

    def uniform(self) -> Float:
        """(48, 648, 4, A) every valid action alike."""
        return np.asarray(self._valid / self._valid.sum(axis=3, keepdims=True))

    def always(self, action: int) -> Float:
        """(48, 648, 4, A) one action wherever it is valid, else no_action."""
        chosen = np.where(self._valid[..., action], action, NOTHING)
        return np.asarray(np.eye(self.shape[3])[chosen])

    def greedy(self) -> Float:
        """(48, 648, 4, A) the action of the highest expected reward, whatever comes after."""
        rewards = np.resize(self._rewards, self.shape)
        chosen = np.where(self._valid, rewards, -np.inf).argmax(axis=3)
        return np.asarray(np.eye(self.shape[3])[chosen])


def at(policy: Float, hidden: Hidden) -> Float:
    """(n, A) what a policy on hidden states does at these."""
    return np.asarray(policy[hidden.kind, hidden.carried, hidden.part])
