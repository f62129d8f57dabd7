"""How often the intervals of each estimator hold the true value, and how far off estimates are.

Every repetition draws a fresh log from a world whose values are known exactly (``bench.gates.known_truth``)
and takes every estimator with each interval that it has: t and BCa bootstrap over people, and bounds by
betting of IPS, of DR and of the gate's difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.gates.known_truth import ACTIONS, Log, Rewards, World, drawn, world
from everloop.contracts.datasets import Float
from everloop.contracts.intervals import critical, wilson
from rl.off_policy import bootstrap, journeys, values
from rl.off_policy.bootstrap import bootstrap_intervals
from rl.off_policy.difference import Known, Terms, lower_bound, overshoot, plan, terms
from rl.off_policy.intervals import clustered_mean
from rl.off_policy.value_bounds import bounds_of_value

CONFIDENCE = 0.95
SIZES = (200, 2000)
EPSILONS = (0.05, 0.1, 0.3)
KINDS: tuple[Rewards, ...] = ("dense", "sparse")
_MOST = 3


@dataclass(frozen=True, slots=True)
class Coverage:
    """One estimator and kind of interval in one setting.

    Attributes:
        estimator: ips, snips, dm, dr, switch_dr, dr_os, pdis (self-normalised, journeys) or difference.
        interval: t, bootstrap or betting.
        rewards, n, epsilon: the setting; n decisions (journeys for pdis).
        repetitions: how many logs were drawn.
        undefined: repetitions in which no interval was given; they count neither for nor against.
        coverage, coverage_low, coverage_high: share of the given intervals that hold the truth, with a 95 %
            Wilson interval; NaN where none was given.
        mean_width: of the given intervals.
        truth: the true value.
        bias, bias_error: mean of estimate - truth over the repetitions, and its standard error.
    """

    estimator: str
    interval: str
    rewards: str
    n: int
    epsilon: float
    repetitions: int
    undefined: int
    coverage: float
    coverage_low: float
    coverage_high: float
    mean_width: float
    truth: float
    bias: float
    bias_error: float


@dataclass(frozen=True, slots=True)
class _Answer:
    estimator: str
    interval: str
    value: float
    low: float
    high: float


@dataclass
class _Tally:
    truth: float
    covered: int = 0
    widths: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, answer: _Answer) -> None:
        self.values.append(answer.value)
        if math.isfinite(answer.low) and math.isfinite(answer.high):
            self.widths.append(answer.high - answer.low)
            self.covered += answer.low <= self.truth <= answer.high


def interval_coverage(
    repetitions: int,
    seed: int,
    sizes: Sequence[int] = SIZES,
    epsilons: Sequence[float] = EPSILONS,
    kinds: Sequence[Rewards] = KINDS,
    resamples: int = bootstrap.RESAMPLES,
) -> tuple[Coverage, ...]:
    """Coverage, width and bias of every estimator and interval in every setting.

    Args:
        repetitions: logs per setting, >= 1; 2,000 tell 95 % from 93 %.
        seed: of the draws; every setting and repetition has its own stream.
        sizes: n, decisions per log (about) and journeys.
        epsilons: exploration of the logging and of the judged policy.
        kinds: of rewards.
        resamples: of the bootstrap.
    """
    rows: list[Coverage] = []
    for rewards in kinds:
        for epsilon in epsilons:
            truth = world(rewards, epsilon)
            for n in sizes:
                tallies: dict[tuple[str, str], _Tally] = {}
                for repetition in range(repetitions):
                    setting = [KINDS.index(rewards), round(epsilon * 1000), n]
                    rng = np.random.default_rng([seed, *setting, repetition])
                    for answer in answers(truth, rng, n, epsilon, resamples):
                        key = answer.estimator, answer.interval
                        tallies.setdefault(key, _Tally(_truth(truth, key[0]))).add(answer)
                rows += [
                    _row(key, tally, rewards, n, epsilon) for key, tally in sorted(tallies.items())
                ]
    return tuple(rows)


def answers(
    truth: World,
    rng: np.random.Generator,
    n: int,
    epsilon: float,
    resamples: int = bootstrap.RESAMPLES,
) -> Iterator[_Answer]:
    """Every estimator and interval on one fresh log, with bets planned on another one of half its size."""
    log, pilot = drawn(truth, rng, n), drawn(truth, rng, max(20, n // 2))
    parts = values.contributions(log.decisions)
    for estimate in values.with_t_intervals(parts, log.person, CONFIDENCE):
        yield _Answer(estimate.name, "t", estimate.value, estimate.low, estimate.high)
    for estimate in values.with_bootstrap_intervals(
        parts, log.decisions, log.person, CONFIDENCE, resamples
    ):
        yield _Answer(estimate.name, "bootstrap", estimate.value, estimate.low, estimate.high)
    yield from _journey_answers(log, resamples)
    yield from _betting_answers(truth, log, pilot, epsilon)


def _journey_answers(log: Log, resamples: int) -> Iterator[_Answer]:
    rows = journeys.self_normalised_pdis(log.journeys)
    by_t = clustered_mean("pdis", rows, log.journeys.person, CONFIDENCE, "")
    yield _Answer("pdis", "t", by_t.value, by_t.low, by_t.high)
    figures = [journeys.resampled_value(log.journeys)]
    low, high = bootstrap_intervals(figures, CONFIDENCE, resamples=resamples)[0]
    yield _Answer("pdis", "bootstrap", by_t.value, low, high)


def _betting_answers(truth: World, log: Log, pilot: Log, epsilon: float) -> Iterator[_Answer]:
    alpha = (1 - CONFIDENCE) / 2
    before, now = (pilot.decisions, pilot.person), (log.decisions, log.person)
    weights = log.decisions.weight
    plain = float((weights * log.decisions.reward).mean())
    corrected = float(
        (log.decisions.q_target + weights * (log.decisions.reward - log.decisions.q_logged)).mean()
    )
    yield _Answer("ips", "betting", plain, *bounds_of_value(known(truth, None), before, now, alpha))
    informed = known(truth, epsilon)
    yield _Answer("dr", "betting", corrected, *bounds_of_value(informed, before, now, alpha))

    def one_sided(turned: bool) -> float:
        first, then = (_terms(part, informed, turned) for part in (pilot, log))
        people = len(np.unique(log.person))
        chosen = plan(first, pilot.person, informed, people, alpha)
        return lower_bound(then, log.person, informed, chosen, alpha)

    gained = corrected - float(log.decisions.reward.mean())
    yield _Answer("difference", "betting", gained, one_sided(turned=False), -one_sided(turned=True))


def known(truth: World, epsilon: float | None) -> Known:
    """What is known before a log is seen; without ``epsilon`` no control variate is used."""
    return Known(
        low=truth.low,
        high=truth.high,
        q_low=float(truth.model.min()),
        q_high=float(truth.model.max()),
        overshoot=math.inf if epsilon is None else overshoot(ACTIONS, epsilon, epsilon),
        most=_MOST,
    )


def _terms(log: Log, setting: Known, turned: bool) -> Terms:
    reward: Float = log.decisions.reward
    plus, minus = (None, log.decisions) if turned else (log.decisions, None)
    return terms(plus, minus, reward, setting)


def _truth(truth: World, estimator: str) -> float:
    if estimator == "pdis":
        return truth.journey_value(truth.target)
    value = truth.value(truth.target)
    return value - truth.value(truth.logging) if estimator == "difference" else value


def _row(key: tuple[str, str], tally: _Tally, rewards: str, n: int, epsilon: float) -> Coverage:
    repetitions, given = len(tally.values), len(tally.widths)
    share = tally.covered / given if given else math.nan
    low, high = wilson(share, given, critical(0.95)) if given else (math.nan, math.nan)
    found = np.array(tally.values)
    found = found[np.isfinite(found)]
    spread = float(found.std(ddof=1)) if len(found) > 1 else math.nan
    return Coverage(
        estimator=key[0],
        interval=key[1],
        rewards=rewards,
        n=n,
        epsilon=epsilon,
        repetitions=repetitions,
        undefined=repetitions - given,
        coverage=share,
        coverage_low=low,
        coverage_high=high,
        mean_width=float(np.mean(tally.widths)) if given else math.nan,
        truth=tally.truth,
        bias=float(found.mean()) - tally.truth if len(found) else math.nan,
        bias_error=spread / math.sqrt(len(found)) if len(found) else math.nan,
    )
