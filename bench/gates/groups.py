"""Fairness during exposure: false alarms, false certificates and power, looked at daily.

Three groups of equal size among the candidate's people, who come once and leave a reward of 0 or 1; one
group earns ``parity`` of what the others do. Beside it the z test of one look with Holm, looked at again
and again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from bench.gates.once import BASES
from everloop.rollout.experiment.fairness import GroupSums, holm, parities

LIMIT, ALPHA = 0.9, 0.05
PARITIES = (1.0, 0.9, 0.8, 0.7)
DAILY = {"dense": 200, "sparse": 25_000}
DAYS = 14
GROUPS = 3


def measure(seed: int, repetitions: int) -> Iterator[dict[str, Any]]:
    """Rows by kind of reward, parity and rule; at .9 an alarm, and a certificate, are both false."""
    for kind, base in BASES.items():
        for place, parity in enumerate(PARITIES):
            rng = np.random.default_rng([seed, 8, list(BASES).index(kind), place])
            means = base * np.array([parity, 1.0, 1.0])
            ones = np.cumsum(
                rng.binomial(DAILY[kind], means[:, None], (repetitions, GROUPS, DAYS)), axis=2
            )
            found = np.array([_trial(each.T.tolist(), DAILY[kind]) for each in ones])
            for column, system in ((0, "everloop"), (2, "z with Holm at every look")):
                yield {
                    "system": system,
                    "study": "fairness",
                    "rewards": kind,
                    "parity": parity,
                    "alarms": float(found[:, column].mean()),
                    "certified": float(found[:, column + 1].mean()),
                    "repetitions": repetitions,
                }


def _trial(days: list[list[int]], daily: int) -> tuple[bool, bool, bool, bool]:
    """Whether a group was ever alarmed of, and all certified: over all looks, and by one look's z."""
    answers = [False] * 4
    for day, ones in enumerate(days):
        n = daily * (day + 1)
        groups = tuple(
            GroupSums(str(place), n, n, float(k), k * (n - k) / n) for place, k in enumerate(ones)
        )
        compared = parities(groups, LIMIT, ALPHA)
        fixed = [_z(groups, place) for place in range(GROUPS)]
        answers[0] |= bool(holm([g.below for g in compared], ALPHA))
        answers[1] |= all(g.above <= ALPHA for g in compared)
        answers[2] |= bool(holm(fixed, ALPHA))
        answers[3] |= all(1.0 - p <= ALPHA for p in fixed)
    return answers[0], answers[1], answers[2], answers[3]


def _z(groups: tuple[GroupSums, ...], place: int) -> float:
    """One-sided probability that a group's parity is this low at one look."""
    one = groups[place]
    others = [g for g in groups if g is not one]
    n = sum(g.n for g in others)
    rest = sum(g.total for g in others) / n
    error = one.squares / one.n**2 + LIMIT**2 * sum(g.squares for g in others) / n**2
    if error <= 0:
        return 0.5
    return NormalDist().cdf((one.total / one.n - LIMIT * rest) / math.sqrt(error))
