"""Who people are: six archetypes on a plane of two traits, temperaments, and who gets on with whom.

A hidden type is (archetype, temperament, has connections, belongs to the answering group):

    type = archetype * 4 + temperament * 2 + connected + 24 * burdened,

and everything that a person does depends on the type and on the hidden state alone. ``burdened``
types respond like the others unless ``group_gap`` says otherwise.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int

ARCHETYPES: Final = ("explorer", "optimizer", "socializer", "achiever", "helper", "learner")
TRAITS: Final = ("sociability", "novelty")
TEMPERAMENTS: Final = ("steady", "sensitive")

_ANGLE = np.array([60.0, 180.0, 0.0, 120.0, -60.0, -120.0]) * np.pi / 180
PLANE: Final[Float] = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)
"""(6, 2) traits of each archetype: a hexagon of radius 1."""

SHARES: Final[Float] = np.array([0.17, 0.18, 0.2, 0.14, 0.14, 0.17])
"""(6,) of the people who arrive."""
SENSITIVE: Final[Float] = np.array([0.3, 0.45, 0.25, 0.5, 0.4, 0.3])
"""(6,) share of an archetype with the temperament "sensitive"."""
CONNECTED: Final[Float] = np.array([0.92, 0.8, 0.97, 0.88, 0.95, 0.84])
"""(6,) share of an archetype with at least one connection."""

COMPATIBILITY: Final[Float] = np.array(
    [
        # explorer optimizer socializer achiever helper learner
        [0.6, -0.5, 0.5, 0.2, -0.1, 0.5],
        [-0.5, 0.5, -0.7, 0.6, 0.2, 0.4],
        [0.5, -0.7, 0.8, -0.2, 0.6, -0.4],
        [0.2, 0.6, -0.2, -0.6, 0.5, -0.1],
        [-0.1, 0.2, 0.6, 0.5, 0.3, 0.9],
        [0.5, 0.4, -0.4, -0.1, 0.9, 0.2],
    ]
)
"""(6, 6) symmetric, in [-1, 1]: how well two archetypes get on."""

PARTS: Final = ("night", "morning", "afternoon", "evening")
HOURS_PER_PART: Final = 6
COMES: Final[Float] = np.array(
    [
        # night morning afternoon evening
        [0.10, 0.20, 0.35, 0.35],
        [0.04, 0.42, 0.34, 0.20],
        [0.08, 0.14, 0.30, 0.48],
        [0.06, 0.38, 0.28, 0.28],
        [0.04, 0.28, 0.38, 0.30],
        [0.10, 0.24, 0.24, 0.42],
    ]
)
"""(6, 4) when an archetype comes: the chance of each part of the day, drawn anew at each visit."""

UNBURDENED: Final = len(ARCHETYPES) * 4
TYPES: Final = UNBURDENED * 2
_TYPE = np.arange(TYPES)
ARCHETYPE_OF: Final[Int] = _TYPE % UNBURDENED // 4
SENSITIVE_OF: Final[Int] = _TYPE // 2 % 2
CONNECTED_OF: Final[Bool] = _TYPE % 2 == 1
BURDENED_OF: Final[Bool] = _TYPE >= UNBURDENED

AGE_GROUPS: Final = ("under_25", "25_to_44", "45_to_64", "over_64")
AGE_SHARES: Final[Float] = np.array([0.24, 0.32, 0.26, 0.18])
"""(4,) independent of the type: by default nothing differs between the groups."""


def type_of(archetype: Int, sensitive: Bool, connected: Bool, burdened: Bool) -> Int:
    """(n,) index of the hidden type."""
    return np.asarray(
        archetype * 4 + 2 * sensitive + connected + UNBURDENED * burdened, dtype=np.int64
    )
