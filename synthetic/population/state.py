"""The hidden state: four moods of three levels, which kinds of action one is tired of, time of day.

What is carried from decision to decision is ``z`` = (moods, tired), 81 * 8 = 648 states per type;
the part of the day is drawn anew at each visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from synthetic.population.archetypes import PARTS, TYPES
from synthetic.population.catalogue import KINDS

MOODS: Final = ("tension", "loneliness", "energy", "overload")
LEVELS: Final = 3
MOOD_STATES: Final = LEVELS ** len(MOODS)
TIRED_STATES: Final = 2 ** len(KINDS)
CARRIED: Final = MOOD_STATES * TIRED_STATES

_MOOD_PLACE = LEVELS ** np.arange(len(MOODS) - 1, -1, -1)
_TIRED_PLACE = 2 ** np.arange(len(KINDS) - 1, -1, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """The hidden state of n people who come.

    Attributes:
        kind: (n,) hidden type, 0..47.
        mood: (n, 4) level of each mood, 0 low, 1 middle, 2 high.
        tired: (n, 3) of which kinds of action the person has had too much.
        part: (n,) part of the day, 0..3.
    """

    kind: Int
    mood: Int
    tired: Bool
    part: Int

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def carried(self) -> Int:
        """(n,) z in 0..647."""
        return np.asarray(
            self.mood @ _MOOD_PLACE * TIRED_STATES + self.tired @ _TIRED_PLACE, dtype=np.int64
        )

    @property
    def feeling(self) -> Float:
        """(n, 4) moods as -1, 0 or 1."""
        return np.asarray(self.mood - 1.0)

    def where(self, rows: Bool | Int) -> Hidden:
        return Hidden(self.kind[rows], self.mood[rows], self.tired[rows], self.part[rows])


def mood_states() -> Int:
    """(81, 4) levels of every mood state, in the order of z."""
    return np.asarray(np.arange(MOOD_STATES)[:, None] // _MOOD_PLACE % LEVELS)


def tired_states() -> Bool:
    """(8, 3) every tiredness, in the order of z."""
    return np.asarray(np.arange(TIRED_STATES)[:, None] // _TIRED_PLACE % 2 == 1)


def all_states(kinds: Int) -> Hidden:
    """Every state of the given types as rows, ordered (type, z, part)."""
    grid = np.meshgrid(kinds, np.arange(CARRIED), np.arange(len(PARTS)), indexing="ij")
    kind, z, part = (np.asarray(axis.ravel(), dtype=np.int64) for axis in grid)
    return Hidden(kind, mood_states()[z // TIRED_STATES], tired_states()[z % TIRED_STATES], part)


SHAPE: Final = (TYPES, CARRIED, len(PARTS))
"""Shape of a table over all hidden states."""
