"""What is expected of a dataset version: each expectation with its words and its severity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from everloop.contracts.loop_spec import LoopSpec
from everloop.validation.contexts import ContextFacts, FieldFacts
from everloop.validation.facts import DatasetFacts

FEW_DAYS = 3
"""With fewer earlier days that have episodes, an odd volume is a warning."""
MOST_MISSING = 0.5
"""A context field that more episodes lack is worth a warning."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One expectation: ``value`` within ``low``..``high``; NaN fits nothing.

    ``observed`` and ``wanted`` say it in words; ``error`` ends the run in a report.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    observed: str
    wanted: str
    severity: Literal["error", "warning"] = "error"


def expectations(
    spec: LoopSpec, facts: DatasetFacts, contexts: ContextFacts | None
) -> tuple[Expected, ...]:
    """Everything that is expected of a version with these facts, in reading order."""
    found = [_at_least("episodes present", facts.episodes, 1, "episodes")]
    if not facts.episodes or contexts is None:
        return tuple(found)
    return (
        *found,
        _at_least("enough episodes", facts.episodes, spec.thresholds.min_episodes, "episodes"),
        *_ids_and_actions(facts),
        *_propensities(spec, facts),
        *_time(spec, facts),
        *_signals(facts),
        _none("contexts readable", contexts.unreadable, "contexts that are no JSON object"),
        *(expected for field in contexts.fields for expected in _context(field)),
    )


def _ids_and_actions(facts: DatasetFacts) -> tuple[Expected, ...]:
    return (
        _none("episode ids distinct", facts.duplicate_episodes, "repeated episode ids"),
        _none("actions in the catalogue", facts.unknown_actions, "episodes with unknown actions"),
        _none("arms known", facts.unknown_arms, "episodes without a known arm"),
        _none("actions valid", facts.unlisted_actions, "episodes whose action was not valid"),
    )


def _propensities(spec: LoopSpec, facts: DatasetFacts) -> tuple[Expected, ...]:
    tolerance = spec.thresholds.mean_weight_tolerance
    found = [
        _none("propensities in (0, 1]", facts.bad_propensities, "propensities outside (0, 1]"),
        Expected(
            "propensities logged by some",
            1 - facts.unlogged_share,
            1e-9,
            1.0,
            f"{1 - facts.unlogged_share:.1%} of the loop's own episodes have one",
            "at least one episode has one: without any, no policy can be judged",
        ),
        Expected(
            "propensities logged by all",
            facts.unlogged_share,
            0.0,
            0.0,
            f"{facts.unlogged_share:.1%} of the loop's own episodes have none",
            "every episode logs its propensity",
            "warning",
        ),
        _near_one("propensities true", facts.mean_inverse, facts.mean_inverse_margin, tolerance),
    ]
    if not math.isnan(facts.unlogged_comparison_share):
        found.append(
            _near_one(
                "comparison propensities true",
                facts.comparison_inverse,
                facts.comparison_inverse_margin,
                tolerance,
                "warning",
            )
        )
    return tuple(found)


def _near_one(
    name: str,
    mean: float,
    margin: float,
    tolerance: float,
    severity: Literal["error", "warning"] = "error",
) -> Expected:
    """The mean of 1 / (|valid| p) is 1 for true propensities, within noise or a tolerance."""
    allowed = max(margin, 0.0)
    return Expected(
        name,
        mean,
        1 - max(allowed, tolerance),
        1 + max(allowed, tolerance),
        f"mean of 1 / (valid actions × propensity) is {mean:.4g} ± {margin:.2g} (99.9 %)",
        f"near 1, within {tolerance:g} or its own interval",
        severity,
    )


def _time(spec: LoopSpec, facts: DatasetFacts) -> tuple[Expected, ...]:
    limits = spec.thresholds
    change = facts.last_day / facts.mean_before - 1 if facts.days_before else 0.0
    return (
        _none("timestamps in the window", facts.outside_window, "episodes outside the window"),
        Expected(
            "data fresh",
            facts.age_hours,
            0.0,
            limits.freshness_hours,
            f"the newest episode is {facts.age_hours:.1f} h older than the cut-off",
            f"at most {limits.freshness_hours:g} h",
        ),
        Expected(
            "volume as usual",
            abs(change),
            0.0,
            limits.volume_tolerance,
            f"{facts.last_day:,} episodes on the newest whole day, {change:+.0%} against the mean of "
            f"{facts.days_before} earlier days with any",
            f"within ±{limits.volume_tolerance:.0%}",
            "warning" if facts.days_before < FEW_DAYS else "error",
        ),
    )


def _signals(facts: DatasetFacts) -> tuple[Expected, ...]:
    return (
        _none("signal ids distinct", facts.duplicate_signals, "repeated signal ids"),
        _none("signal types declared", facts.undeclared_signals, "signals of unknown types"),
        _none("signal values in range", facts.out_of_range, "signals outside their range"),
        _none("latencies not negative", facts.negative_latencies, "negative latencies"),
        _none("confidences in [0, 1]", facts.bad_confidences, "confidences outside [0, 1]"),
        _none("signals have episodes", facts.orphan_signals, "signals without their episode"),
        Expected(
            "positive evidence present",
            facts.positive_evidence,
            1,
            None,
            f"{facts.positive_evidence:,} signals speak for a reward above 0",
            "at least one: without any, no reward can be told from another",
            "warning",
        ),
    )


def _context(field: FieldFacts) -> tuple[Expected, ...]:
    example = f", such as {field.example}" if field.example else ""
    return (
        Expected(
            f"context {field.field} well formed",
            field.malformed,
            0,
            0,
            f"{field.malformed:,} of {field.rows:,} values do not fit{example}",
            "of the declared kind, finite and within the public bounds",
        ),
        Expected(
            f"context {field.field} present",
            field.missing_share,
            0.0,
            MOST_MISSING,
            f"missing in {field.missing_share:.1%} of {field.rows:,} episodes",
            f"in at most {MOST_MISSING:.0%}",
            "warning",
        ),
    )


def _at_least(name: str, count: int, least: int, what: str) -> Expected:
    return Expected(name, count, least, None, f"{count:,} {what}", f"at least {least:,}")


def _none(name: str, count: int, what: str) -> Expected:
    return Expected(name, count, 0, 0, f"{count:,} {what}", "none")
