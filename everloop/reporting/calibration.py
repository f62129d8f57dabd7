"""Calibration: what evaluation predicted of each deployment beside what its trial measured, and how the
gate's answers turned out.

A pair is a deployment with both differences known. It is *inside* where the measured value lies within
the prediction's interval; the share of such pairs has Wilson's interval, since a few pairs say little.
The prediction is of single decisions at logged states and the measurement of people's days, so pairs
need not agree to be right: they show how far the one can be taken for the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from everloop.contracts.evaluation import Decision, Estimate
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.rollouts import POLICY, Deployment
from everloop.reporting.plots import Series, agreement
from everloop.reporting.svg import Caption
from everloop.reporting.wording import interval, plural

FEWEST_PAIRS = 5
"""Below this many pairs a share is told as a count alone, with its interval."""
CONFIDENCE = 0.95
OUTCOMES: Mapping[str, str] = {
    "promoted": "promoted",
    "withdrawn": "promoted, and taken back later",
    "rolled_back": "rolled back",
    "ended": "ended without a winner",
    "": "on trial, or not begun",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One deployment's prediction and measurement.

    Attributes:
        name: version of its policy, or its id.
        inside: whether the measured value lies within the prediction's interval; None without one.
    """

    name: str
    deployment_id: str
    predicted: Estimate
    measured: Estimate
    outcome: str
    inside: bool | None


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What became of the deployments that the gate answered.

    Attributes:
        let_through: outcome of ``OUTCOMES`` -> deployments that the gate, or a person where it waited
            for one, let go on trial.
        by_person: of these, how many a person let through.
        held: deployments that never met anybody.
        unasked: deployments without a verdict, made by hand.
    """

    let_through: Mapping[str, int]
    by_person: int
    held: int
    unasked: int

    @property
    def tried(self) -> int:
        return sum(self.let_through.values())


@dataclass(frozen=True, slots=True)
class Calibration:
    """Pairs, newest first, the share of them that lie inside, and the gate's track record."""

    pairs: tuple[Pair, ...]
    share: Estimate | None
    record: TrackRecord

    @property
    def sentence(self) -> str:
        """How well predictions held, with the number of pairs that say so."""
        if not self.pairs:
            return "No trial has measured yet what evaluation had predicted."
        share = self.share
        if share is None:
            return (
                f"{plural(len(self.pairs), 'pair')}, and no prediction among them has an interval."
            )
        inside = round(share.value * share.n)
        count = f"{inside} of {plural(share.n, 'measured difference')} lay"
        if share.n == 1:
            count = f"The one measured difference {'lay' if inside else 'did not lie'}"
        told = f"{count} inside the prediction's interval"
        if share.n < FEWEST_PAIRS:
            low, high = f"{share.low:.0%}", f"{share.high:.0%}"
            return f"{told}. So few say little: the share may be anything from {low} to {high}."
        return f"{told}, {interval(share, percent=True)}."


def calibration(deployments: Sequence[Deployment]) -> Calibration:
    """Pairs and track record of deployments, in the order in which they are given."""
    pairs = tuple(
        Pair(
            part.version if (part := d.artefact(POLICY)) else d.deployment_id,
            d.deployment_id,
            d.predicted,
            d.measured,
            d.outcome,
            _inside(d.predicted, d.measured),
        )
        for d in deployments
        if d.predicted is not None
        and d.measured is not None
        and math.isfinite(d.predicted.value)
        and math.isfinite(d.measured.value)
    )
    return Calibration(pairs, _share(pairs), _track_record(deployments))


def plot(found: Calibration) -> Markup:
    """Predicted against measured differences with both intervals; nothing without a pair."""
    if not found.pairs:
        return Markup("")
    predicted, measured = (
        Series(
            name,
            [0.0] * len(estimates),
            [e.value for e in estimates],
            [e.low for e in estimates],
            [e.high for e in estimates],
        )
        for name, estimates in (
            ("predicted difference", [pair.predicted for pair in found.pairs]),
            ("measured difference", [pair.measured for pair in found.pairs]),
        )
    )
    caption = Caption(
        "plot-calibration",
        "Measured against predicted",
        f"{plural(len(found.pairs), 'deployment')}. Up: what the trial measured; across: what evaluation "
        "predicted. Dashed: the two agree.",
    )
    return agreement(caption, [pair.name for pair in found.pairs], predicted, measured)


def _inside(predicted: Estimate, measured: Estimate) -> bool | None:
    if math.isnan(predicted.low) or math.isnan(predicted.high):
        return None
    return predicted.low <= measured.value <= predicted.high


def _share(pairs: Sequence[Pair]) -> Estimate | None:
    known = [pair.inside for pair in pairs if pair.inside is not None]
    if not known:
        return None
    n, share = len(known), sum(known) / len(known)
    low, high = wilson(share, n, critical(CONFIDENCE))
    return Estimate("inside", share, low, high, CONFIDENCE, n, n, "Wilson")


def _track_record(deployments: Sequence[Deployment]) -> TrackRecord:
    answered = [(d, d.verdict) for d in deployments if d.verdict is not None]
    held = [(d, v) for d, v in answered if v.decision is not Decision.CONTINUE]
    by_person = [d for d, _ in held if d.outcome]
    tried = [d for d, v in answered if v.decision is Decision.CONTINUE] + by_person
    return TrackRecord(
        let_through={name: sum(d.outcome == name for d in tried) for name in OUTCOMES},
        by_person=len(by_person),
        held=len(held) - len(by_person),
        unasked=len(deployments) - len(answered),
    )
