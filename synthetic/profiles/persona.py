"""Persona vectors of people who do not exist.

Where a person's vector is their context under the public projection, a profile's vector is its own
context under it, moved by the one linear map that gives the drawn people the released mean and
covariance of real people's: so it says what the context says, as strongly as among real people. Where
the product logs vectors, a profile's is a vector of the public pool moved the same way, and its context
holds it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from everloop.contracts.datasets import Bool, EncodingLayout, Float, Float32
from everloop.contracts.loop_spec import LoopSpec
from synthetic.profiles.persona_moments import PersonaMoments, estimate, pool_moments, transport
from synthetic.profiles.persona_space import PersonaSpace, persona_projection, persona_space
from synthetic.profiles.sampling import sample_contexts
from synthetic.profiles.statistics import ProfileStatistics

_SMOOTHING = 0.3
"""Share of a pool vector's coordinates that is drawn anew: no profile is a moved copy of a pool's row."""
_EDGE_STRETCH = 2.0
"""How many times further from the mean the coordinates of edge cases are."""
_DRAWN = 2_000
_SEED = 20_260_105


def personas(
    spec: LoopSpec,
    layout: EncodingLayout,
    statistics: ProfileStatistics,
    context: Float,
    edge: Bool,
    variance: float,
    rng: np.random.Generator,
) -> Float32 | None:
    """(n, 512) vectors of n profiles; ``None`` where none were released and none follow from contexts.

    Args:
        spec: what a vector is made of.
        layout: what the context's dimensions mean.
        statistics: the release.
        context: (n, d) the profiles' contexts.
        edge: (n,) which are edge cases.
        variance: factor on the variance of logged vectors; projected ones follow their context's.
        rng: of the drawing.
    """
    space = persona_space(spec, layout)
    known = statistics.facts.persona_space == space.version and len(statistics.moments) > 0
    if space.field is None:
        vectors = context @ persona_projection(layout.width)
        if not known:
            return vectors.astype(np.float32)
        start = _drawn_moments(layout, statistics, space)
        moved = transport(space.coordinates(vectors), start, _released(space, statistics))
        return space.vectors(moved, space.residual(vectors)).astype(np.float32)
    if not known:
        return None
    return from_pool(space, _released(space, statistics), edge, variance, rng).astype(np.float32)


def from_pool(
    space: PersonaSpace, goal: PersonaMoments, edge: Bool, variance: float, rng: np.random.Generator
) -> Float:
    """(n, 512) vectors of the public pool, moved to the released moments."""
    rows = space.pool[rng.integers(0, len(space.pool), len(edge))]
    coordinates = space.coordinates(rows)
    start = _moments(space.coordinates(space.pool))
    fresh = rng.multivariate_normal(start.mean, start.covariance, len(rows), method="eigh")
    mixed = (
        start.mean
        + np.sqrt(1.0 - _SMOOTHING**2) * (coordinates - start.mean)
        + _SMOOTHING * (fresh - start.mean)
    )
    stretch = np.where(edge, _EDGE_STRETCH, np.sqrt(variance))[:, None]
    moved = goal.mean + stretch * (transport(mixed, start, goal) - goal.mean)
    return space.vectors(moved, space.residual(rows))


def _released(space: PersonaSpace, statistics: ProfileStatistics) -> PersonaMoments:
    prior = pool_moments(space.coordinates(space.pool))
    return estimate(statistics.moments, statistics.facts.persona_deviation, prior)


@lru_cache(maxsize=8)
def _drawn_moments(
    layout: EncodingLayout, statistics: ProfileStatistics, space: PersonaSpace
) -> PersonaMoments:
    """Moments of the release's own drawn contexts, the same for every draw."""
    rng = np.random.default_rng([_SEED, layout.width])
    context, _ = sample_contexts(layout, statistics, _DRAWN, rng, edge_share=0.0)
    return _moments(space.coordinates(context @ persona_projection(layout.width)))


def _moments(coordinates: Float) -> PersonaMoments:
    width = coordinates.shape[1]
    return PersonaMoments(coordinates.mean(axis=0), np.cov(coordinates.T).reshape(width, width))
