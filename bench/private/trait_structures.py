"""Made-up populations of ten categorical traits, the last of them a yes or no to be predicted.

Nothing of the generators was chosen on these structures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
TRAITS = 10


@dataclass(frozen=True, slots=True)
class Structure:
    """A population: ``draw(n, rng)`` gives (n, TRAITS) codes below ``cards``."""

    name: str
    cards: tuple[int, ...]
    draw: Callable[[int, np.random.Generator], Codes]


def tree(seed: int) -> Structure:
    """Each trait copies a random relabelling of one earlier trait or comes from a law of its own; the
    last depends on two traits together, beyond what each says alone."""
    rng = np.random.default_rng([31, seed])
    cards = _cards(rng)
    parents = [0, *(int(rng.integers(0, i)) for i in range(1, TRAITS))]
    own = [rng.dirichlet(np.full(card, 2.0)) for card in cards]
    copies = [rng.integers(0, cards[i], cards[parents[i]]) for i in range(TRAITS)]
    faithful = rng.uniform(0.35, 0.75, TRAITS)
    first, second = (int(i) for i in rng.choice(TRAITS - 1, 2, replace=False))
    pull = rng.normal(0.0, 1.2, cards[first])[:, None] + rng.normal(0.0, 1.2, cards[second])
    pull = pull + rng.normal(0.0, 1.0, pull.shape)

    def draw(n: int, of: np.random.Generator) -> Codes:
        codes = np.zeros((n, TRAITS), dtype=np.int64)
        for i in range(TRAITS - 1):
            fresh = of.choice(cards[i], n, p=own[i])
            copied = copies[i][codes[:, parents[i]]] if i else fresh
            codes[:, i] = np.where(of.random(n) < faithful[i], copied, fresh)
        return _answered(codes, pull[codes[:, first], codes[:, second]], of)

    return Structure("tree", cards, draw)


def classes(seed: int) -> Structure:
    """Five hidden classes shape every trait, neighbouring traits attract each other, and the last
    depends on the class and on two traits together."""
    rng = np.random.default_rng([32, seed])
    cards = _cards(rng)
    share = rng.dirichlet(np.full(5, 4.0))
    taste = [rng.normal(0.0, 1.1, (5, card)) for card in cards]
    attraction = [rng.normal(0.0, 0.7, (cards[i - 1], cards[i])) for i in range(1, TRAITS)]
    first, second = (int(i) for i in rng.choice(TRAITS - 1, 2, replace=False))
    pull = rng.normal(0.0, 1.0, (cards[first], cards[second]))
    base = rng.normal(0.0, 1.5, 5)

    def draw(n: int, of: np.random.Generator) -> Codes:
        hidden = of.choice(5, n, p=share)
        codes = np.zeros((n, TRAITS), dtype=np.int64)
        for i in range(TRAITS - 1):
            score = taste[i][hidden]
            if i:
                score = score + attraction[i - 1][codes[:, i - 1]]
            codes[:, i] = (score + of.gumbel(size=score.shape)).argmax(axis=1)
        return _answered(codes, base[hidden] + pull[codes[:, first], codes[:, second]], of)

    return Structure("classes", cards, draw)


STRUCTURES = (tree, classes)


def _cards(rng: np.random.Generator) -> tuple[int, ...]:
    return (*(int(card) for card in rng.integers(3, 7, TRAITS - 1)), 2)


def _answered(codes: Codes, pull: NDArray[np.float64], rng: np.random.Generator) -> Codes:
    codes[:, -1] = rng.random(len(codes)) < 1.0 / (1.0 + np.exp(-pull))
    return codes
