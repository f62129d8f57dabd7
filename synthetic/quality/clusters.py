"""Diversity: how far synthetic people spread within the clusters that real people form."""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.evaluation import Estimate
from synthetic.quality.resampling import Resampler, nothing

WHOLE, LEAST = "diversity", "least_diverse_cluster"
ALIKE = "real people do not differ within clusters"
"""Why there is no ratio where contexts hold few kinds: each kind is a cluster of equal rows."""
CLUSTERS = 8
PEOPLE_PER_CLUSTER = 15
LEAST_SHARE = 0.05
_WEIGHTS = 101
"""The sample and its first hundred resamples: variances by cluster cost a pass over all rows."""
_ROWS = 4_000
_STEPS = 25
_CHUNK = 20_000
_NO_VARIANCE = 1e-12
"""Variance of contexts in [-1, 1] up to which rows are equal but for rounding."""


def kmeans(rows: Float, clusters: int, rng: np.random.Generator) -> Float:
    """(k, d) centres of (n, d) rows by Lloyd's algorithm from a k-means++ start.

    (Lloyd 1982; Arthur and Vassilvitskii 2007.) ``k`` is ``clusters``, or fewer where there are fewer
    distinct rows; a centre that loses its rows stays where it is.
    """
    centres = rows[[rng.integers(len(rows))]]
    nearest = ((rows - centres[0]) ** 2).sum(axis=1)
    while len(centres) < clusters and nearest.sum() > 0.0:
        chosen = rows[rng.choice(len(rows), p=nearest / nearest.sum())]
        centres = np.concatenate([centres, chosen[None]])
        nearest = np.minimum(nearest, ((rows - chosen) ** 2).sum(axis=1))
    for _ in range(_STEPS):
        place = assign(rows, centres)
        count = np.bincount(place, minlength=len(centres))
        sums = np.stack(
            [np.bincount(place, weights=column, minlength=len(centres)) for column in rows.T],
            axis=1,
        )
        moved = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
        if np.allclose(moved, centres, atol=1e-9):
            break
        centres = moved
    return centres


def assign(rows: Float, centres: Float) -> Int:
    """(n,) the nearest centre of each row; the first of equally near ones."""
    found = np.empty(len(rows), dtype=np.int64)
    squares = (centres**2).sum(axis=1)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        found[start : start + _CHUNK] = (squares - 2.0 * part @ centres.T).argmin(axis=1)
    return found


def within(rows: Float, place: Int, weight: Float, clusters: int) -> tuple[Float, Float]:
    """((k,) weight, (k,) variance around the cluster's own mean, summed over dimensions; 0 if empty)."""
    mass = np.bincount(place, weights=weight, minlength=clusters)
    safe = np.maximum(mass, 1e-300)
    variance = np.zeros(clusters)
    for column in rows.T:
        first = np.bincount(place, weights=weight * column, minlength=clusters) / safe
        centred = column - first[place]
        variance += np.bincount(place, weights=weight * centred**2, minlength=clusters) / safe
    return np.asarray(mass, dtype=np.float64), np.where(mass > 0.0, variance, 0.0)


def diversity(
    synthetic: Float, weight: Float, real: Float, by: Resampler, rng: np.random.Generator
) -> tuple[Estimate, Estimate]:
    """(``diversity``, ``least_diverse_cluster``): intra-cluster variance against that of real people.

    The first is sum_k p_k V_k(synthetic) / sum_k p_k V_k(real), with p_k the real people's share of
    cluster k and V_k the variance around a group's own mean within it, over all dimensions; a cluster
    without synthetic people has variance 0. The second is the least V_k(synthetic) / V_k(real) over
    clusters that hold at least ``LEAST_SHARE`` of real people: many copies of one synthetic person show
    there. Centres are fitted on half of the real people and variances taken on the others, so that a
    generator as spread as people are has 1. Without a value and with the method ``ALIKE`` where no cluster
    (for the second: no large one) has variety of its own.

    Args:
        synthetic, weight: (p, d) contexts and (p,) their weights.
        real: (n, d) held-out contexts, owned by the people of ``by``.
        by: bootstrap over these people.
        rng: chooses the half and the starting centres.
    """
    fitted = np.zeros(by.people, dtype=np.bool_)
    fitted[rng.permutation(by.people)[: by.people // 2]] = True
    rows = np.flatnonzero(fitted[by.owner])
    measured: Bool = ~fitted[by.owner]
    if not len(rows) or not measured.any():
        return nothing(WHOLE), nothing(LEAST)
    count = max(1, min(CLUSTERS, len(np.unique(by.owner[rows])) // PEOPLE_PER_CLUSTER))
    if len(rows) > _ROWS:
        rows = rng.choice(rows, _ROWS, replace=False)
    centres = kmeans(real[rows], count, rng)
    place = assign(real[measured], centres)
    _, made = within(synthetic, assign(synthetic, centres), weight, len(centres))
    figures = np.array(
        [
            _ratios(made, *within(real[measured], place, share, len(centres)))
            for share in ((by.share * w[by.owner])[measured] for w in by.weights[:_WEIGHTS])
        ]
    )
    whole, least = (
        by.estimate(name, figures[:, index], measured)
        if np.isfinite(figures[0, index])
        else nothing(name, ALIKE)
        for index, name in enumerate((WHOLE, LEAST))
    )
    return whole, least


def _ratios(made: Float, mass: Float, real: Float) -> tuple[float, float]:
    """(whole, least) of one resample; NaN where real people do not vary."""
    below = float(mass @ real)
    if not below > _NO_VARIANCE * mass.sum():
        return math.nan, math.nan
    large = (mass >= LEAST_SHARE * mass.sum()) & (real > _NO_VARIANCE)
    least = (made[large] / real[large]).min() if large.any() else math.nan
    return float(mass @ made) / below, float(least)
