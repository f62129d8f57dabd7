"""Before a trial: how long it takes, and which effect it can see.

The trial's information is laid out along the ramp, day by day and step by step, each step held for its
dwell time and the last one until the end: H and V as ``effect`` will sum them up, with its weights,
people who come back counted once. At the end of each such stratum an effect is found with a probability
of at least

    power = P(N(0, 1) > (reach(V) - |effect| H) / sqrt(V)),

the probability of being beyond the line there, which leaves out trials that crossed it earlier and came
back: plans err on the long side. A gain of a share g is planned with a variance that is larger by
g (1 - p), as that of rare rewards is, whose variance grows with their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.rollout.experiment.boundary import reach
from everloop.rollout.experiment.effect import AIM, tuning_for
from everloop.rollout.experiment.moments import nested_draw
from everloop.rollout.experiment.observations import Floats, Ints
from everloop.rollout.experiment.weights import stratum_weights

POWER = 0.8
SHARES = (0.05, -0.05, -0.1, -0.2)
"""Effects that a plan tells of, as shares of the control's value above the least attainable."""
LARGEST = 10.0
"""Share above which no effect is looked for."""
_DAY = 24
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class TrialPast:
    """What is known of people before a trial.

    Attributes:
        people: who come on a day; ``decisions`` of them all on a day.
        value: mean reward above the least attainable one.
        variance: of the reward of one decision, within a day.
        correlation: between rewards of two decisions of one person, in [0, 1].
        same_day: other decisions that a decision's person gets on the same day, on average.
        other_day: decisions that a decision's person gets on another day, on average.
        explained: share of the effect's variance that earlier behaviour takes (CUPED), in [0, 1).
    """

    people: float
    decisions: float
    value: float
    variance: float
    correlation: float = 0.0
    same_day: float = 0.0
    other_day: float = 0.0
    explained: float = 0.0

    def __post_init__(self) -> None:
        sound = (
            0 < self.people <= self.decisions < math.inf
            and self.value > 0
            and self.variance > 0
            and 0 <= self.correlation <= 1
            and self.same_day >= 0
            and self.other_day >= 0
            and 0 <= self.explained < 1
        )
        if not sound:
            raise ShouldFixArgument(
                f"{self} cannot be planned with.",
                "Give people who come, a value above the least attainable, and a variance.",
            )


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """An effect as a share of the control's value; ``days`` until it is found with ``POWER``, None: not
    within the trial. ``people`` of the smaller arm by then, or by the trial's end."""

    share: float
    days: float | None
    people: int


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """``detectable``: least effect, as a share, that is found with ``POWER`` by the last day; NaN for none.

    ``ramp_days``: until the last step is reached.
    """

    past: TrialPast
    ramp_days: float
    max_days: int
    effects: tuple[PlannedEffect, ...]
    detectable: float

    @property
    def lines(self) -> tuple[str, ...]:
        """The plan in words."""
        told = [
            f"{self.past.people:,.0f} people and {self.past.decisions:,.0f} decisions a day; the last step "
            f"of the ramp is reached after {self.ramp_days:g} days at the earliest."
        ]
        for effect in self.effects:
            verb = "gain" if effect.share > 0 else "loss"
            found = (
                f"found within {effect.days:.1f} days ({effect.people:,} people in the smaller arm)"
                if effect.days is not None
                else f"not found within {self.max_days} days"
            )
            told.append(f"A {verb} of {abs(effect.share):.0%} is {found}, {POWER:.0%} of the time.")
        if math.isfinite(self.detectable):
            told.append(f"By day {self.max_days}, an effect of {self.detectable:.1%} is.")
        return tuple(told)


def plan(rollout: RolloutSpec, past: TrialPast, shares: tuple[float, ...] = SHARES) -> TrialPlan:
    """Plan a trial that runs along a ramp for ``max_days``; ``shares`` are effects to tell of."""
    hours, percent = laid_out(rollout)
    candidate = (1.0 - rollout.holdout_percent / 100.0) * percent / 100.0

    def power(share: float) -> Floats:
        return _power(past, hours, candidate, share, rollout.alpha)

    people = past.people * np.minimum(candidate, 1.0 - candidate)
    effects = []
    for share in shares:
        reached = power(share) >= POWER
        look = int(np.argmax(reached)) if reached.any() else None
        smaller = round(float(people[len(people) - 1 if look is None else look]))
        days = None if look is None else float(hours[: look + 1].sum()) / _DAY
        effects.append(PlannedEffect(share, days, smaller))
    last = int(np.argmax(percent == percent[-1]))
    return TrialPlan(
        past,
        float(hours[:last].sum()) / _DAY,
        rollout.max_days,
        tuple(effects),
        _detectable(power),
    )


