"""Observations and cells for tests of the experiment engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.loops import load
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.strata import Cells

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = load("companion")
RECORD = RolloutRecord(
    rollout_id="trial",
    loop=SPEC.name,
    candidate="new",
    active="old",
    state="started",
    traffic_percent=50.0,
    reasons=("It may.",),
    recorded_at=BEGUN,
    history=(Stay("started", 50.0, BEGUN),),
)


def cells(rows: Sequence[tuple[int, int, bool, float, float]], people: int, strata: int) -> Cells:
    """Of (person, stratum, candidate, count, total)."""
    person, stratum, candidate, count, total = (np.array(c) for c in zip(*rows, strict=True))
    return Cells(
        person, stratum, candidate, count.astype(float), total.astype(float), people, strata
    )


def observed(
    seed: int,
    people: int = 600,
    days: int = 6,
    effect: float = 0.0,
    shares: Sequence[float] = (0.5,),
    group_effect: float = 0.0,
    **changes: Any,
) -> TrialObservations:
    """One decision a day of everybody, at noon; the ramp's steps divide the days; days rise by .05.

    People differ, and half of them have a history that tells of it. Groups: old and young, by halves;
    ``group_effect`` is what the candidate adds for the old.
    """
    rng = np.random.default_rng(seed)
    place = rng.random(people)
    own = rng.normal(0.0, 0.15, people)
    day = np.repeat(np.arange(days), people)
    person = np.tile(np.arange(people), days)
    share = np.array([shares[d * len(shares) // days] for d in range(days)])[day]
    arm = (place[person] < share).astype(np.int8)
    old = person % 2 == 0
    mean = 0.1 + 0.05 * day + own[person] + arm * (effect + group_effect * old)
    reward = np.clip(mean + rng.normal(0.0, 0.2, len(person)), -1.0, 1.0)
    columns: dict[str, Any] = {
        "person": person,
        "timestamp": np.datetime64("2026-03-01T12", "us") + day.astype("timedelta64[D]"),
        "arm": arm,
        "percent": 100.0 * share,
        "reward": reward,
        "signals": np.stack([reward, -reward, np.full(len(reward), 0.5)], axis=1),
        "signal_names": SPEC.signal_names,
        "before": np.where(np.arange(people) % 4 < 2, own, np.nan),
        "shares": {100.0 * s: s for s in shares},
        "segments": {"age_group": np.where(old, "old", "young")},
    }
    return TrialObservations(**{**columns, **changes})
