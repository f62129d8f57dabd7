"""Poisoned rewards: people who praise one action whatever happens, and a policy that lives on it.

Some people of a copy of the decisions, drawn at random and on both sides of the split, become bots: each of
their decisions earns the most attainable where the praised action was taken and the least elsewhere. Logged
actions and propensities stay as they were, so nothing but the rewards looks strange. The policy that always
takes the praised action is then judged as a candidate: the attack succeeds where it would be let through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States

FEWEST_TAKEN = 30
"""Held-out decisions with an action, below which nothing can be said of what it earns."""


@dataclass(frozen=True, slots=True)
class FixedAction:
    """The policy that takes one action wherever it is valid, explored; any valid action elsewhere."""

    action: int
    encoder: str
    version: str

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        """See ``Policy``."""
        mask = states.mask
        uniform = mask / mask.sum(axis=1, keepdims=True)
        chosen = np.zeros(mask.shape)
        chosen[:, self.action] = 1.0
        greedy = np.where(mask[:, [self.action]], chosen, uniform)
        propensity = (1 - epsilon) * greedy + epsilon * uniform
        logits = np.where(mask, np.log(np.maximum(greedy, 1e-12)), -1e9)
        return PolicyOutput(logits, propensity, np.zeros(len(mask)))


def weakest_action(episodes: EncodedEpisodes) -> int | None:
    """The action that earns least on held-out decisions, sum r / p over sum 1 / p where it was taken.

    None where no action was taken in ``FEWEST_TAKEN`` held-out decisions.
    """
    judged = episodes.evaluation
    actions = episodes.mask.shape[1]
    weight = 1.0 / judged.propensity
    taken = np.bincount(judged.action, minlength=actions)
    total = np.bincount(judged.action, weights=weight, minlength=actions)
    gained = np.bincount(judged.action, weights=weight * judged.reward, minlength=actions)
    known = taken >= FEWEST_TAKEN
    if not known.any():
        return None
    worth = np.full(actions, np.inf)
    worth[known] = gained[known] / total[known]
    return int(worth.argmin())


@dataclass(frozen=True, slots=True)
class Poisoned:
    """Decisions with bots among their people.

    Attributes:
        episodes: the copy.
        theirs: (n,) which decisions are the bots'.
        bots: how many they are.
    """

    episodes: EncodedEpisodes
    theirs: Bool
    bots: int

    def without(self, held: Bool) -> EncodedEpisodes:
        """The copy as it is learned from while ``held`` (n,) decisions wait for a person: unrewarded."""
        return replace(self.episodes, reward=np.where(held, np.nan, self.episodes.reward))


def poison(
    spec: LoopSpec, episodes: EncodedEpisodes, action: int, share: float, seed: int = 0
) -> Poisoned:
    """A copy with bots among its people.

    Args:
        spec: the loop, which declares the attainable rewards.
        episodes: the decisions.
        action: what the bots praise.
        share: of all people, in [0, 1].
        seed: of who is a bot.

    Raises:
        ShouldFixArgument: ``share`` or ``action`` is out of range.
    """
    if not 0.0 <= share <= 1.0:
        raise ShouldFixArgument(f"share={share} is outside [0, 1].", "Give a share of people.")
    if not 0 <= action < episodes.mask.shape[1]:
        raise ShouldFixArgument(f"action={action} is not in the catalogue.", "Give its index.")
    people = np.unique(episodes.person)
    count = round(share * len(people))
    bots = np.random.default_rng([seed, 4]).permutation(people)[:count]
    theirs = np.isin(episodes.person, bots)
    rewarded = theirs & np.isfinite(episodes.reward)
    praise = np.where(
        episodes.action == action, spec.reward.attainable_high, spec.reward.attainable_low
    )
    copy = replace(episodes, reward=np.where(rewarded, praise, episodes.reward))
    return Poisoned(copy, theirs, count)
