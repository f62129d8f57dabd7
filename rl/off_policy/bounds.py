"""The gate's bounds of candidate - baseline: what is fixed beforehand, and the two bets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float, Int
from everloop.contracts.loop_spec import LoopSpec
from rl.off_policy import regression
from rl.off_policy.allowed import Allowed, allowed
from rl.off_policy.difference import Known, Terms, lower_bound, overshoot, plan, terms
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.regression import RewardRegression
from rl.off_policy.scoring import first_decisions, judged_rows
from rl.off_policy.shares import bound_share

METHOD = "doubly robust; bounds by betting over people, error {alpha:g} on each side"
KEPT_SHARE = 0.95
"""A person's first k decisions are used, with the smallest k that keeps this share of the training
people's decisions."""
_PILOT_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is fixed before the held-out rewards are looked at, and the decisions to be judged.

    Attributes:
        judged: the held-out people's decisions that are used.
        rows: (n,) their positions in the whole dataset.
        pilot: training people's decisions on which the bounds are planned.
        model: the reward model, fitted on training people.
        known: ranges of rewards, predictions and weights.
        epsilon: exploration of the policies that are judged.
        allowed, pilot_allowed: what they may do at ``judged`` and at ``pilot``.
        alpha: error probability of each bound.
    """

    judged: EncodedEpisodes
    rows: Int
    pilot: EncodedEpisodes
    model: RewardRegression
    known: Known
    epsilon: float
    allowed: Allowed
    pilot_allowed: Allowed
    alpha: float


def prepare(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    exploration_floor: float,
    candidates: int,
    epsilon: float | None = None,
) -> Judgement:
    """Fit the reward model and fix ranges, error probability and the most decisions of a person.

    A propensity below ``exploration_floor`` / A anywhere in the log contradicts the floor: then no
    bound on weights is claimed (``Known.overshoot`` is infinite). ``epsilon``: exploration of the judged
    policies; by default that of a service that has logged ``episodes`` and no more.
    """
    if epsilon is None:
        epsilon = spec.serving_epsilon(len(episodes))
    training, judged = episodes.training, episodes.evaluation
    most = most_decisions(training)
    kept = first_decisions(judged, most)
    pilot = _pilot(training, most)
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    model = regression.fit(training, low, high)
    actions = episodes.mask.shape[1]
    smallest = min(float(e.propensity.min(initial=1.0)) for e in (pilot, judged))
    holds = exploration_floor > 0 and smallest * actions >= exploration_floor * (1 - 1e-6)
    # a flag may leave a single action, which is then taken for sure
    least_explored = 0.0 if spec.constraints.flags else epsilon
    judged_kept = judged.where(kept)
    known = Known(
        low=low,
        high=high,
        q_low=model.low,
        q_high=model.high,
        overshoot=overshoot(actions, exploration_floor, least_explored) if holds else math.inf,
        most=most,
    )
    return Judgement(
        judged=judged_kept,
        rows=np.flatnonzero(judged_rows(episodes))[kept],
        pilot=pilot,
        model=model,
        known=known,
        epsilon=epsilon,
        allowed=allowed(spec, judged_kept),
        pilot_allowed=allowed(spec, pilot),
        alpha=bound_share(spec.thresholds.alpha, candidates, compared=1),
    )


def most_decisions(training: EncodedEpisodes) -> int:
    """k: how many decisions of one person are used; fixed by the training people alone.

    A bound over people must know the most that one person can contribute, and one with a hundred
    decisions would widen it for everybody.
    """
    counts = np.unique(training.person, return_counts=True)[1]
    needed = KEPT_SHARE * counts.sum()
    most = 1
    while np.minimum(counts, most).sum() < needed:
        most += 1
    return most


def _pilot(training: EncodedEpisodes, most: int) -> EncodedEpisodes:
    """Training decisions with a propensity, of whole people, at most ``_PILOT_ROWS``."""
    pilot = training.where((training.propensity > 0) & (training.propensity <= 1))
    pilot = pilot.where(first_decisions(pilot, most))
    if len(pilot) <= _PILOT_ROWS:
        return pilot
    return pilot.where(pilot.person < np.sort(pilot.person)[_PILOT_ROWS])


@dataclass(frozen=True, slots=True)
class Sides:
    """The two policies on the same n decisions; None is the logging policy."""

    candidate: WeightedDecisions
    baseline: WeightedDecisions | None
    reward: Float
    person: Int


def bounds_of_difference(setting: Judgement, pilot: Sides, judged: Sides) -> tuple[float, float]:
    """(lower, upper) bound of V(candidate) - V(baseline), each wrong with probability ``alpha``.

    The upper bound is the lower bound of V(baseline) - V(candidate), negated.

    Raises:
        ShouldFixArgument: a value lies outside what was declared, so that no bound holds.
    """
    known, people = setting.known, len(np.unique(judged.person))

    def one_sided(reverse: bool) -> float:
        pilot_terms, judged_terms = (_terms(part, known, reverse) for part in (pilot, judged))
        chosen = plan(pilot_terms, pilot.person, known, people, setting.alpha)
        return lower_bound(judged_terms, judged.person, known, chosen, setting.alpha)

    return one_sided(reverse=False), -one_sided(reverse=True)


def _terms(both: Sides, known: Known, reverse: bool) -> Terms:
    plus, minus = both.candidate, both.baseline
    reward = np.clip(both.reward, known.low, known.high)
    return terms(minus, plus, reward, known) if reverse else terms(plus, minus, reward, known)
