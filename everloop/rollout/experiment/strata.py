"""A trial's decisions by person and stratum: a day, or the part of one at a constant traffic.

Within a stratum everybody's chance of meeting the candidate is the same, so its two arms differ by the
candidate alone, whatever the day was like. Across strata they do not: people who came when the ramp was
higher are more often the candidate's, and days differ, so that a mean over all of them compares days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.observations import CANDIDATE, Floats, Ints, TrialObservations


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What c (person, stratum, arm) hold of one measure.

    Attributes:
        person, stratum: (c,) numbers from 0, strata in order of time; ``people`` and ``strata`` how many.
        candidate: (c,) whether the person met the candidate there.
        count: (c,) decisions with a value, > 0.
        total: (c,) sum of the values.
    """

    person: Ints
    stratum: Ints
    candidate: NDArray[np.bool_]
    count: Floats
    total: Floats
    people: int
    strata: int

    def __post_init__(self) -> None:
        sizes = {
            len(a) for a in (self.person, self.stratum, self.candidate, self.count, self.total)
        }
        if len(sizes) != 1:
            raise ShouldFixArgument(f"Cells: columns of lengths {sorted(sizes)}.")
        if (self.count <= 0).any() or not np.isfinite(self.total).all():
            raise ShouldFixArgument("Cells: an empty cell, or one without a finite sum.")

    def where(self, kept: NDArray[np.bool_]) -> Cells:
        return Cells(
            self.person[kept],
            self.stratum[kept],
            self.candidate[kept],
            self.count[kept],
            self.total[kept],
            self.people,
            self.strata,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The strata of a trial, D of them in order of time.

    Attributes:
        of: (n,) stratum of each decision.
        day: D days, ISO; ``percent`` (D,) their traffic.
    """

    of: Ints
    day: tuple[str, ...]
    percent: Floats


def strata_of(observations: TrialObservations) -> Strata:
    """Days in UTC, split where the traffic changed."""
    day = observations.timestamp.astype("datetime64[D]")
    steps, step = np.unique(observations.percent, return_inverse=True)
    days, index = np.unique(day, return_inverse=True)
    key, found = np.unique(index * max(len(steps), 1) + step, return_inverse=True)
    if not len(key):
        return Strata(np.zeros(0, dtype=np.int64), (), np.zeros(0))
    first = np.full(len(key), np.iinfo(np.int64).max)
    np.minimum.at(first, found, observations.timestamp.astype(np.int64))
    order = np.argsort(first, kind="stable")
    place = np.empty(len(key), dtype=np.int64)
    place[order] = np.arange(len(key))
    named = key[order]
    return Strata(
        place[found],
        tuple(str(d) for d in days[named // len(steps)]),
        np.asarray(steps[named % len(steps)], dtype=np.float64),
    )


def cells_of(observations: TrialObservations, strata: Strata, values: Floats) -> Cells:
    """Sum a measure, (n,) with NaN where a decision has none, by person, stratum and arm."""
    has = np.isfinite(values)
    candidate = (observations.arm[has] == CANDIDATE).astype(np.int64)
    width = max(len(strata.day), 1)
    key = (observations.person[has] * width + strata.of[has]) * 2 + candidate
    found, where = np.unique(key, return_inverse=True)
    size = len(found)
    return Cells(
        person=found // 2 // width,
        stratum=found // 2 % width,
        candidate=found % 2 == 1,
        count=np.bincount(where, minlength=size).astype(np.float64),
        total=np.asarray(np.bincount(where, weights=values[has], minlength=size), dtype=np.float64),
        people=observations.people,
        strata=len(strata.day),
    )
