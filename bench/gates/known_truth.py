"""A small world in which every policy's value is a sum, and logs drawn from it.

Six states, four actions. A decision in state x with action a earns mean(x, a) in expectation, and leads on
to another journey step with a probability and a state that depend on a; people differ from one another, so
that decisions of one person are not independent. The logging policy is epsilon-greedy around a preference
that is half wrong; the target policy is epsilon-greedy around the better one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from everloop.contracts.datasets import Float, Int
from rl.off_policy.estimators import WeightedDecisions, weigh
from rl.off_policy.journeys import Journeys

STATES, ACTIONS, STEPS = 6, 4, 3
Rewards = Literal["dense", "sparse"]
_WORLD_SEED = 2026
_SPARSE_MEAN = 0.005


@dataclass(frozen=True, slots=True)
class World:
    """The truth.

    Attributes:
        rewards: ``dense``, within [-1, 1], or ``sparse``, 0 or 1 with .5 % ones under the logging policy.
        start: (X,) probability of each state.
        mean: (X, A) expected reward.
        logging, target: (X, A) probabilities.
        model: (X, A) a reward model that is wrong on purpose.
        follows: (X, A, X) probability of the next state; what is missing to 1 ends the journey.
    """

    rewards: Rewards
    start: Float
    mean: Float
    logging: Float
    target: Float
    model: Float
    follows: Float

    @property
    def low(self) -> float:
        return -1.0 if self.rewards == "dense" else 0.0

    @property
    def high(self) -> float:
        return 1.0

    def value(self, policy: Float) -> float:
        """Expected reward of one decision."""
        return float(self.start @ (policy * self.mean).sum(axis=1))

    def model_value(self, policy: Float) -> float:
        """What the direct method estimates, exactly."""
        return float(self.start @ (policy * self.model).sum(axis=1))

    def journey_value(self, policy: Float) -> float:
        """Expected sum of rewards of a journey of at most three steps, by backward induction."""
        after = np.zeros(STATES)
        for step in reversed(range(STEPS)):
            later = self.follows @ after if step < STEPS - 1 else 0.0
            after = (policy * (self.mean + later)).sum(axis=1)
        return float(self.start @ after)


def world(rewards: Rewards, epsilon: float) -> World:
    """The one world of each kind of rewards, logged and judged with exploration ``epsilon``."""
    rng = np.random.default_rng([_WORLD_SEED, 0 if rewards == "dense" else 1])
    taste = rng.normal(0, 1, (STATES, ACTIONS))
    wrong = rng.normal(0, 1, (STATES, ACTIONS))
    start = rng.dirichlet(np.full(STATES, 5.0))
    stays = rng.uniform(0.2, 0.6, (STATES, ACTIONS, 1))
    follows = stays * rng.dirichlet(np.full(STATES, 1.0), (STATES, ACTIONS))
    logging = _explored(taste + wrong, epsilon)
    if rewards == "dense":
        mean = 0.5 * np.tanh(taste)
        model = 0.3 * np.tanh(taste + 0.5 * wrong) + 0.1
    else:
        mean = np.exp(taste)
        mean *= _SPARSE_MEAN / float(start @ (logging * mean).sum(axis=1))
        model = 0.5 * mean + 0.5 * mean.mean()
    return World(rewards, start, mean, logging, _explored(2 * taste, epsilon), model, follows)


def _explored(preference: Float, epsilon: float) -> Float:
    chance = np.exp(preference)
    chance /= chance.sum(axis=1, keepdims=True)
    return np.asarray((1 - epsilon) * chance + epsilon / ACTIONS)


@dataclass(frozen=True, slots=True)
class Log:
    """Single decisions and journeys, drawn from the logging policy."""

    decisions: WeightedDecisions
    person: Int
    journeys: Journeys


def drawn(truth: World, rng: np.random.Generator, n: int) -> Log:
    """About n single decisions of n / 2 people (1 to 3 each), and n journeys of n / 2 people."""
    people = n // 2
    counts = rng.integers(1, 4, people)
    person = np.repeat(np.arange(people), counts)
    state = _pick(rng, truth.start, len(person))
    action, _ = _act(truth, rng, state)
    reward = _reward(truth, rng, state, action, _leaning(rng, people)[person])
    decisions = weigh(
        reward=reward,
        action=action,
        propensity=truth.logging[state, action],
        target=truth.target[state],
        q_hat=truth.model[state],
    )
    return Log(decisions, person, _journeys(truth, rng, n, people))


def _journeys(truth: World, rng: np.random.Generator, n: int, people: int) -> Journeys:
    person = np.repeat(np.arange(people), 2)[:n]
    leaning = _leaning(rng, people)[person]
    reward, weight = np.zeros((n, STEPS)), np.ones((n, STEPS))
    length = np.zeros(n, dtype=np.int64)
    state, going = _pick(rng, truth.start, n), np.arange(n)
    for step in range(STEPS):
        action, ratio = _act(truth, rng, state)
        reward[going, step] = _reward(truth, rng, state, action, leaning[going])
        weight[going, step] = ratio
        length[going] += 1
        edges = np.cumsum(truth.follows[state, action], axis=1)
        uniform = rng.random((len(going), 1))
        goes_on = uniform[:, 0] < edges[:, -1]
        state = (uniform < edges).argmax(axis=1)[goes_on]
        going = going[goes_on]
    return Journeys(reward, weight, length, person)


def _pick(rng: np.random.Generator, chance: Float, n: int) -> Int:
    return np.searchsorted(np.cumsum(chance)[:-1], rng.random(n)).astype(np.int64)


def _act(truth: World, rng: np.random.Generator, state: Int) -> tuple[Int, Float]:
    edges = np.cumsum(truth.logging[state], axis=1)
    edges[:, -1] = 1.0
    action = (rng.random((len(state), 1)) < edges).argmax(axis=1)
    return action, truth.target[state, action] / truth.logging[state, action]


def _leaning(rng: np.random.Generator, people: int) -> Float:
    """(P,) -1 or 1: who is easier to please; mean zero, so that expectations stay what they are."""
    return rng.choice([-1.0, 1.0], people)


def _reward(
    truth: World, rng: np.random.Generator, state: Int, action: Int, leaning: Float
) -> Float:
    mean = truth.mean[state, action]
    if truth.rewards == "dense":
        return np.asarray(mean + 0.15 * leaning + rng.uniform(-0.3, 0.3, len(state)))
    return (rng.random(len(state)) < mean * (1 + 0.5 * leaning)).astype(np.float64)
