"""What learners see of synthetic people: decisions sampled in journeys, and expected rewards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.policy_learning import LearningTask
from everloop.contracts.simulation import UncertainUserModel
from rl.belief import believed, doing_nothing, doubt, knows_its_error, one_each
from rl.environment.journeys import JourneyBatch, JourneySource

JOURNEYS = 512
"""Journeys that are played side by side."""
_ROWS = 8192
_ROUNDING = 1e-5

Chooser = Callable[[Float32, Bool], Float]
"""Contexts (N, d) and masks (N, A) -> probabilities (N, A)."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """n simulated decisions: ``context`` (n, d), ``mask`` (n, A), ``action`` (n,), ``reward`` (n,)."""

    context: Float32
    mask: Bool
    action: Int
    reward: Float

    def __len__(self) -> int:
        return len(self.action)


def source_of(task: LearningTask) -> JourneySource:
    """The task's people and their responses, once it is known that they belong to its loop.

    Responses come with the doubt that the loop asks for, see ``rl.belief``: PPO learns from the same.

    Raises:
        ShouldFixArgument: profiles of another encoder, catalogue or width, or a negative seed.
    """
    if task.seed < 0:
        raise ShouldFixArgument(f"seed={task.seed} is negative.", "Give a whole number >= 0.")
    model = believed(task.model, task.spec, task.seed)
    return JourneySource.belonging(task.spec, model, task.profiles)


def uniform(context: Float32, mask: Bool) -> Float:  # noqa: ARG001  a Chooser's
    """Every valid action alike."""
    return np.asarray(mask / mask.sum(axis=1, keepdims=True))


def play(source: JourneySource, choose: Chooser, count: int, seed: int) -> Decisions:
    """At least ``count`` decisions of a policy in journeys of synthetic people, seeded.

    Raises:
        ShouldRestoreArtefact: the user model answered NaN or a value out of range.
    """
    rng = np.random.default_rng([seed, count])
    batch, width = JourneyBatch(source, JOURNEYS), source.width
    observation = batch.reset(rng)
    played: list[tuple[Float32, Bool, Int, Float]] = []
    for _ in range(-(-count // JOURNEYS)):
        context, mask = observation[:, :width], observation[:, width:] > 0.5
        action = drawn(choose(context, mask), rng)
        played.append((context, mask, action, batch.step(action).reward))
        observation = batch.observation
    context, mask, action, reward = (np.concatenate([step[i] for step in played]) for i in range(4))
    return Decisions(context, mask, action, reward)


def drawn(probability: Float, rng: np.random.Generator) -> Int:
    """(N,) actions drawn from rows that sum to 1; one of probability 0 is never drawn."""
    cumulative = np.cumsum(probability, axis=1)
    threshold = rng.random(len(probability)) * cumulative[:, -1]
    return np.asarray((cumulative <= threshold[:, None]).sum(axis=1), dtype=np.int64)


def expected_rewards(task: LearningTask, context: Float32) -> Float:
    """(n, A) expected one-step reward of every action, less the loop's pessimism.

    ``training.pessimism`` standard errors of what an action earns above doing nothing are taken off where
    the user model knows them (``UncertainUserModel``), as ``rl.belief`` does.

    Raises:
        ShouldRestoreArtefact: the user model answered NaN or left [-1, 1].
    """
    actions = len(task.spec.actions)
    return np.stack(
        [cautious(task, context, np.full(len(context), a, dtype=np.int64)) for a in range(actions)],
        axis=1,
    )


def cautious(task: LearningTask, context: Float32, action: Int) -> Float:
    """(n,) expected reward of one action each, less the loop's pessimism, at least -1 as simulated."""
    parts = []
    for start in range(0, len(context), _ROWS):
        rows = slice(start, start + _ROWS)
        part = task.model.expected_reward(context[rows], action[rows])
        one_each(part, len(action[rows]), task.model.release_id, "rewards")
        parts.append(part)
    expected = np.concatenate([np.zeros(0), *parts])
    if not (np.abs(expected) <= 1.0 + _ROUNDING).all():
        raise ShouldRestoreArtefact(
            f"User model {task.model.release_id} expects a reward that is not a number within "
            "[-1, 1].",
            "Fit the user model again.",
        )
    return np.clip(expected - penalty(task, context, action), -1.0, 1.0)


def penalty(task: LearningTask, context: Float32, action: Int) -> Float:
    """(n,) what ``training.pessimism`` takes off a reward; 0 where the user model knows no doubt.

    Raises:
        ShouldRestoreArtefact: a standard error that ``rl.belief.doubt`` refuses.
    """
    pessimism = task.spec.training.pessimism
    if pessimism == 0.0 or not knows_its_error(task.model):
        return np.zeros(len(action))
    model, reference = cast("UncertainUserModel", task.model), doing_nothing(task.spec)
    parts = [
        doubt(model, context[rows], action[rows], reference)
        for rows in (slice(start, start + _ROWS) for start in range(0, len(context), _ROWS))
    ]
    return pessimism * np.concatenate([np.zeros(0), *parts])
