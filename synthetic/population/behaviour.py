"""Policies that need no learning: what decided before, uniform choice, and doing nothing."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import AGE_GROUPS
from synthetic.population.catalogue import NOTHING
from synthetic.population.domain import COMPANION, Domain
from synthetic.population.emission import WideContexts


class Policy(Protocol):
    """What decides: reads what the product sees, never the hidden state."""

    def __call__(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator, /) -> Float:
        """(n, A) propensities: rows sum to 1, zero where an action is not valid."""


UNIFORM_SHARE: Final = 0.4
"""Exploration of the logging policy: every valid action has at least 0.4 / |valid| >= 0.05."""


def rules_of(domain: Domain) -> Policy:
    """Mediocre rules: 0.6 of a softmax that leans to no_action, to pairing in the evening, to the first
    event by day and to the first intervention at a high pulse; 0.4 uniform. Over valid actions only."""
    pairings = list(domain.pairings)
    event, message = domain.first_of("recommend_hive"), domain.first_of("intervention")

    def policy(contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        scores = np.zeros(valid.shape)
        scores[:, NOTHING] = 1.4
        scores[:, pairings] += 0.5 * (contexts.hour >= 18)[:, None]
        scores[:, event] += 0.5 * ((contexts.hour >= 8) & (contexts.hour < 18))
        scores[:, message] += 0.8 * (contexts.heart_rate > 80)
        weights = np.where(valid, np.exp(scores), 0.0)
        rules = weights / weights.sum(axis=1, keepdims=True)
        uniform = uniform_policy(contexts, valid, rng)
        return np.asarray((1 - UNIFORM_SHARE) * rules + UNIFORM_SHARE * uniform)

    return policy


def neglecting(policy: Policy, group: str, share: float) -> Policy:
    """A policy that is unfair by itself: for people of one age group, ``share`` of what it would do it
    leaves undone.

    Raises:
        ShouldFixArgument: there is no such group, or the share is outside [0, 1].
    """
    if group not in AGE_GROUPS or not 0.0 <= share <= 1.0:
        raise ShouldFixArgument(
            f"neglecting: group={group!r}, share={share} name no age group or no share.",
            f"Give one of {', '.join(AGE_GROUPS)} and a share in [0, 1].",
        )
    place = AGE_GROUPS.index(group)

    def unfair(contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        even = policy(contexts, valid, rng)
        left = share * (contexts.age_group == place)[:, None]
        nothing = np.eye(valid.shape[1])[NOTHING]
        return np.asarray((1.0 - left) * even + left * nothing)

    return unfair


def uniform_policy(_contexts: WideContexts, valid: Bool, _rng: np.random.Generator) -> Float:
    """Every valid action alike."""
    return np.asarray(valid / valid.sum(axis=1, keepdims=True))


def doing_nothing(_contexts: WideContexts, valid: Bool, _rng: np.random.Generator) -> Float:
    """no_action always."""
    return np.asarray(np.eye(valid.shape[1])[np.full(len(valid), NOTHING)])


logging_policy: Final = rules_of(COMPANION)
"""What decided in the companion product before: a walk by day, calm at a high pulse."""
