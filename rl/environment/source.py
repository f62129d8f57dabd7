"""Whom journeys are about and under which rules, checked before anybody is played."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from everloop.contracts.datasets import Float, Float32
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.simulation import ProfileBatch, UserModel
from rl.constraints.rules import Constraints, constraints_of
from rl.encoders.context import layout
from rl.environment.clock import Arrivals

_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class JourneySource:
    """Who journeys are about, how they respond, for how many decisions at most, and what is never done.

    ``rules``: constraints that masks obey beside the profiles' own; ``None``: there are none.
    ``arrivals``: when decisions come, for limits by day and cool-downs.

    Raises:
        ShouldFixArgument: profiles that nobody could be sampled from or decided for.
    """

    model: UserModel
    profiles: ProfileBatch
    length: int
    rules: Constraints | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)

    @classmethod
    def of(cls, spec: LoopSpec, model: UserModel, profiles: ProfileBatch) -> JourneySource:
        """Journeys under a loop's constraints, at its public pace."""
        return cls(
            model,
            profiles,
            spec.training.journey_length,
            constraints_of(spec),
            Arrivals.of(spec.journeys),
        )

    @classmethod
    def belonging(cls, spec: LoopSpec, model: UserModel, profiles: ProfileBatch) -> JourneySource:
        """As ``of``, once it is known that the people belong to the loop.

        Raises:
            ShouldFixArgument: profiles of another encoder, catalogue or width.
        """
        own = layout(spec)
        if profiles.encoder != own.encoder:
            raise ShouldFixArgument(
                f"The profiles' encoder is {profiles.encoder}, but loop {spec.name!r} has "
                f"{own.encoder}.",
                "Encode, fit and generate again under this specification.",
            )
        source = cls.of(spec, model, profiles)
        if (source.width, source.actions) != (own.width, len(spec.actions)):
            raise ShouldFixArgument(
                f"Profiles have {source.width} dimensions and {source.actions} actions; the loop has "
                f"{own.width} and {len(spec.actions)}.",
                "Generate profiles for this loop.",
            )
        return source

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
        if not bounded(people.context):
            raise ShouldFixArgument(f"Profiles {people.release_id}: a context leaves [-1, 1].")
        undecidable = ~people.mask.any(axis=1)
        if undecidable.any():
            raise ShouldFixArgument(
                f"Profile {int(np.argmax(undecidable))} of {people.release_id} has no valid action.",
                "Keep an action such as no_action valid for everyone.",
            )
        self._require_harmless_actions()
        weight = people.weight
        if not (np.isfinite(weight).all() and (weight >= 0.0).all() and weight.sum() > 0.0):
            raise ShouldFixArgument(
                f"Profiles {people.release_id}: sampling weights must be finite, at least 0, and "
                "not all 0."
            )

    def _require_harmless_actions(self) -> None:
        """Whatever a person met, something must be left where they rest."""
        if self.rules is None or not self.rules.any:
            return
        people, own = self.profiles, (self.width, self.actions)
        if own != (self.rules.width, self.rules.actions):
            raise ShouldFixArgument(
                f"Profiles {people.release_id} have {own[0]} dimensions and {own[1]} actions; the "
                f"constraints are on {self.rules.width} and {self.rules.actions}.",
                "Generate profiles for this loop.",
            )
        left = self.rules.allowed(people.mask, people.context).any(axis=1)
        if not left.all():
            row = int(np.argmin(left))
            raise self.rules.nothing_left(f"Profile {row} of {people.release_id}", people.mask[row])

    @property
    def width(self) -> int:
        """d, context dimensions."""
        return int(self.profiles.context.shape[1])

    @property
    def actions(self) -> int:
        """A, size of the catalogue."""
        return int(self.profiles.mask.shape[1])


def bounded(values: Float | Float32) -> bool:
    """Whether all lie within [-1, 1]; a comparison with NaN is false."""
    within = 1.0 + _ROUNDING
    return not values.size or bool(values.max() <= within and values.min() >= -within)
