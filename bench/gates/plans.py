"""Whether plans hold: the share of trials that find an effect by the day that the planner named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.gates.returning import RAMP, everloop_path, play
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.rollout.experiment.planner import POWER, TrialPast, past_of, plan

ROLLOUT = RolloutSpec(
    ramp=(1.0, 5.0, 25.0, 50.0, 95.0),
    dwell_hours=(48.0, 48.0, 72.0, 72.0, 24.0),
    max_days=len(RAMP),
    holdout_percent=0.0,
)
EFFECTS = {"dense": (0.25, -0.3), "sparse": (1.0,)}
MANY = {"dense": 800, "sparse": 8_000}


def measure(seed: int, repetitions: int) -> Iterator[dict[str, Any]]:
    """Plan from a week without a trial, then run trials without drift with the planned effect."""
    for kind, effects in EFFECTS.items():
        past = _past(seed, kind)
        for effect in effects:
            planned = plan(ROLLOUT, past, (effect,)).effects[0]
            found = None
            if planned.days is not None:
                found = _found(seed, kind, effect, round(planned.days), repetitions)
            yield {
                "system": "everloop",
                "study": "plan",
                "rewards": kind,
                "effect": effect,
                "planned_days": planned.days,
                "planned_power": POWER,
                "found": found,
                "repetitions": repetitions if found is not None else 0,
            }


def _past(seed: int, kind: str) -> TrialPast:
    """Measured on a week in which nobody meets a candidate; dense people's earlier behaviour explains what
    it explains in the trials, of which the planner is told nothing."""
    rng = np.random.default_rng([seed, 9, list(MANY).index(kind)])
    week = play(rng, kind, np.zeros(7), np.zeros(7), drift=False, people=MANY[kind])
    person, day = np.nonzero(week.count)
    count = week.count[person, day].astype(np.int64)
    mean = week.total[person, day] / week.count[person, day]
    who, when = np.repeat(person, count), np.repeat(day, count)
    reward = np.repeat(mean, count)
    if kind == "sparse":
        ones = week.total[person, day].astype(np.int64)
        first = np.repeat(np.cumsum(count) - count, count)
        reward = (np.arange(len(who)) - first < np.repeat(ones, count)).astype(np.float64)
    else:
        reward += rng.normal(size=len(who)) * 0.35 * np.sqrt(1.0 - 1.0 / np.repeat(count, count))
    return past_of(who, when, reward, 0.0)


def _found(seed: int, kind: str, effect: float, days: int, repetitions: int) -> float:
    shares, found = np.array(RAMP), 0
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, 10, repetition])
        trial = play(
            rng, kind, shares, np.full(len(shares), effect), drift=False, people=MANY[kind]
        )
        low, high = everloop_path(trial.moments())
        reached = low > 0 if effect > 0 else high < 0
        found += bool(reached[:days].any())
    return found / repetitions
