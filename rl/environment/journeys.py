"""Batched journeys: N synthetic people at a time, each answering decision after decision.

A decision's reward is the loop's reward of that decision: the weighted mean of the signals that belong to
it, however late they come within the feedback window, as in the logs. So signals' latencies ask nothing
of credit assignment; what a decision does to later ones, through the context that follows it, is what
advantages carry back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.simulation import Responses
from rl.environment.guard import Guard
from rl.environment.source import JourneySource, bounded

__all__ = ["JourneyBatch", "JourneySource", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one decision led to, for each of N journeys.

    Attributes:
        reward: (N,) in [-1, 1], the loop's reward of the decision; see the module.
        terminated: (N,) the person ended the journey; nothing follows.
        truncated: (N,) the length limit cut it; its value goes on.
        following: (N, d + A) observation that followed the decision, before any reset.
    """

    reward: Float
    terminated: Bool
    truncated: Bool
    following: Float32

    @property
    def done(self) -> Bool:
        return self.terminated | self.truncated


class JourneyBatch:
    """N concurrent journeys. A journey that is done starts anew with another person at once.

    Deterministic: people, responses and, where the loop limits anything, times are drawn from the generator
    given to ``reset``; asking for observations or masks draws nothing.

    Args:
        source: people and their responses.
        size: N.
    """

    def __init__(self, source: JourneySource, size: int) -> None:
        if size < 1:
            raise ShouldFixArgument(f"size={size} is not a number of journeys.")
        self.source = source
        self.size = size
        weight = source.profiles.weight.astype(np.float64)
        self._cumulative = np.cumsum(weight / weight.sum())
        self._rows = np.arange(size)
        self._rng: np.random.Generator | None = None
        self._person: Int = np.zeros(size, dtype=np.int64)
        self._age: Int = np.zeros(size, dtype=np.int64)
        self._observation: Float32 = np.zeros((size, source.width + source.actions), np.float32)
        self._valid: Bool = np.zeros((size, source.actions), dtype=np.bool_)
        rules = source.rules
        self._guard: Guard | None = None
        if rules is not None and rules.any:
            self._guard = Guard(rules, source.arrivals, size, source.profiles.release_id)

    def reset(self, rng: np.random.Generator) -> Float32:
        """Start N journeys; their first observations (N, d + A)."""
        self._rng = rng
        self._start(np.ones(self.size, dtype=np.bool_), rng)
        return self._observation.copy()

    @property
    def observation(self) -> Float32:
        """(N, d + A) what the next decisions are made on: context within [-1, 1], mask of 0 and 1."""
        return self._observation.copy()

    @property
    def _context(self) -> Float32:
        return self._observation[:, : self.source.width]

    @property
    def mask(self) -> Bool:
        """(N, A) actions that are valid now: the profile's, less what constraints take away."""
        return self._observation[:, self.source.width :] > 0.5

    @property
    def now(self) -> Int | None:
        """(N,) when the next decisions are made, microseconds UTC; ``None`` where nothing depends on it."""
        return None if self._guard is None else self._guard.time()

    @property
    def person(self) -> Int:
        """(N,) row of the profile that each journey is about."""
        return self._person.copy()

    def step(self, action: Int) -> Step:
        """Make one decision in each journey; ``action`` (N,) indexes the catalogue.

        Raises:
            ShouldFixArgument: an action that is not valid for its person, or no ``reset`` before.
            ShouldRestoreArtefact: the user model answered NaN, infinity, a value out of range or an array
                of another shape.
        """
        if self._rng is None:
            raise ShouldFixArgument("Journeys have not started.", "Call reset first.")
        self._require_valid(action)
        responses = self.source.model.respond(
            self.source.profiles.context[self._person],
            self._context.copy(),
            action,
            self._rng,
        )
        self._check(responses)
        np.clip(responses.context, -1.0, 1.0, out=self._context)
        self._age += 1
        if self._guard is not None:
            self._guard.decided(action, self._rng)
            self._constrain(self._guard, slice(None))
        terminated = responses.ended
        step = Step(
            reward=np.asarray(responses.reward, dtype=np.float64),
            terminated=terminated,
            truncated=~terminated & (self._age >= self.source.length),
            following=self._observation.copy(),
        )
        self._start(step.done, self._rng)
        return step

    def _start(self, which: Bool, rng: np.random.Generator) -> None:
        count = int(which.sum())
        if count == 0:
            return
        drawn = np.searchsorted(self._cumulative, rng.random(count), side="right")
        person = np.minimum(drawn, len(self._cumulative) - 1)
        self._person[which] = person
        self._age[which] = 0
        profiles, width = self.source.profiles, self.source.width
        self._observation[which, :width] = profiles.context[person]
        self._observation[which, width:] = profiles.mask[person]
        if self._guard is not None:
            self._valid[which] = profiles.mask[person]
            self._guard.begin(which, rng)
            self._constrain(self._guard, np.flatnonzero(which))

    def _constrain(self, guard: Guard, rows: Int | slice) -> None:
        left = guard.mask(self._valid[rows], self._context[rows], self._person[rows], rows)
        self._observation[rows, self.source.width :] = left

    def _require_valid(self, action: Int) -> None:
        actions, place = self.source.actions, self.source.width + action
        if action.min() >= 0 and action.max() < actions:
            valid = self._observation[self._rows, place] > 0.5
            if valid.all():
                return
        else:
            valid = (action >= 0) & (action < actions)
        row = int(np.argmin(valid))
        raise ShouldFixArgument(
            f"Action {int(action[row])} is not valid for person {int(self._person[row])}.",
            "Choose among the actions that the mask allows.",
        )

    def _check(self, responses: Responses) -> None:
        self._require_shapes(responses)
        reward, context, ended = responses.reward, responses.context, responses.ended
        if not bounded(reward):
            raise self._broken("a reward that is not a number within [-1, 1]")
        if not bounded(context):
            raise self._broken("a context that is not a number within [-1, 1]")
        if ended.dtype != np.bool_:
            raise self._broken("an end that is neither true nor false")

    def _require_shapes(self, responses: Responses) -> None:
        one, signals = (self.size,), responses.signals.shape
        if len(signals) != 2 or signals[0] != self.size:
            raise self._broken(f"signals of shape {signals}, not ({self.size}, any)")
        shapes = [
            ("rewards", responses.reward.shape, one),
            ("contexts", responses.context.shape, self._context.shape),
            ("ends", responses.ended.shape, one),
        ]
        if responses.present is not None:
            shapes.append(("evidence", responses.present.shape, signals))
        for what, found, wanted in shapes:
            if found != wanted:
                raise self._broken(f"{what} of shape {found}, not {wanted}")

    def _broken(self, answer: str) -> ShouldRestoreArtefact:
        return ShouldRestoreArtefact(
            f"User model {self.source.model.release_id} answered {answer}.",
            "Fit the user model again.",
        )
