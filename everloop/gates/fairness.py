"""No protected group may earn clearly less than the others under the candidate.

Values are on the reward rescaled to its attainable range ((r + 1) / 2 would hide sparse rewards). For a
group g and everyone else, with parity p (0.9),

    z_g = (mean_g - p mean_rest) / sqrt(se_g^2 + p^2 se_rest^2).

*Alert* when H0 "mean_g >= p mean_rest" is rejected for some group, Holm-corrected over groups at
alpha. *Certified* when H0 "mean_g <= p mean_rest" is rejected for every group, each at alpha
(intersection-union test: no correction is needed to certify all). Otherwise the evidence is insufficient
and a person decides. A plain smallest/largest < 0.9 rule alarms on most fair data at a few hundred
people. The target (0.95) is told beside it and decides nothing: certified, met in the estimate or missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from scipy.special import ndtr, stdtrit

from everloop.contracts.evaluation import Check, GroupValue
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import count, failed, number, passed, waits
from everloop.gates.evidence import GateEvidence

_WAITS = "this waits for a person."


@dataclass(frozen=True, slots=True)
class Parity:
    """One group against everyone else; ``z`` is NaN where it cannot be computed."""

    attribute: str
    group: str
    people: int
    mean: float
    rest: float
    z: float

    @property
    def ratio(self) -> float:
        return self.mean / self.rest if self.rest > 0 else math.nan

    @property
    def words(self) -> str:
        return (
            f"{self.attribute} {self.group} ({count(self.people, 'person', 'people')}) earns "
            f"{number(self.mean)} of the attainable range against {number(self.rest)} of everyone "
            f"else, parity {number(self.ratio)}"
        )


def parities(groups: tuple[GroupValue, ...], parity: float) -> tuple[Parity, ...]:
    """Compare each group of each attribute with the attribute's other groups."""
    ordered = sorted(groups, key=lambda g: (g.attribute, g.group))
    return tuple(
        result
        for _, members in groupby(ordered, key=lambda g: g.attribute)
        for result in _of_attribute(tuple(members), parity)
    )


def _of_attribute(members: tuple[GroupValue, ...], parity: float) -> Iterator[Parity]:
    for one in members:
        others = [g for g in members if g is not one]
        rows = sum(g.estimate.n for g in others)
        if not rows:
            continue
        rest = sum(g.estimate.n * g.estimate.value for g in others) / rows
        rest_error = math.sqrt(sum((g.estimate.n * standard_error(g)) ** 2 for g in others)) / rows
        error = math.sqrt(standard_error(one) ** 2 + (parity * rest_error) ** 2)
        z = (one.estimate.value - parity * rest) / error if error > 0 else math.nan
        yield Parity(one.attribute, one.group, one.people, one.estimate.value, rest, z)


def standard_error(group: GroupValue) -> float:
    """Recovered from the t interval over people; NaN without one."""
    e = group.estimate
    if e.clusters < 2 or not (math.isfinite(e.low) and math.isfinite(e.high)):
        return math.nan
    return (e.high - e.low) / 2 / float(stdtrit(e.clusters - 1, 0.5 + e.confidence / 2))


def alerts(compared: tuple[Parity, ...], alpha: float) -> tuple[Parity, ...]:
    """Groups whose parity is refuted, by Holm's step-down at ``alpha``, worst first."""
    known = sorted((p for p in compared if math.isfinite(p.z)), key=lambda p: p.z)
    found = []
    for rank, one in enumerate(known):
        if float(ndtr(one.z)) > alpha / (len(compared) - rank):
            break
        found.append(one)
    return tuple(found)


class FairnessCheck:
    name = "fairness"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        thresholds = spec.thresholds
        if not spec.protected:
            return passed(self.name, reason="The loop declares no protected attribute.")
        groups = evidence.evaluation.groups if evidence.evaluation else ()
        compared = parities(groups, thresholds.fairness_parity)
        missing = sorted(set(spec.protected) - {p.attribute for p in compared})
        refuted = alerts(compared, thresholds.alpha)
        limit = thresholds.fairness_parity
        if refuted:
            shown = "; ".join(p.words for p in refuted)
            return failed(
                self.name,
                reason=f"Parity below {limit:g} is established: {shown}. {_target(groups, spec)}",
                value=refuted[0].ratio,
                threshold=limit,
            )
        if missing:
            return waits(
                self.name,
                reason=(
                    f"Not enough evidence on fairness: {', '.join(missing)} has fewer than two "
                    f"groups with held-out decisions; {_WAITS}"
                ),
            )
        least = min(compared, key=lambda p: p.ratio if math.isfinite(p.ratio) else -math.inf)
        open_ones = [p for p in compared if not certified(p, spec)]
        if open_ones:
            shown = "; ".join(p.words for p in open_ones[:3])
            return waits(
                self.name,
                reason=(
                    f"Not enough evidence on fairness: {shown}. Parity of {limit:g} is neither "
                    f"certified nor refuted for {count(len(open_ones), 'group')}; {_WAITS} "
                    f"{_target(groups, spec)}"
                ),
                value=least.ratio,
                threshold=limit,
            )
        return passed(
            self.name,
            reason=(
                f"Parity of {limit:g} is certified for every group; the lowest: {least.words}. "
                f"{_target(groups, spec)}"
            ),
            value=least.ratio,
            threshold=limit,
        )


def certified(one: Parity, spec: LoopSpec) -> bool:
    """Whether a group of enough people is shown to reach the parity that it was compared at."""
    enough = one.people >= spec.thresholds.fairness_min_group
    return enough and float(ndtr(-one.z)) <= spec.thresholds.alpha


def _target(groups: tuple[GroupValue, ...], spec: LoopSpec) -> str:
    """How the target is met, in a sentence."""
    target = spec.thresholds.fairness_target
    compared = parities(groups, target)
    if all(certified(one, spec) for one in compared):
        return f"The target of {target:g} is certified too."
    ratios = [one.ratio for one in compared]
    if any(math.isnan(ratio) for ratio in ratios):
        return f"Whether the target of {target:g} is met is not known."
    if min(ratios) >= target:
        return f"The target of {target:g} is met in the estimate."
    return f"The target of {target:g} is missed in the estimate ({number(min(ratios))})."
