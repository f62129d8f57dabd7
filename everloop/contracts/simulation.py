"""What policy learning needs of the private side: people, and how they respond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from everloop.contracts.datasets import Bool, Float, Float32, Int


@dataclass(frozen=True, slots=True)
class ProfileBatch:
    """Synthetic people; every array is computed from private releases or public constants alone.

    Attributes:
        context: (P, d) float32, a person's resting context, within [-1, 1].
        mask: (P, A) actions that are valid for the person.
        weight: (P,) sampling weight in training; marked edge cases weigh less.
        encoder: version of the encoder that ``context`` belongs to.
        release_id: the private release that the people were drawn from.
        edge: (P,) True where a profile was made as an edge case; ``None``: nowhere.
        persona: (P, 512) persona vectors; ``None`` where none were released.
    """

    context: Float32
    mask: Bool
    weight: Float
    encoder: str
    release_id: str
    edge: Bool | None = None
    persona: Float32 | None = None

    def __len__(self) -> int:
        return len(self.context)


@dataclass(frozen=True, slots=True)
class Responses:
    """How n people respond to one decision each.

    Attributes:
        signals: (n, S) mean of each signal type, in [-1, 1].
        reward: (n,) aggregated by the loop's weights, in [-1, 1].
        context: (n, d) the next context, within [-1, 1].
        ended: (n,) True where the journey ends after this decision.
        present: (n, S) which types gave evidence that counts in the reward; ``None``: all of them.
    """

    signals: Float
    reward: Float
    context: Float32
    ended: Bool
    present: Bool | None = None


class UserModel(Protocol):
    """The learned simulator of how people respond.

    Constraints: every method is deterministic in its arguments (randomness comes from ``rng``) and
    reads nothing but the released parameters. ``slate`` (n, Z) holds the mean descriptors of the people
    whom a pairing suggests; ``None``: average people, whose descriptors are 0.
    """

    @property
    def release_id(self) -> str:
        """The private release whose output this model is."""

    @property
    def parameters(self) -> int:
        """Number of released parameters."""

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        """(n, S) expected mean of each signal type in [-1, 1] for (n, d) contexts, (n,) actions."""

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n,) expected reward in [-1, 1]."""

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        """(n,) probability that a decision is accepted: its reward reaches ``reward.success_at``."""

    def end_chance(self, context: Float32, action: Int) -> Float:
        """(n,) probability that the person's journey ends after the decision."""

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        """Sample responses; ``resting`` (n, d) is where each person's context returns to."""


class UncertainUserModel(UserModel, Protocol):
    """A user model that knows how far its parameters may be off, by its noise and by sampling.

    Constraints: as ``UserModel``'s; ``ShouldRestoreArtefact`` for a release that does not say.
    """

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[UserModel, ...]:
        """``count`` models drawn from what noise and sampling leave possible."""

    def reward_standard_error(
        self, context: Float32, action: Int, *, reference: int | None = None
    ) -> Float:
        """(n,) standard error of ``expected_reward``; with ``reference``, a position in the catalogue, of
        how much more is expected of an action than of that one: exactly 0 for that one itself."""
