"""The candidate's effect on a measure per decision, with an interval that holds at every look.

Scores of strata (``moments``) add up to U = sum U_d with the weights H = sum h_d, and the effect is U /
H. Within a stratum arms are drawn, so each U_d has mean h_d times the effect of that day, whatever the
days are like: a candidate equal to the control has a score of mean 0 at every look.

*Who moves from control to candidate* as the ramp grows counts as control in the strata before and as
candidate in those after. Both are unbiased, because a person's place is drawn once and independent of
what they do: in each stratum the candidate's people are a random share of all. What the moves change is
the variance alone, and that is summed over each person's whole history.

*Looks.* V, the variance of U, is of all its persons' sums, so people who come back every day are counted
once. The line of ``boundary`` is for independent increments; ours are not, since a person's days are
alike. Positively dependent ones cross it no more often: Slepian's inequality (1962) says that of two
Gaussian processes with the same variances the one with the larger correlations has the smaller maximum,
and cov(U_s, U_t - U_s) >= 0 is what makes correlations larger than Brownian motion's. The design has it
where people's days are alike, for min p (1 - max p) > 0; where a covariance with the days before is
negative, it is left out of V. One side is held at alpha / 2.

*Earlier behaviour* (CUPED; Deng, Xu, Kohavi and Walker 2013): the score of covariates known before the
trial has mean 0, and U - b' U_x has the least variance at b = V_xx^-1 V_xy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.contracts.evaluation import Estimate
from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.experiment.moments import Moments
from everloop.rollout.experiment.observations import Floats

TUNED_POWER = 4.0
"""Standard errors that an effect of the size aimed at is away from 0 where the line is tightest."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Candidate - control, as known at one look.

    Attributes:
        value: the effect; NaN where no stratum has both arms.
        variance: of ``value`` at this look; ``score_variance`` V of U = value * weight.
        weight: H.
        spread: variance of a stratum's score per unit of weight, what ``tuning`` is made of.
        reduction: share of the variance that covariates took; NaN without any.
        control: mean of the control, weighted as the effect is.
        decisions, people: of control and candidate so far; a person once per stratum in ``people``.
    """

    value: float
    score_variance: float
    weight: float
    spread: float
    reduction: float
    control: float
    decisions: tuple[int, int]

    @property
    def standard_error(self) -> float:
        """Of the value at one look fixed in advance."""
        return math.sqrt(self.score_variance) / self.weight if self.weight > 0 else math.nan

    def interval(self, alpha: float, aim: float) -> tuple[float, float]:
        """Both sides at ``alpha`` together over all looks; NaN where nothing is known.

        Args:
            aim: effect, in the measure's units, at whose detection the line is tightest.
        """
        tuning = self.tuning(alpha, aim)
        if not (math.isfinite(tuning) and tuning > 0 and self.weight > 0):
            return math.nan, math.nan
        half = float(reach(self.score_variance, tuning, alpha)) / self.weight
        return self.value - half, self.value + half

    def tuning(self, alpha: float, aim: float) -> float:
        """r of the line: tightest at the V at which ``aim`` is ``TUNED_POWER`` standard errors.

        aim H = z sqrt(V) with V = spread H gives V = (z spread / aim)^2.
        """
        if not (aim > 0 and self.spread > 0):
            return math.nan
        return tuned_to((TUNED_POWER * self.spread / aim) ** 2, alpha)

    def estimate(self, name: str, alpha: float, aim: float, clusters: int, method: str) -> Estimate:
        low, high = self.interval(alpha, aim)
        return Estimate(
            name, self.value, low, high, 1 - alpha, sum(self.decisions), clusters, method
        )


def effect_at(moments: Moments, strata: int | None = None) -> Effect:
    """The effect after the first ``strata`` strata; None: after all."""
    upto = moments.strata if strata is None else strata
    score = moments.score[:, :upto].sum(axis=1)
    weight = float(score[1])
    decisions = moments.decisions[:, :upto].sum(axis=1)
    counts = (int(decisions[0]), int(decisions[1]))
    if not weight > 0:
        return Effect(math.nan, math.nan, 0.0, math.nan, math.nan, math.nan, counts)
    designed = moments.designed[:, :, :upto, :upto]
    observed = moments.observed[:, :, :upto, :upto]
    plain = np.zeros(len(score))
    plain[:2] = 1.0, -score[0] / weight
    slopes = _slopes(designed, plain)
    taken = plain.copy()
    taken[2:] = -slopes
    taken[1] = -(score[0] - slopes @ score[2:]) / weight
    value = -float(taken[1])
    variance = max(_variance(designed, taken), _variance(observed, taken))
    reduction = math.nan
    if len(slopes) and slopes.any():
        before = max(_variance(designed, plain), _variance(observed, plain))
        reduction = 1.0 - variance / before if before > 0 else math.nan
    own = float(np.einsum("k,l,kldd->", taken, taken, designed))
    means = moments.total[0, :upto] / np.maximum(moments.decisions[0, :upto], 1.0)
    control = float(moments.weight[:upto] @ means) / weight
    return Effect(value, variance, weight, own / weight, reduction, control, counts)


def _slopes(designed: Floats, plain: Floats) -> Floats:
    """b of the covariates, by the least variance over the draw."""
    if len(plain) < 3:
        return np.zeros(0)
    whole = designed.sum(axis=(2, 3))
    return np.asarray(np.linalg.pinv(whole[2:, 2:], rcond=1e-9) @ (whole[2:] @ plain))


def _variance(covariance: Floats, columns: Floats) -> float:
    """Of the score so far: each stratum's own, and what it shares with those before, where positive."""
    each = np.einsum("k,l,klde->de", columns, columns, covariance)
    shared = np.triu(each, 1).sum(axis=0)
    return max(float(np.trace(each) + 2.0 * np.maximum(shared, 0.0).sum()), 0.0)
