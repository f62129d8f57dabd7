"""People who arrive."""

from __future__ import annotations

from typing import Final

import numpy as np

from synthetic.population.archetypes import type_of
from synthetic.population.emission import BEHIND, Persons
from synthetic.population.mix import SHIPPED, Mix

MEAN_CONNECTIONS: Final = 6.0
MOST_CONNECTIONS: Final = 50
BENT: Final = 0.08
RESTING_PULSE: Final = (68.0, 5.0)


def arrive(n: int, burdened_group: int, rng: np.random.Generator, mix: Mix = SHIPPED) -> Persons:
    """Draw n new people; those of ``burdened_group`` (an age group) get a burdened type."""
    archetype = rng.choice(len(mix.shares), n, p=mix.shares)
    sensitive = rng.random(n) < mix.sensitive[archetype]
    connected = rng.random(n) < mix.connected[archetype]
    age_group = rng.choice(len(mix.ages), n, p=mix.ages)
    connections = np.minimum(1 + rng.poisson(MEAN_CONNECTIONS - 1, n), MOST_CONNECTIONS)
    return Persons(
        kind=type_of(archetype, sensitive, connected, age_group == burdened_group),
        age_group=age_group,
        connections=np.where(connected, connections, 0),
        resting_pulse=rng.normal(*RESTING_PULSE, n),
        bent=BENT * rng.normal(size=(n, BEHIND)),
    )
