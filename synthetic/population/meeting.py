"""Whom a pairing brings: people drawn from those present, with the probability of each draw.

The first is drawn evenly from the P people who have connections; each further one lies 1 to L - 1 places
behind the one before, L = max(2, P div 4), evenly. Whoever would meet themselves meets the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from synthetic.population.catalogue import MOST_PARTNERS


@dataclass(frozen=True, slots=True, eq=False)
class Meetings:
    """Whom n people would meet.

    Attributes:
        met: (n, 3) rows of the people. chance: (n, 3) probability of the first k + 1 in this order.
    """

    met: Int
    chance: Float


def meet(rows: Int, pool: Int, rng: np.random.Generator) -> Meetings:
    """Draw for the people of ``rows`` from ``pool`` (P,), ascending rows; from themselves if it is
    empty."""
    n, size = len(rows), len(pool)
    if not size:
        return Meetings(
            np.repeat(rows[:, None], MOST_PARTNERS, axis=1), np.ones((n, MOST_PARTNERS))
        )
    reach = max(2, size // (MOST_PARTNERS + 1)) - 1
    place = np.searchsorted(pool, rows)
    inside = pool[np.minimum(place, size - 1)] == rows
    spot = rng.integers(0, size, n)
    met = np.empty((n, MOST_PARTNERS), dtype=np.int64)
    chance = np.ones((n, MOST_PARTNERS))
    for turn in range(MOST_PARTNERS):
        before = spot
        if turn:
            spot = spot + rng.integers(1, reach + 1, n)
        spot = spot + (inside & (spot % size == place))
        # Two draws lead to the one behind oneself: that one, and oneself.
        behind = inside & (spot % size == (place + 1) % size)
        if turn:
            ways = _within(spot - before, size, reach) + (
                behind & _within(place - before, size, reach)
            )
            likely = ways / reach
        else:
            likely = (1 + behind) / size
        met[:, turn] = pool[spot % size]
        chance[:, turn] = likely if size > 1 else 1.0
    return Meetings(met, np.asarray(chance.cumprod(axis=1), dtype=np.float64))


def _within(ahead: Int, size: int, reach: int) -> Int:
    """(n,) how many of 1..reach are ``ahead`` modulo the size, at most one being so."""
    distance = ahead % size
    return ((distance >= 1) & (distance <= reach)).astype(np.int64)
