"""Trials of people who come back day after day, while days differ and the ramp grows.

Rewards drift over the days by up to half of their mean; people differ (dense: a person's own level,
sparse: a person's own rate), come on most days, and get more or fewer decisions. Every rule looks at
the end of each day. The peers see what a plain comparison sees: each arm's people and their ratio of
sums so far, over all days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import RatioStatistic, SampleMeanStatistic
from numpy.typing import NDArray

from bench.gates.crossings import Crossings, Floats, crossings
from bench.gates.once import ALPHA, MIN_PEOPLE, SYSTEMS, Ints
from everloop.rollout.experiment.drift import cusum, departures
from everloop.rollout.experiment.effect import AIM, effect_at
from everloop.rollout.experiment.moments import Moments, moments_of
from everloop.rollout.experiment.strata import Cells

RAMP = (0.01,) * 2 + (0.05,) * 2 + (0.25,) * 3 + (0.5,) * 3 + (0.95,) * 4
TRAFFIC = {"ramp": RAMP, "1 against 99": (0.01,) * 14, "half": (0.5,) * 14}
PEOPLE = {"dense": 800, "sparse": 2_500}
DRIFT_THRESHOLD, DRIFT_SLACK = 5.0, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """``count``, ``total``: (P, D) decisions and rewards; ``met``: (P, D); ``covariates``: (P, 2)."""

    count: Floats
    total: Floats
    met: NDArray[np.bool_]
    covariates: Floats

    def moments(self) -> Moments:
        person, day = np.nonzero(self.count)
        cells = Cells(
            person,
            day,
            self.met[person, day],
            self.count[person, day],
            self.total[person, day],
            *self.count.shape,
        )
        return moments_of(cells, self.covariates)


def play(
    rng: np.random.Generator,
    kind: str,
    shares: Floats,
    effect: Floats,
    drift: bool = True,
    people: int | None = None,
) -> Trial:
    """One trial; ``effect``: (D,) share of the mean by which the candidate differs on each day."""
    people, days = people or PEOPLE[kind], len(shares)
    activity = rng.gamma(1.0, 1.0, people)[:, None]
    count = rng.poisson(2.0 * activity, (people, days)) * (rng.random((people, days)) < 0.8)
    met = rng.random(people)[:, None] < shares
    times = np.arange(days)
    season = 1.0 + (0.3 * np.sin(times) + 0.04 * times if drift else np.zeros(days))
    lift = 1.0 + effect * met
    if kind == "dense":
        own = rng.normal(0.0, 0.2, people)
        noise = rng.normal(size=(people, days)) * np.sqrt(count) * 0.35
        total = count * (0.4 * season * lift + own[:, None]) + noise
        before = own + rng.normal(0.0, 0.15, people)
    else:
        rate = 0.005 * rng.gamma(1.0, 1.0, people)
        total = rng.binomial(count, np.clip(rate[:, None] * season * lift, 0, 1)).astype(np.float64)
        before = rng.binomial(40, np.clip(rate, 0, 1)) / 40
    has = rng.random(people) < 0.7
    covariates = np.stack([np.where(has, before - before[has].mean(), 0.0), has], axis=1)
    return Trial(count.astype(np.float64), total, met, covariates.astype(np.float64))


def everloop_path(moments: Moments, last_only: bool = False) -> tuple[Floats, Floats]:
    """Bounds at the end of each day, or of the last one alone."""
    low, high = np.full(moments.strata, np.nan), np.full(moments.strata, np.nan)
    for day in range(moments.strata - 1 if last_only else 0, moments.strata):
        if moments.people[:, : day + 1].sum(axis=1).min() < MIN_PEOPLE:
            continue
        effect = effect_at(moments, day + 1)
        low[day], high[day] = effect.interval(ALPHA, AIM * effect.control)
    return low, high


def pooled(trial: Trial) -> list[tuple[RatioStatistic, RatioStatistic]]:
    """Each arm's ratio of sums at the end of each day; who moved up counts in both arms."""
    arms = []
    for met in (False, True):
        mine = trial.met == met
        count = np.cumsum(trial.count * mine, axis=1)
        total = np.cumsum(trial.total * mine, axis=1)
        arms.append(
            zip(
                (count > 0).sum(axis=0).tolist(),
                total.sum(axis=0).tolist(),
                (total**2).sum(axis=0).tolist(),
                count.sum(axis=0).tolist(),
                (count**2).sum(axis=0).tolist(),
                (count * total).sum(axis=0).tolist(),
                strict=True,
            )
        )
    return [
        (_ratio(*control), _ratio(*candidate)) for control, candidate in zip(*arms, strict=True)
    ]


