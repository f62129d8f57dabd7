"""Intervals by the bootstrap over people: whole people are drawn again, with all their decisions.

A figure is a function t of sums over people, such as sum S_i / sum n_i. With P people, B resamples draw P
people with replacement each; theta*_b is t of the b-th draw's sums, theta that of everybody's. The bounds
are quantiles of theta* at bias-corrected and accelerated levels (Efron 1987, "Better bootstrap confidence
intervals", equation 2.3; Efron and Tibshirani 1993, chapter 14):

    level(z) = Phi(z0 + (z0 + z) / (1 - a (z0 + z))),
    z0 = Phi^-1(share of theta* below theta, ties counted half),
    a = sum d_i^3 / (6 (sum d_i^2)^(3/2)),    d_i = mean(theta_(-j)) - theta_(-i),

with theta_(-i) the figure without person i and z the normal quantile of the wanted level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from rl.off_policy.intervals import FEWEST_PEOPLE

RESAMPLES = 1000
METHOD = "BCa bootstrap over people, {resamples:,} resamples"
_SEED = 7_919
_DRAWS_AT_ONCE = 2**19
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of sums over people.

    Attributes:
        columns: (P, K) what each person adds to K sums.
        of: (..., K) sums -> (...) figures.
    """

    columns: Float
    of: Callable[[Float], Float]


def ratio(numerators: Float, denominators: Float) -> Figure:
    """sum of (P,) ``numerators`` / sum of (P,) ``denominators``."""
    return Figure(
        np.stack([numerators, denominators], axis=1), lambda sums: sums[..., 0] / sums[..., 1]
    )


def bootstrap_intervals(
    figures: Sequence[Figure], confidence: float, counter: int = 0, resamples: int = RESAMPLES
) -> tuple[tuple[float, float], ...]:
    """Two-sided BCa bounds of figures over the same P people, from the same resamples.

    Takes about B P (2 + K) operations and 8 MB beside the columns, whatever B is.

    Args:
        figures: with columns of the same P people each.
        confidence: in (0, 1).
        counter: which use of the bootstrap this is; equal counters and people give equal draws.
        resamples: B.

    Returns:
        (low, high) of each; NaN with fewer than two people, where a figure is not finite for everybody
        or for a resample, and where no resample differs from another: then nothing is known of the
        spread.

    Raises:
        ShouldFixArgument: ``confidence`` or ``resamples`` is out of range, or people differ in number.
    """
    _check(figures, confidence, resamples)
    if not figures:
        return ()
    people = len(figures[0].columns)
    if people < FEWEST_PEOPLE:
        return ((math.nan, math.nan),) * len(figures)
    columns = np.hstack([figure.columns for figure in figures])
    rng = np.random.default_rng(np.random.SeedSequence([_SEED, counter]))
    sums = np.vstack([counts @ columns for counts in _drawn(rng, people, resamples)])
    edges = np.cumsum([0, *(figure.columns.shape[1] for figure in figures)])
    return tuple(
        _bounds(figure, sums[:, first:last], confidence)
        for figure, first, last in zip(figures, edges[:-1], edges[1:], strict=True)
    )


def _drawn(rng: np.random.Generator, people: int, resamples: int) -> Iterator[Float]:
    """Blocks (b, P) of how often each person was drawn."""
    at_once = max(1, _DRAWS_AT_ONCE // people)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(0, people, (rows, people))
        drawn += people * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * people)
        yield counts.reshape(rows, people).astype(np.float64)


def _bounds(figure: Figure, sums: Float, confidence: float) -> tuple[float, float]:
    total = figure.columns.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        everybody = float(figure.of(total))
        drawn = np.asarray(figure.of(sums))
        without = np.asarray(figure.of(total - figure.columns))
    # counts times columns is summed in another order than the columns are
    slack = 1e-12 * (1.0 + abs(everybody))
    usable = math.isfinite(everybody) and bool(np.isfinite(drawn).all())
    if not usable or float(np.ptp(drawn)) <= slack:
        return math.nan, math.nan
    ties = np.abs(drawn - everybody) <= slack
    below = float(((drawn < everybody) & ~ties).mean() + ties.mean() / 2)
    edge = 0.5 / len(drawn)
    shift = _NORMAL.inv_cdf(min(max(below, edge), 1 - edge))
    skew = _acceleration(without[np.isfinite(without)])

    def level(share: float) -> float:
        moved = shift + _NORMAL.inv_cdf(share)
        room = 1.0 - skew * moved
        if room <= 0:  # the correction passes its pole: the outermost draw
            return float(moved > 0)
        return _NORMAL.cdf(shift + moved / room)

    tail = (1.0 - confidence) / 2
    low, high = np.quantile(drawn, [level(tail), level(1.0 - tail)])
    return float(min(low, high)), float(max(low, high))


def _acceleration(without: Float) -> float:
    away = without.mean() - without
    spread = float((away**2).sum()) ** 1.5
    return float((away**3).sum()) / (6.0 * spread) if spread > 0 else 0.0


def _check(figures: Sequence[Figure], confidence: float, resamples: int) -> None:
    if not 0.0 < confidence < 1.0:
        raise ShouldFixArgument(
            f"confidence={confidence} is outside (0, 1).", "Give a share, such as 0.95."
        )
    if resamples < 1:
        raise ShouldFixArgument(f"resamples={resamples} is below 1.", "Draw at least once.")
    sizes = {len(figure.columns) for figure in figures}
    if len(sizes) > 1:
        raise ShouldFixArgument(
            f"Figures are of {' and '.join(map(str, sorted(sizes)))} people.",
            "Resample the same people for all of them.",
        )
