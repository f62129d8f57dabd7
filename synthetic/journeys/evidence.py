"""What an exported journey adds to responses: contradictions, latencies and signals that came too late.

None of it changes a reward: policies practise on the same responses. A contradiction moves two types of
one response apart so that their weighted sum stays; a late signal belongs to a type that gave no
evidence in time, and the loop's definition leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.contracts.simulation import Responses

_SPREAD = 1.5
"""Standard deviation of the logarithm of a latency."""
_LEAST_MEDIAN_S = 60.0
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Imperfections:
    """Public shares, each in [0, 1].

    Attributes:
        contradicting: of responses with evidence of two types or more, those in which two contradict.
        late: of types without evidence in time, those that still send a signal after the window.
    """

    contradicting: float = 0.05
    late: float = 0.1

    def __post_init__(self) -> None:
        for name in ("contradicting", "late"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ShouldFixArgument(f"Imperfections: {name}={getattr(self, name)} is no share.")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signals of n responses and S types.

    Attributes:
        value: (n, S) in [-1, 1], after mapping; NaN where no signal came at all.
        latency: (n, S) whole seconds after the decision; NaN where no signal came.
        late: (n, S) True where it came after the window and counts nowhere.
        contradicts: (n,) True where two types of the response contradict each other.
    """

    value: Float
    latency: Float
    late: Bool
    contradicts: Bool


class Definition:
    """The loop's reward definition for responses with one signal a type (see ``everloop/rewards``)."""

    def __init__(self, spec: LoopSpec) -> None:
        self.weight = np.array([s.weight for s in spec.signals])
        self.low = np.array([-1.0 if s.two_sided else s.low for s in spec.signals])
        self.high = np.array([1.0 if s.two_sided else s.high for s in spec.signals])
        self.zero = np.array([s.silence is Silence.ZERO for s in spec.signals])
        self.closes_after = float(spec.reward.closes_after_seconds)

    def reward(self, value: Float, counts: Bool) -> Float:
        """(n,) sum(weight * mean) / sum(weight) over the types that have a mean; NaN without any."""
        weight = self.weight * (counts | self.zero)
        with np.errstate(invalid="ignore"):
            return np.asarray(
                (np.where(counts, value, 0.0) * weight).sum(axis=1) / weight.sum(axis=1)
            )


def evidence(
    definition: Definition,
    responses: Responses,
    imperfections: Imperfections,
    rng: np.random.Generator,
) -> Evidence:
    """What the log would hold of responses.

    Raises:
        ShouldRestoreArtefact: a reward is not what the loop's definition makes of its signals.
    """
    signals = responses.signals
    counts = (
        np.ones(signals.shape, dtype=np.bool_) if responses.present is None else responses.present
    )
    wrong = ~(np.abs(definition.reward(signals, counts) - responses.reward) <= _TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ShouldRestoreArtefact(
            f"A user model answered reward {float(responses.reward[row])!r} with signals "
            f"{signals[row].tolist()}, which is not the loop's weighted mean of them.",
            "Fit the user model again under the present specification.",
        )
    value, contradicts = _contradicted(definition, signals, counts, imperfections, rng)
    late = ~counts & (rng.random(counts.shape) < imperfections.late)
    latency = _latencies(definition.closes_after, late, rng)
    heard = counts | late
    return Evidence(
        value=np.where(heard, value, np.nan),
        latency=np.where(heard, latency, np.nan),
        late=late,
        contradicts=contradicts,
    )


def _contradicted(
    definition: Definition,
    value: Float,
    counts: Bool,
    imperfections: Imperfections,
    rng: np.random.Generator,
) -> tuple[Float, Bool]:
    """One type is raised and another lowered until one of them meets its bound."""
    n, types = value.shape
    chosen = rng.random(n) < imperfections.contradicting
    keys = rng.random((n, types))
    rows = np.flatnonzero(chosen & (counts.sum(axis=1) >= 2))
    if not len(rows):
        return value, np.zeros(n, dtype=np.bool_)
    order = np.argsort(np.where(counts[rows], keys[rows], 2.0), axis=1)
    raised, lowered = order[:, 0], order[:, 1]
    moved = _room(definition, value[rows], raised, lowered)
    stuck = moved <= 0.0
    raised, lowered = np.where(stuck, lowered, raised), np.where(stuck, raised, lowered)
    moved = np.where(stuck, _room(definition, value[rows], raised, lowered), moved)
    made = value.copy()
    made[rows, raised] += moved / definition.weight[raised]
    made[rows, lowered] -= moved / definition.weight[lowered]
    contradicts = np.zeros(n, dtype=np.bool_)
    contradicts[rows] = moved > 0.0
    return np.clip(made, definition.low, definition.high), contradicts


def _room(definition: Definition, value: Float, raised: Int, lowered: Int) -> Float:
    """(n,) weighted distance that one type of each row can rise and the other fall."""
    rows, weight = np.arange(len(value)), definition.weight
    above = weight[raised] * (definition.high[raised] - value[rows, raised])
    below = weight[lowered] * (value[rows, lowered] - definition.low[lowered])
    return np.asarray(np.clip(np.minimum(above, below), 0.0, None))


def _latencies(closes_after: float, late: Bool, rng: np.random.Generator) -> Float:
    """Whole seconds, log-normal around a 24th of the feedback window, cut to the side of its end."""
    median = max(closes_after / 24.0, _LEAST_MEDIAN_S)
    window = float(ndtr(np.log(max(closes_after, 1e-9) / median) / _SPREAD))
    share = rng.random(late.shape)
    place = np.where(late, window + (1.0 - window) * share, window * share)
    seconds = median * np.exp(_SPREAD * ndtri(np.clip(place, 1e-12, 1.0 - 1e-9)))
    whole = np.floor(seconds)
    return np.where(late, np.maximum(whole, closes_after + 1.0), np.minimum(whole, closes_after))
