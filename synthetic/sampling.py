"""People who do not exist, drawn from released statistics: post-processing, as often as one likes.

Variables are drawn independently of each other: a bin by its released share, then a value evenly
within the bin. Noisy shares are projected onto the probability simplex, which cuts off what the
noise alone put into empty bins.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, EncodedBlock, EncodingLayout, Float, Int
from synthetic.marginals import Variable, variables
from synthetic.profile_statistics import ProfileStatistics

EDGE_SHARE = 0.05
"""Share of profiles made as edge cases, the last rows: each variable evenly over all its bins."""
EDGE_WEIGHT = 0.25
"""Sampling weight of an edge case in policy training."""


def sample_contexts(
    layout: EncodingLayout, statistics: ProfileStatistics, count: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """((count, d) contexts within [-1, 1], (count,) sampling weights).

    Args:
        layout: what the dimensions mean.
        statistics: the release.
        count: how many people.
        rng: of the sampling, which spends no privacy.
    """
    every = variables(layout)
    shares = {v.start: s for v, s in zip(every, bin_shares(layout, statistics), strict=True)}
    edges = np.arange(count) >= count - int(EDGE_SHARE * count)
    context = np.zeros((count, layout.width))
    for block in layout.blocks:
        of_block = [v for v in every if v.block == block]
        if not of_block:
            continue
        absent = _absent(of_block, shares, edges, rng)
        for variable in of_block:
            values = _values(variable, shares[variable.start], edges, rng)
            context[:, variable.dimensions] = np.where(absent[:, None], 0.0, values)
        if of_block[0].missing is not None:
            context[:, of_block[0].missing.start] = absent
    return context, np.where(edges, EDGE_WEIGHT, 1.0)


def bin_shares(layout: EncodingLayout, statistics: ProfileStatistics) -> tuple[Float, ...]:
    """Probability of each bin, one array per variable.

    Every variable counts the same people, so all of them together say how many there are. With less
    than one standard deviation of people the shares are as good as even.
    """
    every = variables(layout)
    sums = [statistics.sums[variable.part] for variable in every]
    people = max(float(np.mean([s.sum() for s in sums])), statistics.facts.deviation)
    return tuple(to_simplex(s / people) for s in sums)


def to_simplex(values: Float) -> Float:
    """The nearest probability vector in Euclidean distance, max(values - t, 0) summing to 1.

    Held, Wolfe, Crowder, "Validation of subgradient optimization", Math. Programming 6 (1974).
    """
    descending = np.sort(values)[::-1]
    excess = (np.cumsum(descending) - 1.0) / np.arange(1, len(values) + 1)
    threshold = excess[np.flatnonzero(descending > excess)[-1]]
    projected = np.maximum(values - threshold, 0.0)
    return np.asarray(projected / projected.sum(), dtype=np.float64)


def _absent(
    of_block: list[Variable], shares: dict[int, Float], edges: Bool, rng: np.random.Generator
) -> Bool:
    """(count,) who lacks the field; all its variables say so together."""
    chance = float(np.mean([shares[variable.start][-1] for variable in of_block]))
    drawn: Bool = rng.random(len(edges)) < np.where(edges, 1.0 / of_block[0].bins, chance)
    return drawn if of_block[0].missing is not None else np.zeros(len(edges), dtype=np.bool_)


def _values(variable: Variable, shares: Float, edges: Bool, rng: np.random.Generator) -> Float:
    """(count, w) values of a variable for those who have it."""
    bins = variable.bins - 1
    present = shares[:-1].sum()
    known = shares[:-1] / present if present > 0.0 else np.full(bins, 1.0 / bins)
    count = len(edges)
    place = np.where(edges, rng.integers(0, bins, count), rng.choice(bins, count, p=known))
    return _in_bin(variable.block, place + rng.random(count), place, bins)


def _in_bin(block: EncodedBlock, position: Float, place: Int, bins: int) -> Float:
    if block.kind == "category":
        return np.eye(bins)[place]
    if block.kind == "cycle":
        angle = position / bins * 2.0 * np.pi
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.asarray(position / bins * 2.0 - 1.0)[:, None]
