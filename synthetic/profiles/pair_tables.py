"""2-way tables of pairs of variables: counted per person, and laid out as one symmetric matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from synthetic.profiles.mixture import starts_of


@dataclass(frozen=True, slots=True)
class PairLayout:
    """Which pairs (i < j) of V variables with ``cards`` bins have a table; cells lie pair after pair,
    row-major in (bin of i, bin of j)."""

    cards: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for i, j in self.pairs:
            if not 0 <= i < j < len(self.cards):
                raise ShouldFixArgument(f"({i}, {j}) is no pair of {len(self.cards)} variables.")
        if len(set(self.pairs)) != len(self.pairs):
            raise ShouldFixArgument("A pair of variables is listed twice.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells of each table."""
        return tuple(self.cards[i] * self.cards[j] for i, j in self.pairs)

    @property
    def cells(self) -> int:
        return sum(self.sizes)

    @property
    def measured(self) -> Bool:
        """(V, V) True where a pair has a table, symmetric."""
        found = np.zeros((len(self.cards), len(self.cards)), dtype=np.bool_)
        for i, j in self.pairs:
            found[i, j] = found[j, i] = True
        return found

    def tables(self, cells: Float) -> tuple[Float, ...]:
        """One (bins of i, bins of j) table per pair, from (cells,)."""
        ends = np.cumsum(self.sizes)
        return tuple(
            cells[end - size : end].reshape(self.cards[i], self.cards[j])
            for (i, j), size, end in zip(self.pairs, self.sizes, ends, strict=True)
        )

    def matrix(self, cells: Float) -> Float:
        """(G, G) the tables in one symmetric matrix over all bins; 0 where not measured."""
        starts, bins = starts_of(self.cards), sum(self.cards)
        joint = np.zeros((bins, bins))
        for (i, j), table in zip(self.pairs, self.tables(cells), strict=True):
            a, b = (
                slice(starts[i], starts[i] + self.cards[i]),
                slice(starts[j], starts[j] + self.cards[j]),
            )
            joint[a, b] = table
            joint[b, a] = table.T
        return joint


def every_pair(variables: int) -> tuple[tuple[int, int], ...]:
    """All pairs (i < j)."""
    return tuple((i, j) for i in range(variables) for j in range(i + 1, variables))


def pair_counts(layout: PairLayout, codes: Int, owner: Int, weight: Float, owners: int) -> Float:
    """(owners, cells) weighted counts; ``codes`` (n, V) bins, ``owner`` and ``weight`` (n,).

    An owner whose weights sum to 1 counts at most 1 within each table.
    """
    counts = np.zeros((owners, layout.cells))
    start = 0
    for (i, j), size in zip(layout.pairs, layout.sizes, strict=True):
        cell = codes[:, i] * layout.cards[j] + codes[:, j]
        flat = np.bincount(owner * size + cell, weights=weight, minlength=owners * size)
        counts[:, start : start + size] = flat.reshape(owners, size)
        start += size
    return counts
