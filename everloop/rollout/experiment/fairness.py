"""No group of the people who meet the candidate may earn clearly less than the others, at every look.

The question is the gate's, asked of the observed candidate arm: rewards rescaled to their attainable
range, group g against everyone else of its attribute, parity p,

    W_g = mean_g - p mean_rest,    se_g^2 = var(mean_g) + p^2 var(mean_rest),

clustered by person. W_g / se_g^2 moves like Brownian motion in 1 / se_g^2, so the z test of one look
becomes the normal mixture over all looks (``boundary``): its evidence E gives the one-sided probability
1 / (2 E), for either sign. *Alert* where "W_g >= 0" is refuted, by Holm over groups at alpha;
*certified* where "W_g <= 0" is refuted for every group, each at alpha; otherwise a person decides. A
group's variance is taken as no smaller than everybody's, since a group without a rare reward yet seems
to have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.rollout.experiment.boundary import log_evidence, tuned_to
from everloop.rollout.experiment.effect import TUNED_POWER
from everloop.rollout.experiment.guardrails import groups_in
from everloop.rollout.experiment.observations import CANDIDATE, Floats, TrialObservations

NAME = "fairness"


@dataclass(frozen=True, slots=True)
class GroupParity:
    """A group of the candidate's people against everyone else.

    ``below``, ``above``: one-sided anytime-valid probabilities of what was seen, were its parity at least,
    or at most, the limit. NaN means or errors are 1.
    """

    name: str
    people: int
    mean: float
    rest: float
    below: float
    above: float

    @property
    def ratio(self) -> float:
        return self.mean / self.rest if self.rest > 0 else math.nan

    @property
    def words(self) -> str:
        return f"{self.name} ({self.people:,} people) earns {self.ratio:.3f} of what everyone else does"


def exposure_fairness(spec: LoopSpec, observations: TrialObservations) -> Check | None:
    """Parity among the candidate's people; None for a loop that declares no protected attribute."""
    if not spec.protected:
        return None
    thresholds = spec.thresholds
    compared = [
        group
        for attribute in spec.protected
        for group in parities_in(spec, observations, attribute)
    ]
    missing = [a for a in spec.protected if not any(g.name.startswith(f"{a} ") for g in compared)]
    limit = thresholds.fairness_parity
    refuted = holm([g.below for g in compared], thresholds.alpha)
    if refuted:
        told = "; ".join(compared[place].words for place in refuted)
        return Check(
            NAME,
            CheckStatus.FAILED,
            f"Parity below {limit:g} is established among the candidate's people: {told}.",
            _known(compared[refuted[0]].ratio),
            limit,
        )
    if missing:
        told = f"{', '.join(missing)} has fewer than two groups among the candidate's people"
        said = f"Not enough evidence on fairness: {told}."
        return Check(NAME, CheckStatus.INSUFFICIENT, said, person_decides=True)
    least = min(compared, key=lambda g: g.ratio if math.isfinite(g.ratio) else -math.inf)
    open_ones = [
        g
        for g in compared
        if not (g.above <= thresholds.alpha and g.people >= thresholds.fairness_min_group)
    ]
    if open_ones:
        told = "; ".join(g.words for g in open_ones[:3])
        return Check(
            NAME,
            CheckStatus.INSUFFICIENT,
            f"Parity of {limit:g} is neither certified nor refuted among the candidate's people: {told}.",
            _known(least.ratio),
            limit,
            person_decides=True,
        )
    return Check(
        NAME,
        CheckStatus.PASSED,
        f"Parity of {limit:g} is certified among the candidate's people; the lowest: {least.words}.",
        _known(least.ratio),
        limit,
    )


def parities_in(
    spec: LoopSpec, observations: TrialObservations, attribute: str
) -> tuple[GroupParity, ...]:
    """Each group of an attribute against its others; nothing where there are fewer than two."""
    if attribute not in observations.segments:
        return ()
    reward, thresholds = spec.reward, spec.thresholds
    width = reward.attainable_high - reward.attainable_low
    met = observations.where((observations.arm == CANDIDATE) & np.isfinite(observations.reward))
    value = (met.reward - reward.attainable_low) / width
    groups = list(groups_in(met, attribute, thresholds.fairness_min_group))
    if len(groups) < 2:
        return ()
    residual = np.zeros(met.n)
    for _, rows in groups:
        residual[rows] = value[rows] - value[rows].mean()
    known = np.logical_or.reduce([rows for _, rows in groups])
    pooled = _squares(met.person[known], residual[known], met.people) / known.sum()
    return tuple(
        _parity(
            f"{attribute} {label}",
            (met.person, value, residual),
            rows,
            known & ~rows,
            (thresholds.fairness_parity, pooled, thresholds.alpha),
        )
        for label, rows in groups
    )


def holm(probabilities: list[float], alpha: float) -> list[int]:
    """Places of the hypotheses that Holm's step-down (1979) refutes, least probability first."""
    order = sorted(range(len(probabilities)), key=lambda place: probabilities[place])
    found = []
    for rank, place in enumerate(order):
        if not probabilities[place] <= alpha / (len(order) - rank):
            break
        found.append(place)
    return found


def _parity(
    name: str,
    columns: tuple[NDArray[np.int64], Floats, Floats],
    rows: NDArray[np.bool_],
    rest: NDArray[np.bool_],
    terms: tuple[float, float, float],
) -> GroupParity:
    person, value, residual = columns
    parity, pooled, alpha = terms

    def variance(of: NDArray[np.bool_]) -> float:
        n = float(of.sum())
        own = _squares(person[of], residual[of], int(person.max()) + 1) / n
        return max(own, pooled) / n

    mean, others = float(value[rows].mean()), float(value[rest].mean())
    error = variance(rows) + parity**2 * variance(rest)
    contrast, aim = mean - parity * others, (1.0 - parity) * others
    below = above = 1.0
    if error > 0 and aim > 0:
        information = 1.0 / error
        tuning = tuned_to((TUNED_POWER / aim) ** 2, 2 * alpha)
        once = float(log_evidence(contrast * information, information, tuning))
        one_sided = min(1.0, 0.5 * math.exp(-once))
        below, above = (one_sided, 1.0) if contrast < 0 else (1.0, one_sided)
    return GroupParity(name, len(np.unique(person[rows])), mean, others, below, above)


def _squares(person: NDArray[np.int64], residual: Floats, people: int) -> float:
    return float((np.bincount(person, weights=residual, minlength=people) ** 2).sum())


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
