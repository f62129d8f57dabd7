"""People who arrive, and the true distribution that their traits come from."""

from __future__ import annotations

from typing import Final

import numpy as np

from everloop.contracts.datasets import Float
from synthetic.population.archetypes import (
    AGE_SHARES,
    CONNECTED,
    SENSITIVE,
    SHARES,
    type_of,
)
from synthetic.population.emission import BEHIND, Persons

MEAN_CONNECTIONS: Final = 6.0
MOST_CONNECTIONS: Final = 50
BENT: Final = 0.08
RESTING_PULSE: Final = (68.0, 5.0)


def arrive(n: int, burdened_group: int, rng: np.random.Generator) -> Persons:
    """Draw n new people; those of ``burdened_group`` (an age group) get a burdened type."""
    archetype = rng.choice(len(SHARES), n, p=SHARES)
    sensitive = rng.random(n) < SENSITIVE[archetype]
    connected = rng.random(n) < CONNECTED[archetype]
    age_group = rng.choice(len(AGE_SHARES), n, p=AGE_SHARES)
    connections = np.minimum(1 + rng.poisson(MEAN_CONNECTIONS - 1, n), MOST_CONNECTIONS)
    return Persons(
        kind=type_of(archetype, sensitive, connected, age_group == burdened_group),
        age_group=age_group,
        connections=np.where(connected, connections, 0),
        resting_pulse=rng.normal(*RESTING_PULSE, n),
        bent=BENT * rng.normal(size=(n, BEHIND)),
    )


def trait_distribution() -> Float:
    """(6, 2, 2, 4) true share of (archetype, temperament, has connections, age group) among those
    who arrive; sums to 1."""

    def either(share: Float) -> Float:
        return np.stack([1 - share, share], axis=1)

    return np.asarray(
        np.einsum("a,as,ac,g->ascg", SHARES, either(SENSITIVE), either(CONNECTED), AGE_SHARES)
    )