def _ratio(
    n: int, total: float, squares: float, count: float, counts: float, products: float
) -> RatioStatistic:
    return RatioStatistic(
        n, SampleMeanStatistic(n, total, squares), SampleMeanStatistic(n, count, counts), products
    )


def peer_paths(trial: Trial) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Bounds of the fixed t-test and of gbstats' sequential test, looked at daily."""
    config = SequentialConfig(difference_type="absolute", alpha=ALPHA)
    days = trial.count.shape[1]
    fixed, sequential = np.full((2, days), np.nan), np.full((2, days), np.nan)
    for day, (control, candidate) in enumerate(pooled(trial)):
        if min(control.n, candidate.n) < 2:
            continue
        spread = control.variance / control.n + candidate.variance / candidate.n
        if not (spread > 0 and control.m_statistic.sum and candidate.m_statistic.sum):
            continue
        half = 1.959964 * np.sqrt(spread)
        fixed[:, day] = candidate.mean - control.mean + np.array([-half, half])
        sequential[:, day] = SequentialTwoSidedTTest(control, candidate, config).confidence_interval
    return (fixed[0], fixed[1]), (sequential[0], sequential[1])


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What r repetitions of one setting came to: crossings by system, whether the interval held
    the truth at every look, whether the drift alarm rang, and CUPED's share of the variance."""

    found: tuple[Crossings, ...]
    covered: float
    drifted: float
    reduction: float


def replay(seed: int, kind: str, traffic: str, effect: float, repetitions: int) -> Played:
    """Play a setting again and again; ``effect`` as a share of the dense mean of the day."""
    shares = np.array(TRAFFIC[traffic])
    bounds = np.full((3, 2, repetitions, len(shares)), np.nan)
    drifted, reductions = 0, []
    place = [list(PEOPLE).index(kind), list(TRAFFIC).index(traffic), round(1000 * (effect + 1))]
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, *place, repetition])
        trial = play(rng, kind, shares, np.full(len(shares), effect))
        moments = trial.moments()
        bounds[0, :, repetition] = everloop_path(moments)
        bounds[1:, :, repetition] = peer_paths(trial)
        drifted += cusum(departures(moments), DRIFT_SLACK, DRIFT_THRESHOLD)[1]
        reductions.append(effect_at(moments).reduction)
    missed = (bounds[0, 0] > 0) | (bounds[0, 1] < 0)
    return Played(
        tuple(crossings(low, high) for low, high in bounds),
        1.0 - float(missed.any(axis=1).mean()),
        drifted / repetitions,
        float(np.nanmean(reductions)),
    )


def replay_hours(seed: int, repetitions: int, parts: int = 4) -> Crossings:
    """A dense trial without an effect along the ramp, looked at ``parts`` times a day."""
    shares = np.repeat(np.array(RAMP), parts)
    low, high = np.full((2, repetitions, len(shares)), np.nan)
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, 99, repetition])
        trial = play(rng, "dense", shares, np.zeros(len(shares)))
        person, part = np.nonzero(trial.count)
        for look in range(len(shares)):
            so_far = part <= look
            moments = _by_day(trial, person[so_far], part[so_far], parts)
            bounds = everloop_path(moments, last_only=True)
            low[repetition, look], high[repetition, look] = bounds[0][-1], bounds[1][-1]
    return crossings(low, high)


def _by_day(trial: Trial, person: Ints, part: Ints, parts: int) -> Moments:
    """Parts of a day are cells of one stratum."""
    cells = Cells(
        person,
        part // parts,
        trial.met[person, part],
        trial.count[person, part],
        trial.total[person, part],
        len(trial.count),
        int(part.max()) // parts + 1,
    )
    return moments_of(cells, trial.covariates)


def rows_of(
    played: Played, kind: str, traffic: str, effect: float, repetitions: int
) -> Iterator[dict[str, Any]]:
    for system, each in zip(SYSTEMS, played.found, strict=True):
        ours = system == SYSTEMS[0]
        yield {
            "system": system,
            "study": f"people who come back, {traffic}",
            "rewards": kind,
            "effect": effect,
            "better": each.share(1),
            "worse": each.share(-1),
            "covered_at_every_look": played.covered if ours and not effect else None,
            "drift_alarms": played.drifted if ours else None,
            "variance_reduction": played.reduction if ours else None,
            "repetitions": repetitions,
        }
