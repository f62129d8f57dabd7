"""The sample ratio test: false alarms, and detection of a candidate that loses some of its people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.gates.returning import RAMP
from everloop.rollout.experiment.srm import ALPHA, log_evidence

PER_DAY = 3_000
LOST = (0.0, 0.02, 0.05, 0.1)


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


def _alarm(control: list[int], candidate: list[int]) -> int | None:
    """Day (from 1) of the alarm."""
    counts: dict[float, list[int]] = {}
    for day, share in enumerate(RAMP):
        there = counts.setdefault(share, [0, 0])
        there[0] += control[day]
        there[1] += candidate[day]
        if log_evidence((c, m, s) for s, (c, m) in counts.items()) >= math.log(1.0 / ALPHA):
            return day + 1
    return None
