"""Are synthetic people copies of real ones? Exact matches, and distances to training and holdout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float, Float32, Int

_ROWS = 4_000
_CHUNK = 256
_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Closeness:
    """``copies`` of n rows equal a real row; ``nearer_training`` in [0, 1] is the share of rows
    whose nearest real row is a training row, ties counting half, among as many holdout rows; NaN where
    there is nothing of one kind."""

    n: int
    copies: int
    nearer_training: float
    comparable: bool
    """False where contexts hold no numbers: equal rows then happen by chance."""


def closeness(
    layout: EncodingLayout,
    synthetic: Float32,
    training: Float32,
    holdout: Float32,
    rng: np.random.Generator,
) -> Closeness:
    """Compare (p, d) synthetic with (t, d) training and (h, d) holdout contexts.

    A generator that has learned a distribution is as near to people it never saw as to people it
    did; one that remembers people is nearer to the latter (distance to closest record).
    """
    numbers = _number_dimensions(layout)
    told = (synthetic[:, numbers] != 0.0).any(axis=1)
    known = {row.tobytes() for part in (training, holdout) for row in _rounded(part)}
    copies = sum(row.tobytes() in known for row in _rounded(synthetic[told]))
    size = min(len(training), len(holdout), _ROWS)
    if not size:
        return Closeness(len(synthetic), copies, float("nan"), bool(told.any()))
    near = [
        _nearest(synthetic, part[rng.choice(len(part), size, replace=False)])
        for part in (training, holdout)
    ]
    nearer = (near[0] < near[1]) + 0.5 * (near[0] == near[1])
    return Closeness(len(synthetic), copies, float(nearer.mean()), bool(told.any()))


def _number_dimensions(layout: EncodingLayout) -> Int:
    blocks = layout.of_kind("number", "vector", "history")
    parts = [np.arange(b.start, b.start + b.width) for b in blocks]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _rounded(context: Float32) -> Float32:
    return np.round(context, _DECIMALS) + np.float32(0.0)  # turns -0.0 into 0.0


def _nearest(rows: Float32, others: Float32) -> Float:
    """(p,) squared distance of each row to the nearest of the others."""
    others = others.astype(np.float64)
    squares = (others**2).sum(axis=1)
    found = np.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK].astype(np.float64)
        distance = (part**2).sum(axis=1)[:, None] + squares - 2.0 * part @ others.T
        found[start : start + _CHUNK] = distance.min(axis=1)
    return np.asarray(np.round(np.maximum(found, 0.0), 9), dtype=np.float64)
