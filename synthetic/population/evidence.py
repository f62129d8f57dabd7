"""Signals as they reach the product: graded, sometimes noise, late, missing or sent twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.population.catalogue import SIGNALS, weights_of
from synthetic.population.disturbance import PRESENT, Disturbance
from synthetic.population.responses import GRADES, LOWEST, STEP

TYPICAL_LATENCY: Final[Float] = np.array([600.0, 7_200.0, 3_600.0])
"""(3,) mean seconds from decision to signal."""
LATEST: Final = 2 * 86_400
LOW_CONFIDENCE: Final = 0.1
"""Share of signals of a confidence between .2 and .6; those that are noise all are."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """m signals of n decisions.

    Attributes:
        decision: (m,) row of the decision. kind: (m,) index of the signal type.
        value: (m,) in [0, 1]. latency: (m,) seconds. confidence: (m,) in [0, 1].
    """

    decision: Int
    kind: Int
    value: Float
    latency: Int
    confidence: Float

    def __len__(self) -> int:
        return len(self.decision)

    def where(self, rows: Bool | Int) -> Evidence:
        return Evidence(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


def draw(
    chances: Float,
    action: Int,
    closes_after: int,
    disturbance: Disturbance,
    rng: np.random.Generator,
    present: Float = PRESENT,
) -> Evidence:
    """Draw the evidence of n decisions from the chances (n, 3) of the actions taken (n,); ``present``
    (A, 3) is how often each signal is sent."""
    n = len(action)
    sent = rng.random((n, len(SIGNALS))) < present[action]
    noisy = rng.random((n, len(SIGNALS))) < disturbance.noise
    graded = np.where(
        noisy[:, :2], rng.integers(0, GRADES, (n, 2)), rng.binomial(GRADES - 1, chances[:, :2])
    )
    up = rng.random(n) < np.where(noisy[:, 2], 0.5, chances[:, 2])
    value = np.concatenate([np.round(LOWEST + STEP * graded, 1), up[:, None]], axis=1)
    doubtful = noisy | (rng.random((n, len(SIGNALS))) < LOW_CONFIDENCE)
    again = sent[:, 0] & (rng.random(n) < disturbance.twice)
    rows, kinds = np.nonzero(sent)
    rows = np.concatenate([rows, np.flatnonzero(again)])
    kinds = np.concatenate([kinds, np.zeros(int(again.sum()), dtype=np.int64)])
    m = len(rows)
    latency = np.minimum(rng.exponential(TYPICAL_LATENCY[kinds]), closes_after)
    late = rng.random(m) < disturbance.late
    latency[late] = closes_after + rng.uniform(60, LATEST, int(late.sum()))
    confidence = np.where(doubtful[rows, kinds], rng.uniform(0.2, 0.6, m), 1.0)
    return Evidence(
        decision=rows,
        kind=kinds,
        value=value[rows, kinds],
        latency=latency.astype(np.int64),
        confidence=np.asarray(np.round(confidence, 2), dtype=np.float64),
    )


def signal_means(loop: LoopSpec, n: int, evidence: Evidence) -> Float:
    """(n, 3) mean of each type by the loop's definition, in [-1, 1]; NaN where silence is missing.

    A mean weighs confidence 2^(-latency / half-life); two-sided values v count as 2 v - 1.
    """
    timely = evidence.latency <= loop.reward.closes_after_seconds
    rows, kinds = evidence.decision[timely], evidence.kind[timely]
    weight = evidence.confidence[timely] * np.exp2(
        -evidence.latency[timely] / loop.reward.half_life_seconds
    )
    value = np.where(kinds == 0, evidence.value[timely], 2 * evidence.value[timely] - 1)
    place, size = rows * len(SIGNALS) + kinds, n * len(SIGNALS)
    total = np.bincount(place, weight * value, size)
    mass = np.bincount(place, weight, size)
    silent = np.where(np.arange(size) % len(SIGNALS) == 0, 0.0, np.nan)
    means = np.divide(total, mass, out=silent, where=mass > 0)
    return np.asarray(means.reshape(n, len(SIGNALS)))


def realised_reward(loop: LoopSpec, means: Float) -> Float:
    """(n,) reward in [-1, 1] of signal means (n, 3): sum(w m) / sum(w) over the types present."""
    weight = np.where(np.isnan(means), 0.0, weights_of(loop))
    reward = (weight * np.nan_to_num(means)).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(np.clip(reward, -1.0, 1.0))
