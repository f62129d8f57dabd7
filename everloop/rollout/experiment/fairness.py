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

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.rollout.experiment.boundary import log_evidence, tuned_to
from everloop.rollout.experiment.effect import TUNED_POWER
from everloop.rollout.experiment.guardrails import groups_in
from everloop.rollout.experiment.observations import CANDIDATE, TrialObservations

NAME = "fairness"


@dataclass(frozen=True, slots=True)
class GroupSums:
    """What n decisions of a group's people earned, rescaled: their ``total``, and ``squares``, the sum over
    people of (their sum - the group's mean times their decisions)^2."""

    name: str
    people: int
    n: int
    total: float
    squares: float


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
        for group in parities(
            groups_sums(spec, observations, attribute),
            thresholds.fairness_parity,
            thresholds.alpha,
        )
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


def groups_sums(
    spec: LoopSpec, observations: TrialObservations, attribute: str
) -> tuple[GroupSums, ...]:
    """What the candidate's people of each group of an attribute earned; small groups are one."""
    if attribute not in observations.segments:
        return ()
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    met = observations.where((observations.arm == CANDIDATE) & np.isfinite(observations.reward))
    value = (met.reward - low) / (high - low)
    found = []
    for label, rows in groups_in(met, attribute, spec.thresholds.fairness_min_group):
        residual = value[rows] - value[rows].mean()
        squares = float((np.bincount(met.person[rows], weights=residual) ** 2).sum())
        found.append(
            GroupSums(
                f"{attribute} {label}",
                len(np.unique(met.person[rows])),
                int(rows.sum()),
                float(value[rows].sum()),
                squares,
            )
        )
    return tuple(found)


def parities(groups: tuple[GroupSums, ...], parity: float, alpha: float) -> tuple[GroupParity, ...]:
    """Each group of one attribute against its others; nothing where there are fewer than two."""
    if len(groups) < 2:
        return ()
    pooled = sum(g.squares for g in groups) / sum(g.n for g in groups)
    found = []
    for one in groups:
        others = [g for g in groups if g is not one]
        rows = sum(g.n for g in others)
        mean, rest = one.total / one.n, sum(g.total for g in others) / rows
        variance = max(one.squares, pooled * one.n) / one.n**2
        variance_rest = sum(max(g.squares, pooled * g.n) for g in others) / rows**2
        error = variance + parity**2 * variance_rest
        below, above = _one_sided(mean - parity * rest, error, (1.0 - parity) * rest, alpha)
        found.append(GroupParity(one.name, one.people, mean, rest, below, above))
    return tuple(found)


def holm(probabilities: list[float], alpha: float) -> list[int]:
    """Places of the hypotheses that Holm's step-down (1979) refutes, least probability first."""
    order = sorted(range(len(probabilities)), key=lambda place: probabilities[place])
    found = []
    for rank, place in enumerate(order):
        if not probabilities[place] <= alpha / (len(order) - rank):
            break
        found.append(place)
    return found


def _one_sided(contrast: float, error: float, aim: float, alpha: float) -> tuple[float, float]:
    """Probabilities of a contrast as low, and as high, over all looks; 1 for the side it is not on."""
    if not (error > 0 and aim > 0):
        return 1.0, 1.0
    information = 1.0 / error
    tuning = tuned_to((TUNED_POWER / aim) ** 2, 2 * alpha)
    once = float(log_evidence(contrast * information, information, tuning))
    seen = min(1.0, 0.5 * math.exp(-once))
    return (seen, 1.0) if contrast < 0 else (1.0, seen)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
