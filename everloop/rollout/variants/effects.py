"""What feedback says of variants: a mean each, and differences to the base that may be looked at always.

Person i who met variant a gave n_i judgements that sum to S_i, each in [-1, 1]. The rating of a is the
ratio R_a = sum S_i / sum n_i, and by the delta method (Cochran 1977, chapter 2.11), with P_a people,

    var(R_a) = P_a / (P_a - 1) sum_i (S_i - R_a n_i)^2 / (sum n_i)^2.

The difference to the base, D = R_a - R_0 with v = var(R_a) + var(R_0), has information 1/v, and D / v
behaves as Brownian motion at time 1/v; so D +- v reach(1/v, r, alpha / (k - 1)) holds over all looks and
all k - 1 variants (``everloop.rollout.experiment.boundary``). r is fixed beforehand: where the line is to
be tightest, at ten times the least number of people with judgements of standard deviation 1/2.

Ratings know only those who judged: a variant that makes unhappy people stop answering rates higher. So the
share of those who met a variant and judged anything is compared in the same way
(``everloop.rollout.variants.response``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.variants import PersonaPerformanceMetrics, PersonaVariant, VariantExperiment
from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.variants.response import Responded, response, response_difference

CONFIDENCE = 0.95
_PLANNED = 10
_VARIANCE = 0.25


@dataclass(frozen=True)
class VariantObservations:
    """P people who met a variant.

    Attributes:
        variant: (P,) index into the experiment's variants.
        total: (P,) S_i; ``count``: (P,) n_i >= 0, 0 for those who judged nothing.
    """

    variant: Int
    total: Float
    count: Int

    def __post_init__(self) -> None:
        if not len(self.variant) == len(self.total) == len(self.count):
            raise ShouldFixArgument(
                f"Variant observations have {len(self.variant)}, {len(self.total)} and "
                f"{len(self.count)} rows.",
                "Give one of each per person.",
            )
        if not (np.isfinite(self.total).all() and (np.abs(self.total) <= self.count + 1e-9).all()):
            raise ShouldFixArgument(
                "A person's judgements do not lie within [-1, 1].", "Map them before."
            )

    @cached_property
    def judged(self) -> Int:
        """(P',) positions of the people who judged something."""
        return np.asarray(np.flatnonzero(self.count > 0))


@dataclass(frozen=True, slots=True)
class _Rating:
    value: float
    variance: float
    people: int
    judgements: int


def performance(
    experiment: VariantExperiment, seen: VariantObservations
) -> tuple[PersonaVariant, ...]:
    """The experiment's variants, in their order, with what is known of each.

    ``rating`` has a fixed-time t interval for display; ``difference`` (None for the base) decides.
    """
    number = len(experiment.variants)
    ratings = [_rating(seen, index) for index in range(number)]
    met = np.bincount(seen.variant, minlength=number)
    judged = np.bincount(seen.variant[seen.judged], minlength=number)
    answers = [Responded(int(j), int(m)) for j, m in zip(judged, met, strict=True)]
    alpha = experiment.alpha / (number - 1)
    return tuple(
        replace(
            variant,
            metrics=PersonaPerformanceMetrics(
                people=int(met[index]),
                feedback=ratings[index].judgements,
                rating=_shown(variant.variant_id, ratings[index]),
                difference=None
                if index == 0
                else _difference(experiment, ratings[index], ratings[0], alpha),
                response=response(answers[index], CONFIDENCE),
                response_difference=None
                if index == 0
                else response_difference(answers[index], answers[0], experiment.min_people, alpha),
            ),
        )
        for index, variant in enumerate(experiment.variants)
    )


def _rating(seen: VariantObservations, index: int) -> _Rating:
    rows = seen.judged[seen.variant[seen.judged] == index]
    total, count = seen.total[rows], seen.count[rows].astype(np.float64)
    people, judgements = len(rows), int(count.sum())
    if not people:
        return _Rating(math.nan, math.nan, 0, 0)
    value = float(total.sum() / count.sum())
    if people == 1:
        return _Rating(value, math.nan, 1, judgements)
    residual = total - value * count
    variance = people / (people - 1) * float((residual**2).sum()) / judgements**2
    return _Rating(value, variance, people, judgements)


def _shown(name: str, rating: _Rating) -> Estimate:
    reach_of = math.nan
    if rating.people > 1:
        critical = float(stdtrit(rating.people - 1, 0.5 + CONFIDENCE / 2))
        reach_of = critical * math.sqrt(rating.variance)
    return Estimate(
        name,
        rating.value,
        rating.value - reach_of,
        rating.value + reach_of,
        CONFIDENCE,
        rating.judgements,
        rating.people,
        "mean judgement; t interval over people",
    )


def _difference(
    experiment: VariantExperiment, one: _Rating, base: _Rating, alpha: float
) -> Estimate:
    value, variance = one.value - base.value, one.variance + base.variance
    low = high = math.nan
    if min(one.people, base.people) >= experiment.min_people and variance > 0:
        planned = _PLANNED * experiment.min_people / (2 * _VARIANCE)
        width = variance * float(reach(1.0 / variance, tuned_to(planned, alpha), alpha))
        low, high = value - width, value + width
    return Estimate(
        "difference",
        value,
        low,
        high,
        1.0 - alpha,
        one.judgements + base.judgements,
        one.people + base.people,
        f"difference of mean judgements; holds over all looks with error {alpha:g}",
    )
