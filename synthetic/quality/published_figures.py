"""From released sums to figures: ratios, and the interval that the noise gives them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from synthetic.quality.resampling import CONFIDENCE, TWO_SIDED, nothing

CLASSES = 4
NAMES = (
    "acceptance_auc",
    "acceptance_accuracy",
    "acceptance_brier",
    "expected_reward_absolute_error",
    "marginal_gap",
)
_GAP = NAMES[-1]
METHOD = "private release; the interval is of its noise, not of change"
_DRAWS = 1_000
_LEAST = 4.0
"""Deviations of its noise that a denominator must be above 0 by; below, the noise hides the figure."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What a release holds: D = 2 CLASSES + 3 + V numbers.

    Attributes:
        sums: (D,) weighted noisy sums over the public number of people: CLASSES shares of refused
            decisions by rising chance, as many of accepted ones; right, squared error, absolute
            error of the reward / 2; V shares inside the synthetic people's bins.
        weights: (D,) what each entry was multiplied by.
        shares: (V,) the synthetic people's own shares.
    """

    sums: Float
    weights: Float
    shares: Float

    def __post_init__(self) -> None:
        entries = 2 * CLASSES + 3 + len(self.shares)
        sound = all(np.isfinite(part).all() for part in (self.sums, self.weights, self.shares))
        if not (len(self.sums) == len(self.weights) == entries and sound):
            raise ShouldFixArgument(
                f"Published quality: {len(self.sums)} sums and {len(self.weights)} weights are not "
                f"{entries} finite numbers each."
            )


def figures_of(
    found: Sums, deviation: float, release_id: str, method: str = METHOD
) -> tuple[Estimate, ...]:
    """The figures with their noise's intervals; ``n`` is 0, since no count of people is published.

    The noise's law is public, so an interval is the value +- 1.96 deviations of what the same noise does
    to it again, cut to the figure's range only after that: an interval that noise pushed below 0 still ends
    where it should. ``acceptance_auc`` is over four classes, ties half:
    (sum_{i<j} r_i a_j + sum_i r_i a_i / 2) / (sum r sum a). ``marginal_gap`` is the root mean squared
    difference of marginal shares, less what noise adds to it.

    Args:
        found: the sums.
        deviation: standard deviation of the noise in each entry of ``found.sums``.
        release_id: seeds the repetition of the noise, which is public and spends nothing.
        method: says which nights the sums are the mean of.
    """
    seed = int(release_id[:8], 16)
    noise = np.random.default_rng([20_260_105, seed]).standard_normal((_DRAWS, len(found.sums)))
    values = _values(found, found.sums[None], deviation)[0]
    again = _values(found, found.sums + deviation * noise, deviation)
    told = []
    for index, name in enumerate(NAMES):
        value, repeated = float(values[index]), again[np.isfinite(again[:, index]), index]
        if not np.isfinite(value) or len(repeated) < _DRAWS // 2:
            told.append(nothing(name, f"the noise hides it; {method}"))
            continue
        spread = TWO_SIDED * float(repeated.std())
        shown, low, high = (_shown(name, end) for end in (value, value - spread, value + spread))
        told.append(Estimate(name, shown, low, high, CONFIDENCE, 0, 0, method))
    return tuple(told)


def _shown(name: str, value: float) -> float:
    """A figure within its range; the gap of marginals is a root of what was averaged."""
    kept = min(max(value, 0.0), 1.0)
    return math.sqrt(kept) if name == _GAP else kept


def _values(found: Sums, sums: Float, deviation: float) -> Float:
    """(b, 5) figures of (b, D) sums, the last one squared; NaN where a denominator is lost in noise."""
    plain = sums / found.weights
    noise = deviation / found.weights
    refused, agreed = plain[:, :CLASSES], plain[:, CLASSES : 2 * CLASSES]
    people = plain[:, : 2 * CLASSES].sum(axis=1, keepdims=True)
    above = _LEAST * noise[0]
    below, pairs = np.cumsum(refused, axis=1) - 0.5 * refused, np.full(len(plain), np.nan)
    no, yes = refused.sum(axis=1), agreed.sum(axis=1)
    enough = (no > above * np.sqrt(CLASSES)) & (yes > above * np.sqrt(CLASSES))
    np.divide((below * agreed).sum(axis=1), no * yes, out=pairs, where=enough)
    held = people[:, 0] > above * np.sqrt(2 * CLASSES)
    means = np.full((len(plain), plain.shape[1] - 2 * CLASSES), np.nan)
    np.divide(plain[:, 2 * CLASSES :], people, out=means, where=held[:, None])
    right, square, missed = means[:, 0], means[:, 1], 2.0 * means[:, 2]
    blurred = (noise[2 * CLASSES + 3 :] / np.where(held[:, None], people, np.nan)) ** 2
    gap = ((means[:, 3:] - found.shares) ** 2 - blurred).mean(axis=1)
    return np.column_stack([pairs, right, square, missed, gap])
