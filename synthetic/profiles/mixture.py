"""A mixture of product distributions over categorical variables: what joint traits are drawn from.

P(x) = sum_k w_k prod_v p_k,v(x_v). Enough components can be any distribution; its 1-way and 2-way
tables, and draws, cost time linear in the components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """K components over V variables with B bins in all.

    Attributes:
        weights: (K,) probability of each component.
        bins: (K, B) probability of each bin within its variable and component.
        cards: (V,) bins of each variable.
    """

    weights: Float
    bins: Float
    cards: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = self.bins.shape == (len(self.weights), sum(self.cards))
        sums = np.add.reduceat(self.bins, starts_of(self.cards), axis=1) if fits else np.zeros(1)
        proper = fits and (self.bins >= 0.0).all() and (self.weights >= 0.0).all()
        if not (proper and np.abs(sums - 1.0).max() < _TOLERANCE):
            raise ShouldFixArgument(
                f"A mixture of {len(self.weights)} components over {self.cards} has bins of shape "
                f"{self.bins.shape} that are not probabilities within each variable."
            )
        if not abs(float(self.weights.sum()) - 1.0) < _TOLERANCE:
            raise ShouldFixArgument(f"Mixture weights sum to {self.weights.sum():g}, not 1.")

    @property
    def shares(self) -> Float:
        """(B,) probability of each bin within its variable."""
        return np.asarray(self.weights @ self.bins, dtype=np.float64)

    @property
    def joint(self) -> Float:
        """(B, B) probability of two bins together; within one variable's block it means nothing."""
        return np.asarray(self.bins.T @ (self.weights[:, None] * self.bins), dtype=np.float64)

    def draw(self, count: int, rng: np.random.Generator) -> Int:
        """(count, V) bins of independent variables' own numbering, rows in random order.

        Components get their shares of the rows, and within a component each bin its share, to within
        one row (systematic sampling): tables of the draws scatter less than those of independent rows,
        and every row has the mixture's distribution.
        """
        edges = np.cumsum(self.weights)
        component = np.searchsorted(edges, (np.arange(count) + rng.random()) / max(1, count))
        component = np.minimum(component, len(edges) - 1)
        sizes = np.bincount(component, minlength=len(edges))
        place = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        drawn = np.empty((count, len(self.cards)), dtype=np.int64)
        for v, (start, card) in enumerate(zip(starts_of(self.cards), self.cards, strict=True)):
            upper = np.cumsum(self.bins[:, start : start + card], axis=1)[component]
            order = rng.permutation(count)
            order = order[np.argsort(component[order], kind="stable")]
            level = np.empty(count)
            level[order] = (place + rng.random(count)) / np.repeat(sizes, sizes)
            drawn[:, v] = np.minimum((level[:, None] > upper).sum(axis=1), card - 1)
        return drawn[rng.permutation(count)]


def starts_of(cards: tuple[int, ...]) -> Int:
    """(V,) first bin of each variable among all."""
    return np.concatenate([[0], np.cumsum(cards)[:-1]]).astype(np.int64)


def independent(shares: Float, cards: tuple[int, ...]) -> Mixture:
    """The mixture of one component: variables that know nothing of each other."""
    return Mixture(np.ones(1), shares[None].copy(), cards)
