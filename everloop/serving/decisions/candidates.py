"""Whom a question lets a pairing suggest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from rl.slates import enough_people


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """K people with their descriptors, in the order that the product named them.

    Attributes:
        user_ids: K pseudonyms, each once.
        descriptors: (K, Z) within [-1, 1], in the order of ``CandidateSpec.descriptors``.

    Raises:
        ShouldFixArgument: somebody is named twice, or the descriptors are not theirs.
    """

    user_ids: tuple[str, ...]
    descriptors: Float

    def __post_init__(self) -> None:
        if len(set(self.user_ids)) != len(self.user_ids):
            raise ShouldFixArgument("A candidate is named twice.", "Name each person once.")
        shape = self.descriptors.shape
        if (
            len(shape) != 2
            or shape[0] != len(self.user_ids)
            or not (np.abs(self.descriptors) <= 1).all()
        ):
            raise ShouldFixArgument(
                f"Descriptors of shape {shape} are not ({len(self.user_ids)}, Z) within [-1, 1]."
            )

    def __len__(self) -> int:
        return len(self.user_ids)

    def written(self, picked: Sequence[int]) -> tuple[list[str], list[list[float]]]:
        """Pseudonyms and descriptors of some of them, as a record holds them."""
        chosen = list(picked)
        return [self.user_ids[index] for index in chosen], self.descriptors[chosen].tolist()


def fillable(spec: LoopSpec, mask: Bool, candidates: Candidates) -> Bool:
    """(A,) what of a mask is left without the pairings of more people than there are candidates.

    Raises:
        ShouldFixArgument: nothing is.
    """
    left: Bool = mask & enough_people(spec, len(candidates))
    if not left.any():
        valid = ", ".join(spec.action_ids[index] for index in np.flatnonzero(mask))
        raise ShouldFixArgument(
            f"{len(candidates)} candidates may be suggested, too few for what is valid ({valid}).",
            "Name more candidates, or keep an action such as no_action valid.",
        )
    return left
