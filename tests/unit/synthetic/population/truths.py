"""What the population's tests share: the loop, one law of responses and random hidden states."""

import numpy as np

from everloop.loops import load
from synthetic.population import PopulationSpec, Truth
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    ARCHETYPES,
    CONNECTED_OF,
    PARTS,
    UNBURDENED,
)
from synthetic.population.responses import Responses
from synthetic.population.state import MOODS, Hidden

_COMPANION = load("companion")
LOOP = _COMPANION.model_copy(
    update={"training": _COMPANION.training.model_copy(update={"discount": 0.9})}
)
"""The companion with a far horizon: with its own, looking ahead is worth next to nothing."""
SPEC = PopulationSpec()
RESPONSES: Responses = SPEC.responses(LOOP, SPEC.start)
TRUTH = Truth(RESPONSES, LOOP.training.discount)


def states(n: int, seed: int = 0, connected: bool = False, kinds: int = UNBURDENED) -> Hidden:
    """n random hidden states."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    if connected:
        kind = np.where(CONNECTED_OF[kind], kind, kind + 1)
    return Hidden(
        kind,
        rng.integers(0, 3, (n, len(MOODS))),
        rng.random((n, 3)) < 0.3,
        rng.integers(0, len(PARTS), n),
    )


def only(archetype: str) -> np.ndarray:
    """A partner mix of one archetype."""
    return np.eye(len(ARCHETYPES))[ARCHETYPES.index(archetype)]


def of_archetype(archetype: str, n: int, seed: int = 0) -> Hidden:
    """n random states of connected people of one archetype."""
    drawn = states(8 * n, seed, connected=True)
    kept = np.flatnonzero(ARCHETYPE_OF[drawn.kind] == ARCHETYPES.index(archetype))
    return drawn.where(kept[:n])
