"""Whether people of a variant answer as often as those of the base.

Of m people who met a variant, j judged anything. With (j + 1) / (m + 2) for the share p (Agresti and Caffo
2000, so that nobody and everybody have an error too), v = p (1 - p) / m of each arm, and the difference
D = j_a / m_a - j_0 / m_0 has D +- v reach(1/v, r, alpha) over all looks, as ratings have. Whoever met a
variant lately had less time to answer, in every arm alike.

A variant is promoted only where D's lower bound is above -``MARGIN`` times the base's share. Ratings of a
variant whose people may have fallen silent are not known to be theirs, so what is not established blocks:
about 350 people who judged are needed of each arm where few answer, fewer where most do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from everloop.contracts.evaluation import Estimate
from everloop.contracts.variants import PersonaVariant
from everloop.rollout.experiment.boundary import reach, tuned_to

MARGIN = 0.25
"""Of the base's share of people who judged; what a promoted variant may lose of it."""
_PLANNED = 10
_VARIANCE = 0.25


@dataclass(frozen=True, slots=True)
class Responded:
    """``judged`` of ``met`` people judged anything."""

    judged: int
    met: int

    @property
    def share(self) -> float:
        """NaN where nobody met it."""
        return self.judged / self.met if self.met else math.nan

    @property
    def variance(self) -> float:
        """Of the share; NaN where nobody met it."""
        if not self.met:
            return math.nan
        p = (self.judged + 1) / (self.met + 2)
        return p * (1.0 - p) / self.met


def response(of: Responded, confidence: float) -> Estimate:
    """The share with Wilson's interval (1927), for display."""
    low = high = math.nan
    if of.met:
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        whole = 1.0 + z * z / of.met
        centre = (of.share + z * z / (2 * of.met)) / whole
        half = z / whole * math.sqrt(of.share * (1 - of.share) / of.met + (z / of.met) ** 2 / 4)
        low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(
        "response",
        of.share,
        low,
        high,
        confidence,
        of.judged,
        of.met,
        "share of people who judged; Wilson's interval",
    )


def response_difference(one: Responded, base: Responded, min_people: int, alpha: float) -> Estimate:
    """one - base; NaN bounds until each has ``min_people`` people who met it."""
    value = one.share - base.share
    low = high = math.nan
    if min(one.met, base.met) >= max(min_people, 1):
        variance = one.variance + base.variance
        planned = _PLANNED * min_people / (2 * _VARIANCE)
        width = variance * float(reach(1.0 / variance, tuned_to(planned, alpha), alpha))
        low, high = value - width, value + width
    return Estimate(
        "response_difference",
        value,
        low,
        high,
        1.0 - alpha,
        one.judged + base.judged,
        one.met + base.met,
        f"difference of shares who judged; holds over all looks with error {alpha:g}",
    )


def answers_kept(variant: PersonaVariant, base: PersonaVariant) -> bool:
    """Whether the variant's people are known to answer about as often as the base's.

    False where nothing is known.
    """
    found, against = variant.metrics.response_difference, base.metrics.response
    if found is None or against is None:
        return False
    return found.low > -MARGIN * against.value
