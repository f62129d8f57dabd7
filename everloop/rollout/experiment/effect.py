"""The candidate's effect on a measure per decision, with an interval that holds at every look.

Scores of strata (``moments``) add up to U = sum w_d U_d with the weights H = sum w_d h_d (``weights``
has w), and the effect is U / H. Within a stratum arms are drawn, so each U_d has mean h_d times the
effect of that day, whatever the days are like: a candidate equal to the control has a score of mean 0
at every look.

*Who moves from control to candidate* as the ramp grows counts as control in the strata before and as
candidate in those after. Both are unbiased, because a person's place is drawn once and independent of
what they do: in each stratum the candidate's people are a random share of all. What the moves change is
the variance alone, and that is summed over each person's whole history.

*Looks.* V, the variance of U, is of all its persons' sums, so people who come back every day are
counted once. The line of ``boundary`` is for independent increments; ours are not, since a person's
days are alike. Positively dependent ones cross it no more often: Slepian's inequality (1962) says that
of two Gaussian processes with the same variances the one with the larger correlations has the smaller
maximum, and cov(U_s, U_t - U_s) >= 0 is what makes correlations larger than Brownian motion's. The
design has it where people's days are alike, for min p (1 - max p) > 0; where a covariance with the days
before is negative, it is left out of V. One side is held at alpha / 2.

*Earlier behaviour* (CUPED; Deng, Xu, Kohavi and Walker 2013): the score of covariates known before the
trial has mean 0, and U - b' U_x has the least variance at b = V_xx^-1 V_xy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from everloop.rollout.experiment.boundary import reach, tuned_to
from everloop.rollout.experiment.moments import Moments
from everloop.rollout.experiment.observations import Floats
from everloop.rollout.experiment.weights import modelled, stratum_weights

AIM = 0.1
"""Share of the control's value at whose gain or loss the primary's interval is tightest."""
TUNED_POWER = 4.0
"""Standard errors that an effect of the size aimed at is away from 0 where the line is tightest."""


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """Candidate - control, as known at one look.

    Attributes:
        value: the effect; NaN where no stratum has both arms.
        score_variance: V of U = value * weight.
        weight: H.
        spread: variance of a stratum's score per unit of weight, what ``tuning`` is made of.
        reduction: share of the variance that covariates took; NaN without any.
        control: mean of the control, weighted as the effect is.
        decisions: of control and candidate so far.
        strata: (D,) w h of each stratum, which add up to ``weight``.
    """

    value: float
    score_variance: float
    weight: float
    spread: float
    reduction: float
    control: float
    decisions: tuple[int, int]
    strata: Floats

    @property
    def standard_error(self) -> float:
        """Of the value at one look fixed in advance."""
        return math.sqrt(self.score_variance) / self.weight if self.weight > 0 else math.nan

    def interval(self, alpha: float, aim: float) -> tuple[float, float]:
        """Both sides at ``alpha`` together over all looks; NaN where nothing is known.

        Args:
            aim: effect, in the measure's units, at whose detection the line is tightest.
        """
        if not (aim > 0 and self.spread > 0 and self.weight > 0):
            return math.nan, math.nan
        tuning = tuning_for(self.spread, aim, alpha)
        half = float(reach(self.score_variance, tuning, alpha)) / self.weight
        return self.value - half, self.value + half


def tuning_for(spread: float, aim: float, alpha: float) -> float:
    """r of the line: tightest at the V at which ``aim`` is ``TUNED_POWER`` standard errors.

    aim H = z sqrt(V) with V = spread H gives V = (z spread / aim)^2.
    """
    return tuned_to((TUNED_POWER * spread / aim) ** 2, alpha)


def effect_at(moments: Moments, strata: int | None = None) -> Effect:
    """The effect after the first ``strata`` strata; None: after all."""
    upto = moments.strata if strata is None else strata
    decisions = moments.decisions[:, :upto].sum(axis=1)
    counts = (int(decisions[0]), int(decisions[1]))
    if not moments.weight[:upto].any():
        return Effect(math.nan, math.nan, 0.0, math.nan, math.nan, math.nan, counts, np.zeros(upto))
    raw, nested = moments.raw[:, :, :upto, :upto], moments.nested[:upto, :upto]
    score = moments.score[:, :upto]
    first = _taken(score.sum(axis=1), raw * nested)
    model = modelled(
        np.einsum("k,l,klde->de", first, first, raw),
        moments.together[:upto, :upto],
        moments.decisions[:, :upto].sum(axis=0),
        nested,
    )
    weights = stratum_weights(score[1], model)
    both = np.outer(weights, weights)
    designed = raw * (nested * both)
    observed = moments.observed[:, :, :upto, :upto] * both
    total = score @ weights
    taken = _taken(total, designed)
    variance = max(_variance(designed, taken), _variance(observed, taken))
    reduction = math.nan
    if taken[2:].any():
        plain = _taken(total[:2], designed[:2, :2])
        before = max(_variance(designed[:2, :2], plain), _variance(observed[:2, :2], plain))
        reduction = 1.0 - variance / before if before > 0 else math.nan
    own = float(np.einsum("k,l,kldd->", taken, taken, designed))
    each, weight = weights * score[1], float(total[1])
    means = moments.total[0, :upto] / np.maximum(moments.decisions[0, :upto], 1.0)
    return Effect(
        value=-float(taken[1]),
        score_variance=variance,
        weight=weight,
        spread=own / weight,
        reduction=reduction,
        control=float(each @ means) / weight,
        decisions=counts,
        strata=each,
    )


def _taken(total: Floats, designed: Floats) -> Floats:
    """What a person's sum of each column counts in the effect's residual: 1, -effect, -slopes."""
    taken = np.zeros(len(total))
    taken[:2] = 1.0, -total[0] / total[1]
    slopes = _slopes(designed, taken)
    taken[2:] = -slopes
    taken[1] = -(total[0] - slopes @ total[2:]) / total[1]
    return taken


def _slopes(designed: Floats, plain: Floats) -> Floats:
    """b of the covariates, by the least variance over the draw."""
    if len(plain) < 3:
        return np.zeros(0)
    whole = designed.sum(axis=(2, 3))
    return np.asarray(
        np.linalg.pinv(whole[2:, 2:], rcond=1e-9, hermitian=True) @ (whole[2:] @ plain)
    )


def _variance(covariance: Floats, columns: Floats) -> float:
    """Of the score so far: each stratum's own, and what it shares with those before, where positive."""
    each = np.einsum("k,l,klde->de", columns, columns, covariance)
    shared = np.triu(each, 1).sum(axis=0)
    return max(float(np.trace(each) + 2.0 * np.maximum(shared, 0.0).sum()), 0.0)
