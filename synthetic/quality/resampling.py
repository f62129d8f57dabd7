"""Intervals over people: bootstrap weights that every figure of one comparison shares."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.evaluation import Estimate

CONFIDENCE = 0.95
RESAMPLES = 300
TWO_SIDED = 1.959963984540054
"""Standard deviations that hold ``CONFIDENCE`` of a normal distribution."""
_PERCENTILE = "percentile bootstrap over people, inside the trust boundary"
_NORMAL = "normal interval with the bootstrap's deviation over people, inside the trust boundary"


class Resampler:
    """Bootstrap weights over the people of n rows; the same for every figure.

    Args:
        person: (n,) whose row it is.

    Attributes:
        people: P, how many there are.
        owner: (n,) position of the row's person in 0..P-1.
        share: (n,) 1 / rows of the person, so that everybody counts once.
        weights: (1 + RESAMPLES, P); the first row is the sample itself.
    """

    def __init__(self, person: Int) -> None:
        _, owner = np.unique(person, return_inverse=True)
        self.owner: Int = owner.astype(np.int64)
        self.people = int(self.owner.max()) + 1
        rows = np.bincount(self.owner)
        self.share: Float = 1.0 / rows[self.owner]
        chances = np.full(self.people, 1.0 / self.people)
        drawn = np.random.default_rng([20_260_103, self.people]).multinomial(
            self.people, chances, RESAMPLES
        )
        self.weights: Float = np.concatenate([np.ones((1, self.people)), drawn.astype(float)])

    def mean(self, values: Float, known: Bool | None = None) -> Float:
        """(1 + RESAMPLES,) mean over rows (n,) of each resample; NaN where none is known."""
        rows = np.ones(len(values), dtype=np.bool_) if known is None else known
        total, count = (
            self.weights @ np.bincount(self.owner[rows], weights=part, minlength=self.people)
            for part in (values[rows], np.ones(int(rows.sum())))
        )
        found: Float = np.divide(total, count, out=np.full(len(count), math.nan), where=count > 0)
        return found

    def estimate(self, name: str, figures: Float, known: Bool | None = None) -> Estimate:
        """From (1 + RESAMPLES,) values of a figure, the first on the sample itself.

        ``known``: (n,) the rows that the figure rests on; all by default.
        """
        rest = figures[1:][np.isfinite(figures[1:])]
        tail = (1.0 - CONFIDENCE) / 2.0
        low, high = np.quantile(rest, [tail, 1.0 - tail]) if len(rest) else (math.nan, math.nan)
        told = self._estimate(name, figures, (float(low), float(high)), _PERCENTILE)
        if known is None:
            return told
        return replace(told, n=int(known.sum()), clusters=len(np.unique(self.owner[known])))

    def biased_estimate(self, name: str, figures: Float) -> Estimate:
        """For a figure >= 0 that resampling itself raises: its deviation still holds, its place not."""
        spread = TWO_SIDED * float(figures[1:].std())
        value = float(figures[0])
        return self._estimate(name, figures, (max(0.0, value - spread), value + spread), _NORMAL)

    def _estimate(
        self, name: str, figures: Float, interval: tuple[float, float], method: str
    ) -> Estimate:
        return Estimate(
            name=name,
            value=float(figures[0]),
            low=interval[0],
            high=interval[1],
            confidence=CONFIDENCE,
            n=len(self.owner),
            clusters=self.people,
            method=method,
        )


def nothing(name: str, why: str = "nothing to compare with") -> Estimate:
    """An estimate that could not be made, with the reason in place of a method."""
    return Estimate(name, math.nan, math.nan, math.nan, CONFIDENCE, 0, 0, why)


def wilson(name: str, share: float, n: int, of: str) -> Estimate:
    """A share of n independent ones with Wilson's score interval (Wilson 1927); ``of`` names them."""
    if not n or math.isnan(share):
        return nothing(name)
    z = TWO_SIDED
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    low, high = max(0.0, centre - spread), min(1.0, centre + spread)
    method = f"Wilson interval over {of}, inside the trust boundary"
    return Estimate(name, share, low, high, CONFIDENCE, n, n, method)
