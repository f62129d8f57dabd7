"""Trials of people who come once, by the million: error rates, power, and people until a decision.

Half of the people meet the candidate; each leaves one reward of 0 or 1, with a mean of .4 (dense) or
.005 (sparse). Counts are drawn exactly, so a trial of millions costs as much as one of hundreds. All
rules see the same counts at the same looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import ProportionStatistic
from numpy.typing import NDArray

from bench.gates.crossings import Crossings, Floats, crossings
from everloop.rollout.experiment.boundary import reach
from everloop.rollout.experiment.effect import AIM, tuning_for

ALPHA = 0.05
MIN_PEOPLE = 100
BASES = {"dense": 0.4, "sparse": 0.005}
LARGEST = {"dense": 60_000, "sparse": 8_000_000}
FIRST = {"dense": 100, "sparse": 2_000}
LOOKS = 160
EFFECTS = (0.0, 0.05, -0.05, -0.1, -0.2)
SYSTEMS = ("everloop", "t-test with peeking", "gbstats sequential")
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """``people``: (looks,) of each arm who come between looks; ``control`` and ``candidate``: (r, looks)
    ones among them."""

    people: Ints
    control: Ints
    candidate: Ints


def draw(
    rng: np.random.Generator, kind: str, effect: float, repetitions: int, looks: int
) -> Counts:
    ends = np.geomspace(FIRST[kind], LARGEST[kind], looks).astype(np.int64)
    people = np.diff(ends, prepend=0)
    shape = (repetitions, looks)
    base = BASES[kind]
    return Counts(
        people,
        rng.binomial(people, base, shape),
        rng.binomial(people, base * (1.0 + effect), shape),
    )


def everloop_bounds(counts: Counts) -> tuple[Floats, Floats]:
    """``effect_at`` at every look in closed form: one reward of 0 or 1 a person, every look a stratum."""
    n = counts.people.astype(np.float64)
    ones = counts.control + counts.candidate
    weight = np.cumsum(n / 2)
    value = np.cumsum((counts.candidate - counts.control) / 2, axis=1) / weight
    tight = tuning_for(1.0, 1.0, ALPHA)
    low, high = np.empty_like(value), np.empty_like(value)
    mean = ones / (2 * n)
    for look in range(len(n)):
        upto = slice(0, look + 1)
        shift = value[:, look, None] / 2
        squares = [
            y * (1 - c) ** 2 + (n[upto] - y) * c**2
            for y, c in (
                (counts.control[:, upto], mean[:, upto] - shift),
                (counts.candidate[:, upto], mean[:, upto] + shift),
            )
        ]
        # with half of the people in each arm the sandwich and the draw are the same
        variance = (squares[0] + squares[1]).sum(axis=1) / 4
        control = (counts.control[:, upto] / n[upto] * (n[upto] / 2)).sum(axis=1) / weight[look]
        spread = variance / weight[look]
        with np.errstate(divide="ignore", invalid="ignore"):
            tuning = tight * (spread / (AIM * control)) ** 2
            half = reach(variance, tuning, ALPHA) / weight[look]
        low[:, look], high[:, look] = value[:, look] - half, value[:, look] + half
    few = np.cumsum(n) < MIN_PEOPLE
    low[:, few], high[:, few] = np.nan, np.nan
    return low, high


def t_bounds(counts: Counts) -> tuple[Floats, Floats]:
    """The usual 95 % interval of one look, taken at every look."""
    n = np.cumsum(counts.people).astype(np.float64)
    control, candidate = (np.cumsum(c, axis=1) / n for c in (counts.control, counts.candidate))
    half = 1.959964 * np.sqrt((control * (1 - control) + candidate * (1 - candidate)) / n)
    return candidate - control - half, candidate - control + half


def gbstats_crossings(counts: Counts) -> Crossings:
    """gbstats' sequential test of proportions, of absolute differences, at its default tuning."""
    n = np.cumsum(counts.people).tolist()
    control, candidate = np.cumsum(counts.control, axis=1), np.cumsum(counts.candidate, axis=1)
    config = SequentialConfig(difference_type="absolute", alpha=ALPHA)
    side, look = np.zeros(len(control), np.int64), np.full(len(control), len(n) - 1)
    for row, (zeros, ones) in enumerate(zip(control.tolist(), candidate.tolist(), strict=True)):
        for at, people in enumerate(n):
            if zeros[at] == 0 or ones[at] == 0:
                continue
            low, high = SequentialTwoSidedTTest(
                ProportionStatistic(people, zeros[at]),
                ProportionStatistic(people, ones[at]),
                config,
            ).confidence_interval
            if low > 0 or high < 0:
                side[row], look[row] = (1 if low > 0 else -1), at
                break
    return Crossings(side, look)


def measure(seed: int, repetitions: int, looks: int = LOOKS) -> Iterator[dict[str, Any]]:
    """One row per kind of reward, effect and system."""
    for kind in BASES:
        for effect in EFFECTS:
            rng = np.random.default_rng([seed, list(BASES).index(kind), EFFECTS.index(effect)])
            counts = draw(rng, kind, effect, repetitions, looks)
            people = np.cumsum(counts.people).astype(np.float64)
            found = (
                crossings(*everloop_bounds(counts)),
                crossings(*t_bounds(counts)),
                gbstats_crossings(counts),
            )
            for system, each in zip(SYSTEMS, found, strict=True):
                yield {
                    "system": system,
                    "study": "people who come once",
                    "rewards": kind,
                    "effect": effect,
                    "better": each.share(1),
                    "worse": each.share(-1),
                    "median_people_per_arm": each.median(1 if effect > 0 else -1, people)
                    if effect
                    else None,
                    "repetitions": repetitions,
                }
