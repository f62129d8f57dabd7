"""Batched journeys: N synthetic people at a time, each answering decision after decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.simulation import ProfileBatch, Responses, UserModel

_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class JourneySource:
    """Who journeys are about, how they respond, and for how many decisions at most.

    Raises:
        ShouldFixArgument: profiles that nobody could be sampled from or decided for.
    """

    model: UserModel
    profiles: ProfileBatch
    length: int

    def __post_init__(self) -> None:
        people, rows = self.profiles, len(self.profiles)
        if self.length < 1:
            raise ShouldFixArgument(f"length={self.length} leaves no decision in a journey.")
        if rows == 0 or people.context.ndim != 2 or people.mask.ndim != 2:
            raise ShouldFixArgument(
                f"Profiles {people.release_id}: there are {rows} people.", "Generate profiles."
            )
        if len(people.mask) != rows or len(people.weight) != rows:
            raise ShouldFixArgument(f"Profiles {people.release_id}: arrays of different lengths.")
        if not _bounded(people.context):
            raise ShouldFixArgument(f"Profiles {people.release_id}: a context leaves [-1, 1].")
        undecidable = ~people.mask.any(axis=1)
        if undecidable.any():
            raise ShouldFixArgument(
                f"Profile {int(np.argmax(undecidable))} of {people.release_id} has no valid action.",
                "Keep an action such as no_action valid for everyone.",
            )
        weight = people.weight
        if not (np.isfinite(weight).all() and (weight >= 0.0).all() and weight.sum() > 0.0):
            raise ShouldFixArgument(
                f"Profiles {people.release_id}: sampling weights must be finite, at least 0, and "
                "not all 0."
            )

    @property
    def width(self) -> int:
        """d, context dimensions."""
        return int(self.profiles.context.shape[1])

    @property
    def actions(self) -> int:
        """A, size of the catalogue."""
        return int(self.profiles.mask.shape[1])


@dataclass(frozen=True, slots=True)
class Step:
    """What one decision led to, for each of N journeys.

    Attributes:
        reward: (N,) in [-1, 1].
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

    Deterministic: people and responses are drawn from the generator given to ``reset``.

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
    def person(self) -> Int:
        """(N,) row of the profile that each journey is about."""
        return self._person.copy()

    def step(self, action: Int) -> Step:
        """Make one decision in each journey; ``action`` (N,) indexes the catalogue.

        Raises:
            ShouldFixArgument: an action that is not valid for its person, or no ``reset`` before.
            ShouldRestoreArtefact: the user model answered NaN, infinity or a value out of range.
        """
        if self._rng is None:
            raise ShouldFixArgument("Journeys have not started.", "Call reset first.")
        width = self.source.width
        self._require_valid(action)
        responses = self.source.model.respond(
            self.source.profiles.context[self._person],
            self._observation[:, :width].copy(),
            action,
            self._rng,
        )
        self._check(responses)
        self._observation[:, :width] = np.clip(responses.context, -1.0, 1.0)
        self._age += 1
        terminated = np.asarray(responses.ended, dtype=np.bool_)
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

    def _require_valid(self, action: Int) -> None:
        inside = (action >= 0) & (action < self.source.actions)
        valid = inside & (
            self._observation[self._rows, self.source.width + np.where(inside, action, 0)] > 0.5
        )
        if not valid.all():
            row = int(np.argmin(valid))
            raise ShouldFixArgument(
                f"Action {int(action[row])} is not valid for person {int(self._person[row])}.",
                "Choose among the actions that the mask allows.",
            )

    def _check(self, responses: Responses) -> None:
        for name in ("reward", "context"):
            if not _bounded(getattr(responses, name)):
                raise ShouldRestoreArtefact(
                    f"User model {self.source.model.release_id} answered a {name} that is not a "
                    "number within [-1, 1].",
                    "Fit the user model again.",
                )


def _bounded(values: Float | Float32) -> bool:
    """Whether all lie within [-1, 1]; a comparison with NaN is false."""
    return bool((np.abs(values) <= 1.0 + _ROUNDING).all())
