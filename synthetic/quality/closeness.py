"""Are synthetic people copies of real ones? Exact matches, and distances to training and holdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float, Float32, Int

MOST_ROWS = 50_000
MOST_SYNTHETIC = 2_000
_CHUNK = 256
_BLOCK = 8_192
_DECIMALS = 5
_MUCH = 0.25
"""A squared distance below this share of another one is less than half of it."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near synthetic people are to those who were learned from and to those who were not.

    Attributes:
        n: synthetic rows looked at for copies.
        copies: of these, rows that equal a real row.
        compared: synthetic rows whose nearest real rows were looked for.
        nearer_training: in [0, 1], the share of these whose nearest real row is a training row, ties
            counting half, among as many holdout rows; NaN where there is nothing of one kind.
        comparable: False where contexts hold no numbers: equal rows then happen by chance.
        much_nearer: (rows less than half as far from training as from holdout, the reverse). Without
            memory both are equally likely; jittered copies, however few, are all of the first kind.
    """

    n: int
    copies: int
    compared: int
    nearer_training: float
    comparable: bool
    much_nearer: tuple[int, int] = (0, 0)


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
    copies = copies_of(synthetic[told], (training, holdout))
    size = min(len(training), len(holdout), MOST_ROWS)
    if not size or not len(synthetic):
        return Closeness(len(synthetic), copies, 0, float("nan"), bool(told.any()))
    compared = synthetic
    if len(synthetic) > MOST_SYNTHETIC:
        compared = synthetic[rng.choice(len(synthetic), MOST_SYNTHETIC, replace=False)]
    learned, held = (
        _nearest(compared, part[rng.choice(len(part), size, replace=False)])
        for part in (training, holdout)
    )
    nearer = (learned < held) + 0.5 * (learned == held)
    much = int((learned < _MUCH * held).sum()), int((held < _MUCH * learned).sum())
    return Closeness(
        len(synthetic), copies, len(compared), float(nearer.mean()), bool(told.any()), much
    )


def copies_of(synthetic: Float32, real: Sequence[Float32]) -> int:
    """How many synthetic rows (p, d) equal, rounded, a real row of one of the parts (n, d)."""
    made = Counter(row.tobytes() for row in _rounded(synthetic))
    found: set[bytes] = set()
    for part in real:
        for start in range(0, len(part), _BLOCK):
            rows = _rounded(part[start : start + _BLOCK])
            found.update(told for row in rows if (told := row.tobytes()) in made)
    return sum(made[told] for told in found)


def _number_dimensions(layout: EncodingLayout) -> Int:
    blocks = layout.of_kind("number", "vector", "history")
    parts = [np.arange(b.start, b.start + b.width) for b in blocks]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _rounded(context: Float32) -> Float32:
    return np.round(context, _DECIMALS) + np.float32(0.0)  # turns -0.0 into 0.0


def _nearest(rows: Float32, others: Float32) -> Float:
    """(p,) squared distance of each row to the nearest of the others."""
    found = np.full(len(rows), np.inf)
    for begin in range(0, len(others), _BLOCK):
        block = others[begin : begin + _BLOCK].astype(np.float64)
        squares = (block**2).sum(axis=1)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK].astype(np.float64)
            distance = (part**2).sum(axis=1)[:, None] + squares - 2.0 * part @ block.T
            nearest = found[start : start + _CHUNK]
            np.minimum(nearest, distance.min(axis=1), out=nearest)
    return np.asarray(np.round(np.maximum(found, 0.0), 9), dtype=np.float64)
