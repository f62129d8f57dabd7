"""The value of short journeys by per-decision importance sampling, self-normalised at each step.

A journey is a person's decisions without a pause of more than ``journeys.ends_after_hours``. Journey j has
L_j <= T steps with rewards r_jt and weights w_jt = pi(a|x) / p, and rho_jt = w_j1 ... w_jt; after its end
r_jt = 0 and rho_jt = rho_jL. With discount g,

    PDIS:                  V = 1/J sum_j sum_t g^(t-1) rho_jt r_jt
    self-normalised PDIS:  V = sum_t g^(t-1) sum_j rho_jt r_jt / sum_j rho_jt

(Precup, Sutton, Singh 2000, "Eligibility traces for off-policy policy evaluation"; Thomas 2015, "Safe
reinforcement learning", section 3.6). The first is unbiased where every action is supported, the second
consistent and far less variable. Products of weights lose their effective sample with every step, so
journeys of more than ``LONGEST`` steps are refused. States in which journeys begin stay as they were
logged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from rl.off_policy.bootstrap import Figure

LONGEST = 3
"""Steps; with ten, ten thousand journeys count for four."""


@dataclass(frozen=True, slots=True)
class Journeys:
    """J journeys of at most T steps.

    Attributes:
        reward: (J, T), 0 after a journey's end.
        weight: (J, T) w >= 0, 1 after its end.
        length: (J,) 1..T.
        person: (J,) whose each is.

    Raises:
        ShouldFixArgument: shapes differ, a number is not finite, a weight is negative, or something
            lies after a journey's end.
    """

    reward: Float
    weight: Float
    length: Int
    person: Int

    def __post_init__(self) -> None:
        shape = self.reward.shape
        if len(shape) != 2 or self.weight.shape != shape or shape[:1] != self.length.shape:
            raise ShouldFixArgument(
                f"Journeys: reward has shape {shape}, weight {self.weight.shape}, "
                f"length {self.length.shape}.",
                "Give (J, T), (J, T) and (J,).",
            )
        if self.person.shape != self.length.shape:
            raise ShouldFixArgument(
                f"Journeys: {len(self.person)} people for {len(self.length)} journeys."
            )
        if not (np.isfinite(self.reward).all() and np.isfinite(self.weight).all()):
            raise ShouldFixArgument("Journeys hold NaN or infinity.", "Leave such journeys out.")
        if (self.weight < 0).any():
            raise ShouldFixArgument(f"Journeys: weight {self.weight.min()} is negative.")
        if len(self) and not 1 <= self.length.min() <= self.length.max() <= shape[1]:
            raise ShouldFixArgument(
                f"Journeys: lengths {self.length.min()}..{self.length.max()} are not in 1..{shape[1]}."
            )
        over = np.arange(shape[1]) >= self.length[:, None]
        if (self.reward[over] != 0).any() or (self.weight[over] != 1).any():
            raise ShouldFixArgument(
                "Journeys go on after their end.", "Give reward 0 and weight 1 there."
            )

    def __len__(self) -> int:
        return len(self.length)

    @property
    def ratio(self) -> Float:
        """(J, T) rho_jt."""
        return np.asarray(np.cumprod(self.weight, axis=1))


@dataclass(frozen=True, slots=True)
class Steps:
    """To which journey n decisions belong: ``journey`` (n,) 0..J-1, ``step`` (n,) 0.."""

    journey: Int
    step: Int


def split(person: Int, timestamp: Float, ends_after_hours: float) -> Steps:
    """Split people's decisions into journeys: a pause of more than ``ends_after_hours`` ends one.

    Args:
        person: (n,) whose decision each is; every decision of these people, rewarded or not.
        timestamp: (n,) seconds since the epoch.
        ends_after_hours: > 0.
    """
    order = np.lexsort((np.arange(len(person)), timestamp, person))
    who, when = person[order], timestamp[order]
    begins = np.ones(len(order), dtype=np.bool_)
    pause = np.diff(when) > ends_after_hours * 3600.0
    begins[1:] = (np.diff(who) != 0) | pause
    first = np.flatnonzero(begins)
    in_order = np.cumsum(begins) - 1
    journey = np.empty(len(order), dtype=np.int64)
    step = np.empty(len(order), dtype=np.int64)
    journey[order] = in_order
    step[order] = np.arange(len(order)) - (first[in_order] if len(first) else 0)
    return Steps(journey, step)


def complete(steps: Steps, usable: Bool) -> Bool:
    """(n,) whether every decision of its journey is ``usable``: products need each step."""
    journeys = int(steps.journey.max(initial=-1)) + 1
    broken = np.bincount(steps.journey[~usable], minlength=journeys) > 0
    return np.asarray(~broken[steps.journey])


def only(steps: Steps, rows: Bool) -> Steps:
    """The steps of whole journeys alone, journeys numbered anew."""
    journey = np.unique(steps.journey[rows], return_inverse=True)[1]
    return Steps(journey.astype(np.int64), steps.step[rows])


def assemble(steps: Steps, reward: Float, weight: Float, person: Int) -> Journeys:
    """Lay n decisions of whole journeys out as (J, T)."""
    journey = steps.journey
    shape = int(journey.max(initial=-1)) + 1, int(steps.step.max(initial=0)) + 1
    rewards, weights = np.zeros(shape), np.ones(shape)
    rewards[journey, steps.step] = reward
    weights[journey, steps.step] = weight
    people = np.zeros(shape[0], dtype=np.int64)
    people[journey] = person
    return Journeys(rewards, weights, np.bincount(journey, minlength=shape[0]), people)


def effective_sample(steps: Steps, weight: Float) -> float:
    """(sum rho)^2 / sum rho^2 over whole journeys of any length; 0 where every product is 0."""
    with np.errstate(divide="ignore"):
        logs = np.bincount(steps.journey, weights=np.log(weight))
    top = float(logs.max(initial=-math.inf))
    if top == -math.inf:
        return 0.0
    whole = np.exp(logs - top)
    return float(whole.sum()) ** 2 / float((whole**2).sum())


def require_short(steps: Steps, weight: Float, least_effective: float) -> None:
    """Refuse journeys that importance sampling cannot judge.

    Args:
        steps: of n decisions of whole journeys, of any length.
        weight: (n,) w >= 0.
        least_effective: the effective sample that an estimate needs, > 0.

    Raises:
        ShouldCollectMoreData: a journey is longer than ``LONGEST``, or the effective sample is too small.
    """
    length = np.bincount(steps.journey)
    longest = int(length.max(initial=0))
    effective = effective_sample(steps, weight)
    known = (
        f"the longest of {len(length):,} journeys has {longest:,} decisions, and together they count "
        f"for {effective:,.1f} of the policy's own"
    )
    if longest > LONGEST:
        share = float((length > LONGEST).mean())
        raise ShouldCollectMoreData(
            f"Journeys of more than {LONGEST} decisions cannot be judged off-policy: {known} "
            f"({share:.1%} are longer than {LONGEST}).",
            "Rely on one-step values before a trial and on the trial itself, or declare a shorter "
            "journeys.ends_after_hours where decisions that far apart do not belong together.",
        )
    if not effective >= least_effective:
        raise ShouldCollectMoreData(
            f"Too few journeys resemble the policy's: {known}; {least_effective:,.0f} are needed.",
            "Log more journeys, or explore more while logging.",
        )


def pdis(journeys: Journeys, discount: float = 1.0) -> Float:
    """(J,) contributions of per-decision importance sampling: their mean is the estimate."""
    return np.asarray(
        (_discounts(journeys, discount) * journeys.ratio * journeys.reward).sum(axis=1)
    )


def self_normalised_pdis(journeys: Journeys, discount: float = 1.0) -> Float:
    """(J,) contributions of the self-normalised estimate: their mean is V.

    Linearised ratios, V + sum_t g^(t-1) rho_jt (r_jt - V_t) / mean(rho_t), so that their spread is that
    of V to first order. All NaN where every journey has weight 0 at a step.
    """
    ratio = journeys.ratio
    mean = ratio.mean(axis=0) if len(journeys) else np.zeros(ratio.shape[1])
    if not (mean > 0).all():
        return np.full(len(journeys), math.nan)
    discounts = _discounts(journeys, discount)
    by_step = (ratio * journeys.reward).mean(axis=0) / mean
    away = discounts * ratio * (journeys.reward - by_step) / mean
    return np.asarray((discounts * by_step).sum() + away.sum(axis=1))


def resampled_value(journeys: Journeys, discount: float = 1.0) -> Figure:
    """The self-normalised estimate as sums over people, for the bootstrap."""
    index = np.unique(journeys.person, return_inverse=True)[1]
    steps = journeys.reward.shape[1]
    columns = np.zeros((int(index.max(initial=-1)) + 1, 2 * steps))
    np.add.at(columns, index, np.hstack([journeys.ratio * journeys.reward, journeys.ratio]))
    discounts = _discounts(journeys, discount)

    def value(sums: Float) -> Float:
        return np.asarray((discounts * sums[..., :steps] / sums[..., steps:]).sum(axis=-1))

    return Figure(columns, value)


def _discounts(journeys: Journeys, discount: float) -> Float:
    if not 0.0 <= discount <= 1.0:
        raise ShouldFixArgument(f"discount={discount} is outside [0, 1].", "Give a share.")
    return np.asarray(discount ** np.arange(journeys.reward.shape[1], dtype=np.float64))
