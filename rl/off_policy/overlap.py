"""Hard checks before any estimate: do these logged decisions say anything about another policy?"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.evaluation import OverlapDiagnostics
from everloop.contracts.loop_spec import ThresholdSpec
from rl.off_policy.intervals import clustered_mean
from rl.off_policy.scoring import Scored

CONFIDENCE = 0.999
"""Of the weights' intervals: at 95 % a nightly check would raise a false alarm every third week."""
ROUNDING = 1e-3
"""A mean this close to 1 is 1: propensities are logged in single precision."""


def diagnose(
    scored: Scored, episodes: EncodedEpisodes, thresholds: ThresholdSpec
) -> OverlapDiagnostics:
    """Overlap between the logging policy and a target policy on n >= 1 logged decisions.

    Three facts hold wherever propensities are true and every action is supported: mean(w) = 1,
    mean(1 / (|valid| p)) = 1, and no target probability lies on actions that were never logged.

    Returns:
        The figures, and a sentence for each that rules an estimate out.
    """
    weight, person = scored.decisions.weight, episodes.person
    inverse_propensity = 1.0 / (episodes.mask.sum(axis=1) * episodes.propensity)
    n = len(weight)
    total, squares = float(weight.sum()), float((weight**2).sum())
    effective = total**2 / squares if squares > 0 else 0.0
    largest_share = float(weight.max()) / total if total > 0 else 1.0
    mean = clustered_mean("mean weight", weight, person, CONFIDENCE, "clustered t")
    inverse = clustered_mean("inverse", inverse_propensity, person, CONFIDENCE, "clustered t")
    unsupported_share = float(scored.unsupported.mean())
    problems: list[str] = []
    for what, estimate, cause in (
        (
            "The mean importance weight",
            mean,
            "the logged propensities do not fit the logged actions",
        ),
        (
            "The mean of 1 / (valid actions x propensity)",
            inverse,
            "the logged propensities are wrong",
        ),
    ):
        problem = _not_one(what, estimate.value, estimate.low, estimate.high, cause, thresholds)
        if problem:
            problems.append(problem)
    if effective < thresholds.min_effective_sample:
        problems.append(
            f"The effective sample is {effective:,.0f} of {n:,} decisions, below "
            f"{thresholds.min_effective_sample:,.0f}: the log hardly holds what this policy would do."
        )
    if largest_share > thresholds.max_weight_share:
        problems.append(
            f"One decision carries {largest_share:.1%} of all weight, more than "
            f"{thresholds.max_weight_share:.1%}: the estimate would rest on it."
        )
    if unsupported_share > thresholds.margin:
        problems.append(
            f"The policy puts {unsupported_share:.1%} of its probability on actions that were never "
            f"logged, more than the margin of {thresholds.margin:.1%}: their value is unknown."
        )
    return OverlapDiagnostics(
        n=n,
        effective_sample=effective,
        mean_weight=mean.value,
        mean_weight_low=mean.low,
        mean_weight_high=mean.high,
        max_weight=float(np.max(weight)),
        max_weight_share=largest_share,
        unsupported_share=unsupported_share,
        problems=tuple(problems),
    )


def _not_one(
    what: str, value: float, low: float, high: float, cause: str, thresholds: ThresholdSpec
) -> str:
    far = abs(value - 1.0) > thresholds.mean_weight_tolerance
    excluded = low > 1.0 + ROUNDING or high < 1.0 - ROUNDING
    if not far and not excluded:
        return ""
    interval = f" ({CONFIDENCE:.1%} interval {low:.3f} to {high:.3f})" if low <= high else ""
    return f"{what} is {value:.3f}{interval} and should be 1: {cause}."
