"""The sample ratio test: false alarms, and detection of a candidate that loses some of its people.

Once with people who come for the first time along the ramp, and once with regular users, nearly all of
whom came in its first step: there, decisions are lost from 25 % on, or people who met the candidate come
less often, which is an effect and has to raise no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.gates.returning import RAMP
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.srm import ALPHA, log_evidence, sample_ratio
from everloop.rollout.experiment.visits import visits

PER_DAY = 3_000
LOST = (0.0, 0.02, 0.05, 0.1)
REGULARS = 2_000
COMES = 0.8
"""Chance of a regular user to come on a day."""
REGULAR = ((0.0, 1.0), (0.1, 1.0), (0.2, 1.0), (0.5, 1.0), (0.0, 0.7))
"""Share of the candidate's decisions that is lost from 25 % on, and how often who met it comes still."""
FEWER = 10
"""Of so many repetitions one is played with regular users: each look reads every decision."""


def measure(seed: int, repetitions: int) -> Iterator[dict[str, Any]]:
    """People come for the first time along the ramp, a tenth fewer each day; looked at daily.

    ``LOST``: share of the candidate's people whose decisions are never logged.
    """
    people = (PER_DAY * 0.9 ** np.arange(len(RAMP))).astype(np.int64)
    shares = np.array(RAMP)
    for place, lost in enumerate(LOST):
        rng = np.random.default_rng([seed, 7, place])
        candidate = rng.binomial(people, shares, (repetitions, len(shares)))
        seen = rng.binomial(candidate, 1.0 - lost)
        alarms, days = 0, []
        for control, met in zip((people - candidate).tolist(), seen.tolist(), strict=True):
            day = _alarm(control, met)
            alarms += day is not None
            days.append(math.inf if day is None else day)
        middle = float(np.quantile(days, 0.5, method="lower"))
        yield {
            "system": "everloop",
            "study": "sample ratio",
            "lost": lost,
            "alarms": alarms / repetitions,
            "median_day": middle if math.isfinite(middle) else None,
            "repetitions": repetitions,
        }


def measure_regulars(seed: int, repetitions: int) -> Iterator[dict[str, Any]]:
    """Looked at daily; ``warnings``: trials in which decisions per person departed."""
    repetitions = max(1, repetitions // FEWER)
    for place, (lost, comes) in enumerate(REGULAR):
        alarms = warnings = 0
        days = []
        for repetition in range(repetitions):
            whole = regulars(np.random.default_rng([seed, 8, place, repetition]), lost, comes)
            day, warned = _first_day(whole)
            alarms += day is not None
            warnings += warned
            days.append(math.inf if day is None else day)
        middle = float(np.quantile(days, 0.5, method="lower"))
        yield {
            "system": "everloop",
            "study": "sample ratio, people who come back",
            "lost": lost,
            "comes": comes,
            "alarms": alarms / repetitions,
            "warnings": warnings / repetitions,
            "median_day": middle if math.isfinite(middle) else None,
            "repetitions": repetitions,
        }


def regulars(rng: np.random.Generator, lost: float, comes: float) -> TrialObservations:
    """A decision a day of whoever comes."""
    place, met = rng.random(REGULARS), np.zeros(REGULARS, dtype=np.bool_)
    person, day, arm = [], [], []
    for number, share in enumerate(RAMP):
        candidate = place < share
        here = rng.random(REGULARS) < COMES * np.where(met, comes, 1.0)
        met |= here & candidate
        gone = candidate & (share >= 0.25) & (rng.random(REGULARS) < lost)
        kept = np.flatnonzero(here & ~gone)
        person.append(kept)
        arm.append(candidate[kept].astype(np.int8))
        day.append(np.full(len(kept), number))
    when = np.concatenate(day)
    return TrialObservations(
        person=np.concatenate(person),
        timestamp=np.datetime64("2026-03-01T12", "us") + when.astype("timedelta64[D]"),
        arm=np.concatenate(arm),
        percent=100.0 * np.array(RAMP)[when],
        reward=np.full(len(when), np.nan),
        signals=np.zeros((len(when), 0)),
        signal_names=(),
        before=np.full(REGULARS, np.nan),
        shares={100.0 * share: share for share in RAMP},
    )


def _first_day(whole: TrialObservations) -> tuple[int | None, bool]:
    """Day (from 1) of the alarm, and whether decisions per person departed at any look."""
    found, warned = None, False
    for day in range(1, len(RAMP) + 1):
        look = whole.where(
            whole.timestamp < np.datetime64("2026-03-01", "us") + np.timedelta64(day, "D")
        )
        warned = warned or any(v.departs for v in visits(look))
        if found is None and sample_ratio(look).mismatch:
            found = day
    return found, warned


def _alarm(control: list[int], candidate: list[int]) -> int | None:
    """Day (from 1) of the alarm. Nobody comes back: the other half of the test stays at evidence 1."""
    counts: dict[float, list[int]] = {}
    for day, share in enumerate(RAMP):
        there = counts.setdefault(share, [0, 0])
        there[0] += control[day]
        there[1] += candidate[day]
        evidence = log_evidence((c, m, s) for s, (c, m) in counts.items())
        if np.logaddexp(evidence, 0.0) - math.log(2.0) >= math.log(1.0 / ALPHA):
            return day + 1
    return None