def laid_out(rollout: RolloutSpec) -> tuple[Floats, Floats]:
    """(D,) hours and (D,) percent of traffic of the strata of a trial that begins at midnight."""
    end = float(rollout.max_days * _DAY)
    ends, at = [], 0.0
    for step in range(len(rollout.ramp)):
        at += rollout.dwell(step)
        ends.append(at)
    ends[-1] = max(ends[-1], end)
    edges = np.unique([e for e in (*ends, *range(0, int(end) + 1, _DAY), 0.0) if e <= end])
    middle = (edges[1:] + edges[:-1]) / 2
    step_of = np.searchsorted(np.array(ends), middle, side="right")
    return np.diff(edges), np.array(rollout.ramp, dtype=np.float64)[step_of]


def past_of(
    person: Ints, day: Ints, reward: Floats, attainable_low: float, explained: float = 0.0
) -> TrialPast:
    """Measure the past: (n,) numbers of people and of days, and rewards, NaN left out.

    With r a reward less its day's mean, the correlation is the mean of r r' over pairs of one person's
    decisions, over the variance, at least 0.

    Raises:
        ShouldCollectMoreData: fewer than two people or rewards, or rewards that do not vary.
    """
    known = np.isfinite(reward)
    who, when, value = person[known], day[known], reward[known]
    days, when = np.unique(when, return_inverse=True)
    people, who = np.unique(who, return_inverse=True)
    if len(people) < 2 or not np.ptp(value) > 0:
        raise ShouldCollectMoreData(
            f"{len(value)} rewards of {len(people)} people say nothing of how rewards vary.",
            "Log more decisions before planning a trial.",
        )
    counts = np.bincount(when)
    residual = value - (np.bincount(when, weights=value) / counts)[when]
    variance = float(residual @ residual) / max(len(value) - len(days), 1)
    cells, cell = np.unique(who * len(days) + when, return_inverse=True)
    each = np.bincount(cell).astype(np.float64)
    whole = np.bincount(who).astype(np.float64)
    pairs = float((whole**2 - whole).sum())
    total = np.bincount(who, weights=residual)
    shared = float(total @ total - residual @ residual) / pairs if pairs > 0 else 0.0
    n = float(len(value))
    across = float((whole**2).sum() - (each**2).sum())
    return TrialPast(
        people=len(cells) / len(days),
        decisions=n / len(days),
        value=float(value.mean()) - attainable_low,
        variance=variance,
        correlation=min(max(shared / variance, 0.0), 1.0),
        same_day=float((each**2 - each).sum()) / n,
        other_day=across / n / max(len(days) - 1, 1),
        explained=explained,
    )


def _power(past: TrialPast, hours: Floats, share: Floats, effect: float, alpha: float) -> Floats:
    """Of finding an effect, at the end of each stratum."""
    left, part = past.variance * (1.0 - past.explained), hours / _DAY
    day = np.floor((np.cumsum(hours) - hours / 2) / _DAY)
    again = np.where(day[:, None] == day, past.same_day, past.other_day)
    alike = past.correlation * past.decisions * again * np.outer(part, part)
    own = past.decisions * part * share * (1.0 - share)
    more = np.sqrt(1.0 + max(effect, 0.0) * (1.0 - share))
    covariance = (
        left * np.outer(more, more) * nested_draw(share) * (alike + np.diag(past.decisions * part))
    )
    weights = stratum_weights(own, covariance)
    weighted = covariance * np.outer(weights, weights)
    whole = np.cumsum(weights * own)
    variance = np.cumsum(np.diag(weighted) + 2.0 * np.triu(weighted, 1).sum(axis=0))
    known = whole > 0  # before, everybody met the candidate
    spread = np.cumsum(np.diag(weighted))[known] / whole[known]
    line = reach(variance[known], tuning_for(1.0, AIM * past.value, alpha) * spread**2, alpha)
    beyond = (abs(effect) * past.value * whole[known] - line) / np.sqrt(variance[known])
    found = np.zeros(len(whole))
    found[known] = [NormalDist().cdf(z) for z in beyond.tolist()]
    return found


def _detectable(power: Callable[[float], Floats]) -> float:
    low, high = 0.0, LARGEST
    if power(high)[-1] < POWER:
        return math.nan
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle)[-1] < POWER else (low, middle)
    return high
