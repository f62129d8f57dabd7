"""The problem that every system learns: cheap to play, its best return known by construction.

A person is one of K types, told by most of the context, which scatters around the type's own signs. A
journey has L decisions. Each has a merit by type, decision and action; all merits of a journey are paid
at its end, in one sum. The first decision may open the journey with one of the type's own keys: a key has
no merit, and without one what follows counts a quarter. Some actions are not valid for some people.

The context also tells which decision it is, whether the journey was opened and what was earned so far,
so it says all that the future depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.simulation import ProfileBatch, Responses
from rl.environment.journeys import JourneySource

CLOSED = 0.25
"""What a merit after the first counts in a journey that was not opened."""

KEYS = 0.25
"""Share of the actions that open a type's journeys."""

Greedy = Callable[[Float32], Float]
"""(n, d + A) observations -> (n, A) scores; the valid action with the highest is taken."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the problem is: context dimensions d, actions A, decisions L, types K, people P."""

    width: int = 240
    actions: int = 32
    length: int = 3
    types: int = 4
    people: int = 4096


class Problem:
    """The answers, as a ``UserModel`` that journeys are played with.

    Args:
        size: how large.
        seed: of types, merits and keys; equal seeds give equal problems.
    """

    def __init__(self, size: Size, seed: int) -> None:
        self.size = size
        rng = np.random.default_rng([seed, 0])
        shape = (size.types, size.length, size.actions)
        self.merit: Float = rng.random(shape) ** 4
        best = rng.integers(1, size.actions, size=shape[:2])
        np.put_along_axis(self.merit, best[:, :, None], 1.0, axis=2)
        self.merit[:, :, 0] = 0.0
        keys = rng.permuted(np.tile(np.arange(size.actions), (size.types, 1)), axis=1)
        self.key: Bool = keys < max(1, round(KEYS * size.actions))
        self.merit[:, 0][self.key] = 0.0
        self._head = size.length + 2  # one dimension a decision, then: opened, earned so far
        signs = rng.choice([-0.5, 0.5], size=(size.types, size.width - self._head))
        self.signs: Float32 = signs.astype(np.float32)

    @property
    def release_id(self) -> str:
        return "bench-ppo"

    @property
    def parameters(self) -> int:
        return int(self.merit.size + self.key.size + self.signs.size)

    def people(self, seed: int, count: int | None = None) -> ProfileBatch:
        """People at the start of a journey; three tenths of the actions are not valid for each."""
        size = self.size
        rng = np.random.default_rng([seed, 1])
        n = count or size.people
        kind = rng.integers(size.types, size=n)
        context = np.zeros((n, size.width), dtype=np.float32)
        context[:, 0] = 1.0
        scatter = rng.uniform(-0.5, 0.5, size=(n, size.width - self._head))
        context[:, self._head :] = self.signs[kind] + scatter
        mask = rng.random((n, size.actions)) < 0.7
        mask[:, 0] = True
        return ProfileBatch(context, mask, np.ones(n), "bench-ppo", "bench-ppo-people")

    def source(self, seed: int) -> JourneySource:
        """What journeys are played from: the problem ends each at its length, nothing cuts it."""
        return JourneySource(self, self.people(seed), self.size.length + 1)

    def kind(self, context: Float32) -> Int:
        """(n,) types of (n, d) contexts."""
        kinds: Int = (context[:, self._head :] @ self.signs.T).argmax(axis=1)
        return kinds

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        """What n decisions lead to; nothing is random."""
        kind, decision = self.kind(resting), context[:, : self.size.length].argmax(axis=1)
        opened, earned = context[:, self._head - 2] > 0.5, context[:, self._head - 1]
        counts = np.where(opened | (decision == 0), 1.0, CLOSED) / self.size.length
        earned = earned + self.merit[kind, decision, action] * counts
        ended = decision == self.size.length - 1
        following = context.copy()
        rows = np.arange(len(action))
        following[rows, decision] = 0.0
        following[rows, np.minimum(decision + 1, self.size.length - 1)] = 1.0
        following[:, self._head - 2] = opened | ((decision == 0) & self.key[kind, action])
        following[:, self._head - 1] = earned
        reward = np.where(ended, earned, 0.0)
        return Responses(reward[:, None], reward, following, ended)

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n,) reward of a decision: all but a journey's last earn nothing at once."""
        return self.respond(context, context, action, np.random.default_rng(0)).reward

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        return self.expected_reward(context, action, slate)[:, None]

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return (self.expected_reward(context, action, slate) > 0.0).astype(np.float64)

    def end_chance(self, context: Float32, action: Int) -> Float:
        ended = context[:, : self.size.length].argmax(axis=1) == self.size.length - 1
        chance: Float = ended.astype(np.float64)
        return chance


def best_return(problem: Problem, people: ProfileBatch) -> Float:
    """(P,) the best that can be earned for each person.

    Merits add up and change nothing but through the key, so it is the better of two journeys: one that
    opens, one that does not, both with the best valid action at every other decision.
    """
    kind = problem.kind(people.context)
    merit = np.where(people.mask[:, None, :], problem.merit[kind], -np.inf).max(axis=2)
    later = merit[:, 1:].sum(axis=1)
    can_open = (people.mask & problem.key[kind]).any(axis=1)
    opened = np.where(can_open, later, -np.inf)
    best: Float = np.maximum(opened, merit[:, 0] + CLOSED * later) / problem.size.length
    return best


def brute_force_return(problem: Problem, people: ProfileBatch) -> Float:
    """(P,) the best over every sequence of valid actions; for small problems."""
    best = np.full(len(people), -np.inf)
    rows = np.arange(len(people))
    for sequence in product(range(problem.size.actions), repeat=problem.size.length):
        valid = people.mask[rows[:, None], np.array(sequence)[None, :]].all(axis=1)
        earned = played(problem, people, [np.full(len(people), a) for a in sequence])
        best = np.where(valid, np.maximum(best, earned), best)
    return best


def played(problem: Problem, people: ProfileBatch, actions: list[Int]) -> Float:
    """(P,) returns of one given action a decision for each person."""
    context, earned, rng = people.context, np.zeros(len(people)), np.random.default_rng(0)
    for action in actions:
        responses = problem.respond(people.context, context, action, rng)
        context, earned = responses.context, earned + responses.reward
    return earned


class Evaluation:
    """Share of the best return that a policy earns greedily on people that nobody trains on."""

    def __init__(self, problem: Problem, seed: int, people: int = 512) -> None:
        self._problem = problem
        self._people = problem.people(seed + 1_000_003, people)
        self._best = float(best_return(problem, self._people).mean())

    def share(self, greedy: Greedy) -> float:
        """Mean return over the people, as a share of the best."""
        people, rng = self._people, np.random.default_rng(0)
        context, earned = people.context, np.zeros(len(people))
        mask: Bool = people.mask
        for _ in range(self._problem.size.length):
            observation = np.hstack([context, mask.astype(np.float32)])
            action = np.where(mask, greedy(observation), -np.inf).argmax(axis=1)
            responses = self._problem.respond(people.context, context, action, rng)
            context, earned = responses.context, earned + responses.reward
        return float(earned.mean()) / self._best
