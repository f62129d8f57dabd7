"""A policy's value by every estimator, with the intervals that can be given of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from rl.off_policy import bootstrap, estimators, value_bounds
from rl.off_policy.bootstrap import Figure, bootstrap_intervals, ratio
from rl.off_policy.difference import Known
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.intervals import (
    FEWEST_INFORMATIVE,
    clustered_mean,
    informative,
    totals_by_person,
)

NAMES = ("ips", "snips", "dm", "dr", "switch_dr", "dr_os")
INTERVAL = "t interval over people"
_TUNED = ", tuned on these decisions: its interval is too narrow"
_NOTES = {"dm": "; leaves the reward model's own error out"}


@dataclass(frozen=True, slots=True)
class Contribution:
    """An estimator's (n,) contributions, and what must be said of its interval."""

    name: str
    values: Float
    note: str = ""


def contributions(decisions: WeightedDecisions) -> tuple[Contribution, ...]:
    """Of every estimator, in the order of ``NAMES``; SWITCH-DR and DRos tuned on these decisions."""
    tuned = np.unique(np.quantile(decisions.weight, [0.5, 0.75, 0.9, 0.95, 0.99, 1.0]))
    thresholds = [math.inf, *tuned[::-1].tolist()]
    shrinkages = [math.inf, *(tuned[::-1] ** 2 * 10).tolist()]
    threshold = estimators.least_error(estimators.switch_dr, decisions, thresholds)
    shrinkage = estimators.least_error(estimators.dr_os, decisions, shrinkages)
    values = (
        estimators.ips(decisions),
        estimators.snips(decisions),
        estimators.dm(decisions),
        estimators.dr(decisions),
        estimators.switch_dr(decisions, threshold),
        estimators.dr_os(decisions, shrinkage),
    )
    notes = _NOTES | {
        "switch_dr": f"; weights up to {_limit(threshold)}{_TUNED}",
        "dr_os": f"; shrinkage {_limit(shrinkage)}{_TUNED}",
    }
    differing = informative(decisions.reward)
    few = f"; only {differing} rewards differ, too few to rely on it"
    caveat = few if differing < FEWEST_INFORMATIVE else ""
    return tuple(
        Contribution(name, rows, notes.get(name, "") + caveat)
        for name, rows in zip(NAMES, values, strict=True)
    )


def with_t_intervals(
    parts: tuple[Contribution, ...], person: Int, confidence: float
) -> tuple[Estimate, ...]:
    """The estimates with t intervals over people."""
    return tuple(
        clustered_mean(part.name, part.values, person, confidence, INTERVAL + part.note)
        for part in parts
    )


def with_bootstrap_intervals(
    parts: tuple[Contribution, ...],
    decisions: WeightedDecisions,
    person: Int,
    confidence: float,
    resamples: int = bootstrap.RESAMPLES,
) -> tuple[Estimate, ...]:
    """The same estimates with bootstrap intervals over people; tuning values stay as they were chosen."""
    counts = totals_by_person(decisions.weight, person)[1].astype(np.float64)
    figures = [_figure(part, decisions, person, counts) for part in parts]
    found = bootstrap_intervals(figures, confidence, resamples=resamples)
    method = bootstrap.METHOD.format(resamples=resamples)
    return tuple(
        Estimate(
            name=part.name,
            value=float(part.values.mean()),
            low=low,
            high=high,
            confidence=confidence,
            n=len(person),
            clusters=len(counts),
            method=method + part.note,
        )
        for part, (low, high) in zip(parts, found, strict=True)
    )


def _figure(part: Contribution, decisions: WeightedDecisions, person: Int, counts: Float) -> Figure:
    if part.name == "snips":  # a ratio of its own: its contributions are linear only to first order
        gained = totals_by_person(decisions.weight * decisions.reward, person)[0]
        return ratio(gained, totals_by_person(decisions.weight, person)[0])
    return ratio(totals_by_person(part.values, person)[0], counts)


def with_betting_bounds(
    doubly_robust: Estimate,
    known: Known,
    pilot: tuple[WeightedDecisions, Int],
    judged: tuple[WeightedDecisions, Int],
) -> Estimate:
    """The doubly robust value with bounds by betting; NaN where a value contradicts what was declared."""
    alpha = (1.0 - doubly_robust.confidence) / 2
    method = value_bounds.METHOD.format(alpha=alpha)
    try:
        low, high = value_bounds.bounds_of_value(known, pilot, judged, alpha)
    except ShouldFixArgument:
        low = high = math.nan
    if low > high:  # only where the logged propensities are not true
        low = high = math.nan
    return replace(doubly_robust, low=low, high=high, method=method)


def _limit(value: float) -> str:
    return "no limit" if math.isinf(value) else f"{value:g}"
