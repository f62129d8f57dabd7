"""Who arrives: shares of archetypes, temperaments, connections and age groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import (
    AGE_GROUPS,
    AGE_SHARES,
    ARCHETYPE_OF,
    ARCHETYPES,
    BURDENED_OF,
    CONNECTED,
    CONNECTED_OF,
    SENSITIVE,
    SENSITIVE_OF,
    SHARES,
)

EVENNESS: Final = 3.0
"""Dirichlet concentration per cell of drawn shares: the larger, the more even."""
_DRAWN = 6


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """The law that new people come from.

    Attributes:
        shares: (6,) of archetypes. ages: (4,) of age groups, independent of all else. Both sum to 1.
        sensitive, connected: (6,) share of an archetype that is sensitive; that has connections.

    Raises:
        ShouldFixArgument: a law does not sum to 1, a share is outside [0, 1], or nobody is connected.
    """

    shares: Float
    sensitive: Float
    connected: Float
    ages: Float

    def __post_init__(self) -> None:
        kinds, groups = len(ARCHETYPES), len(AGE_GROUPS)
        for name, size, law in (
            ("shares", kinds, True),
            ("sensitive", kinds, False),
            ("connected", kinds, False),
            ("ages", groups, True),
        ):
            found = getattr(self, name)
            wrong = found.shape != (size,) or not ((found >= 0) & (found <= 1)).all()
            if wrong or (law and abs(found.sum() - 1) > 1e-9):
                raise ShouldFixArgument(
                    f"Mix: {name}={found} are no {size} shares{' that sum to 1' if law else ''}.",
                    "Correct them.",
                )
            found.flags.writeable = False
        if not (self.shares * self.connected).any():
            raise ShouldFixArgument("Mix: nobody has connections.", "Let some have some.")

    @classmethod
    def drawn(cls, seed: int) -> Mix:
        """Another mix, from public parameters and a seed: archetypes and age groups by a Dirichlet law
        around evenness, temperaments within [.2, .6], connections within [.7, 1]."""
        rng = np.random.default_rng([seed, _DRAWN])
        kinds = len(ARCHETYPES)
        return cls(
            shares=rng.dirichlet(np.full(kinds, EVENNESS)),
            sensitive=rng.uniform(0.2, 0.6, kinds),
            connected=rng.uniform(0.7, 1.0, kinds),
            ages=rng.dirichlet(np.full(len(AGE_GROUPS), EVENNESS)),
        )

    def type_shares(self, burdened_share: float) -> Float:
        """(48,) share of each type among the people who arrive; sums to 1."""
        sensitive, connected = self.sensitive[ARCHETYPE_OF], self.connected[ARCHETYPE_OF]
        tempered = np.where(SENSITIVE_OF == 1, sensitive, 1 - sensitive)
        linked = np.where(CONNECTED_OF, connected, 1 - connected)
        group = np.where(BURDENED_OF, burdened_share, 1 - burdened_share)
        return np.asarray(self.shares[ARCHETYPE_OF] * tempered * linked * group, dtype=np.float64)

    def partners(self) -> Float:
        """(6,) archetypes of arriving people who have connections: whom a pairing meets at first."""
        weight = self.shares * self.connected
        return np.asarray(weight / weight.sum(), dtype=np.float64)

    def traits(self) -> Float:
        """(6, 2, 2, 4) true share of (archetype, temperament, has connections, age group) among those
        who arrive; sums to 1."""

        def either(share: Float) -> Float:
            return np.stack([1 - share, share], axis=1)

        return np.asarray(
            np.einsum(
                "a,as,ac,g->ascg",
                self.shares,
                either(self.sensitive),
                either(self.connected),
                self.ages,
            )
        )


SHIPPED: Final = Mix(SHARES, SENSITIVE, CONNECTED, AGE_SHARES)
"""Who comes to the companion product."""
