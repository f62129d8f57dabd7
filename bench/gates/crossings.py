"""When a rule that looks again and again first calls a candidate better or worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.intervals import wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """First crossings of r repetitions.

    Attributes:
        side: (r,) 1 called better first, -1 worse, 0 neither at any look.
        look: (r,) index of that look; the last one where neither.
    """

    side: NDArray[np.int64]
    look: NDArray[np.int64]

    def share(self, side: int) -> float:
        return float(np.mean(self.side == side))

    def median(self, side: int, size: Floats) -> float | None:
        """Median over all repetitions of ``size`` (one per look) at a crossing to ``side``; None where
        fewer than half of them cross to it."""
        reached = np.where(self.side == side, size[self.look], np.inf)
        middle = float(np.quantile(reached, 0.5, method="lower"))
        return middle if np.isfinite(middle) else None


def crossings(low: Floats, high: Floats) -> Crossings:
    """From bounds (r, looks) of candidate - control; NaN bounds say nothing."""
    better, worse = low > 0, high < 0
    either = better | worse
    look = np.where(either.any(axis=1), either.argmax(axis=1), low.shape[1] - 1)
    rows = np.arange(len(low))
    return Crossings(np.where(better[rows, look], 1, np.where(worse[rows, look], -1, 0)), look)


def wilson95(share: float, repetitions: int) -> tuple[float, float]:
    """95 % interval of a simulated rate."""
    low, high = wilson(share, repetitions, 1.96)
    return min(low, share), max(high, share)
