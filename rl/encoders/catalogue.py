"""The action catalogue as numbers: what each action is, in public features that a policy can read.

A policy that scores features can score an action that it never saw. Features are declarations of the
loop specification, so they cost no privacy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ActionSpec, LoopSpec

KINDS = tuple(ActionKind)
MOST_PEOPLE = 20
"""Most people that a pairing suggests at once; what ``people`` is divided by."""


@dataclass(frozen=True, slots=True, eq=False)
class PaddedCatalogue:
    """A catalogue with room for C actions.

    ``features`` (C, F) float32, 0 behind the last action; ``mask`` (C,) True where there is an action.
    """

    features: Float32
    mask: Bool


class ActionCatalogue:
    """A actions in a fixed order, each with F = 4 + 1 + declared features, all within [-1, 1].

    A row is the one-hot kind, people / 20 (0 for what is no pairing), then the features that the action
    declares in the order of ``spec.action_features``.

    Args:
        spec: the loop; names the features.
        actions: the actions; ``None``: the loop's own. Others let a policy score what is new.

    Attributes:
        ids: (A) action ids.
        kinds: (A,) position of each action's kind in ``KINDS``.
        features: (A, F) float32.
        names: (F) what the columns mean.

    Raises:
        ShouldFixArgument: no action, an id that occurs twice, or another number of features.
    """

    def __init__(self, spec: LoopSpec, actions: Sequence[ActionSpec] | None = None) -> None:
        listed = tuple(spec.actions if actions is None else actions)
        _require_coherent(listed, len(spec.action_features))
        self.ids: tuple[str, ...] = tuple(action.id for action in listed)
        self.kinds: Int = np.array([KINDS.index(action.kind) for action in listed], dtype=np.int64)
        self.names: tuple[str, ...] = (
            *(f"kind:{kind.value}" for kind in KINDS),
            "people",
            *spec.action_features,
        )
        people = np.array([(action.people or 0) / MOST_PEOPLE for action in listed])
        declared = np.array([action.features for action in listed]).reshape(len(listed), -1)
        rows = np.concatenate([np.eye(len(KINDS))[self.kinds], people[:, None], declared], axis=1)
        self.features: Float32 = rows.astype(np.float32)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """F, numbers that describe an action."""
        return len(self.names)

    @property
    def version(self) -> str:
        """``catalogue-<16 hexadecimal digits>``: another order, id, kind or feature is another one."""
        told = [self.ids, self.names, self.features.astype(float).tolist()]
        digest = hashlib.sha256(json.dumps(told, separators=(",", ":")).encode())
        return f"catalogue-{digest.hexdigest()[:16]}"

    def position(self, action: str) -> int:
        """Row of an action; ``ShouldFixArgument`` names one that is not in the catalogue."""
        try:
            return self.ids.index(action)
        except ValueError:
            raise ShouldFixArgument(
                f"Action {action!r} is not in the catalogue ({', '.join(self.ids):.200}).",
                "Declare it in the loop specification, or describe it by its features.",
            ) from None

    def positions(self, actions: Sequence[str]) -> Int:
        """(n,) rows of n actions; see ``position``."""
        return np.array([self.position(action) for action in actions], dtype=np.int64)

    def padded(self, capacity: int) -> PaddedCatalogue:
        """The catalogue with room for ``capacity`` actions, so that its arrays need not grow with it.

        Raises:
            ShouldFixArgument: there are more actions than that.
        """
        if capacity < len(self):
            raise ShouldFixArgument(
                f"A catalogue of {len(self)} actions does not fit a capacity of {capacity}."
            )
        features = np.zeros((capacity, self.width), dtype=np.float32)
        features[: len(self)] = self.features
        return PaddedCatalogue(features, np.arange(capacity) < len(self))


def _require_coherent(actions: Sequence[ActionSpec], declared: int) -> None:
    if not actions:
        raise ShouldFixArgument("A catalogue without any action decides nothing.")
    seen: set[str] = set()
    for action in actions:
        if action.id in seen:
            raise ShouldFixArgument(f"Action {action.id!r} is in the catalogue twice.")
        seen.add(action.id)
        if len(action.features) != declared:
            raise ShouldFixArgument(
                f"Action {action.id!r} has {len(action.features)} features, but the loop declares "
                f"{declared}.",
                "Give one number for each name in action_features.",
            )
