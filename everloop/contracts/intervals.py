"""Intervals that hold whatever the sample's size: of a share, and of a bounded mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument

_BETS = 256
_HALVINGS = 60
"""Of the bracket: more than a double can tell apart."""


def critical(confidence: float, comparisons: int = 1) -> float:
    """Two-sided standard normal quantile, by Bonferroni over ``comparisons`` intervals."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / (2 * comparisons))


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share on ``n`` (effective) trials, within [0, 1].

    centre (p + z²/2n) / (1 + z²/n), half width z/(1 + z²/n) · sqrt(p(1 - p)/n + z²/4n²).
    """
    spread = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / spread
    half = z / spread * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bounded_mean(
    counts: Mapping[float, int], low: float, high: float, confidence: float
) -> tuple[float, float]:
    """Interval of the mean of independent values within [low, high], by betting.

    Whoever bets a share f of what they own that values lie above m, and owns 1 at first, owns
    W(m) = prod(1 + f (x/m - 1)) at the end (x, m rescaled to [0, 1]); were m the true mean, W would
    reach 1/a with a probability of at most a (Markov). The lower end is the least m at which the
    mixture of such bets over Jeffreys' prior of f stays below 2/(1 - confidence); the upper end is the
    same of the mirrored values. So it covers at any n and for any distribution, where a t interval
    of five equal answers has no width. About 1.7 times the width of the t interval at a thousand
    values. Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by
    betting"; the mixture is that of Orabona and Jun (2024).

    Args:
        counts: value -> how many, all >= 0, at least one above.
        low, high: the declared range.
        confidence: in (0, 1).

    Returns:
        (lower, upper) within [low, high]; the range itself for a single value, which says nothing
        of how far values differ.

    Raises:
        ShouldFixArgument: there is no value, or one outside the range.
    """
    outside = [value for value in counts if not low <= value <= high]
    if outside:
        raise ShouldFixArgument(
            f"value={outside[0]!r} leaves [{low}, {high}].", "Clamp it to its range."
        )
    n = sum(counts.values())
    if n < 1:
        raise ShouldFixArgument("There is no value.", "Ask for an interval of one or more.")
    if n == 1:
        return low, high
    span = high - low
    values = (np.array(list(counts), dtype=np.float64) - low) / span
    times = np.array(list(counts.values()), dtype=np.float64)
    threshold = math.log(2 / (1 - confidence))
    return (
        low + span * _least_unrefuted(values, times, threshold),
        high - span * _least_unrefuted(1 - values, times, threshold),
    )


def _least_unrefuted(
    values: NDArray[np.float64], times: NDArray[np.float64], threshold: float
) -> float:
    """The least mean in [0, 1] against which no wealth of ``exp(threshold)`` is made.

    Wealth falls as the mean rises, and is at most 1 at the sample's mean (Jensen).
    """
    steps = np.arange(1, _BETS + 1)
    bets = np.sin((2 * steps - 1) * np.pi / (4 * _BETS))[:, None] ** 2  # Jeffreys' quantiles
    below, above = 0.0, float(values @ times / times.sum())
    for _ in range(_HALVINGS):
        mean = (below + above) / 2
        if mean <= 0.0:
            break
        wealth = np.log1p(bets * (values / mean - 1)) @ times
        if np.logaddexp.reduce(wealth) - math.log(_BETS) >= threshold:
            below = mean
        else:
            above = mean
    return below
