"""Several learners' policies on the same held-out people, and the one that may be shipped.

The bounds of candidate - baseline of all K policies that were judged, and those of the difference of any
two that are compared here, hold at once with error alpha: half of it goes to each kind
(``rl.off_policy.shares``). So a choice among them by these bounds needs no further correction, and the
differences to the chosen one and what privacy costs hold whichever was chosen.

The choice is the deployable policy with the best lower bound, the default learner's on exact ties.
Whether these people can tell it from the others is said beside it and changes nothing: where they cannot,
either serves as well as far as is known, and the better bound is the likelier to pass the gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import (
    DEFAULT_LEARNER,
    REPORT_ONLY,
    ComparedPolicy,
    PolicyComparison,
)
from everloop.contracts.ports import Policy
from rl.off_policy.evaluate import HeldOut


@dataclass(frozen=True, slots=True)
class Entrant:
    """A learner's policy that is to be compared; ``provenance`` is that of where it was found."""

    learner: str
    policy: Policy
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.learner in REPORT_ONLY and self.provenance is not Provenance.RAW_LOG:
            raise ShouldFixArgument(
                f"Policy {self.policy.version} of learner {self.learner} is not deployable, but "
                f"claims provenance {self.provenance.value}.",
                "Learn it again; a policy learned on the raw log is only ever reported.",
            )


def compare(judging: HeldOut, entrants: Sequence[Entrant]) -> PolicyComparison:
    """Judge every entrant and choose the one to ship.

    Raises:
        ShouldFixArgument: the default learner is missing or not deployable, two entrants have one
            name, or a deployable entrant has a report-only one's weights.
    """
    _check(entrants)
    # one version under two names is one policy
    count = len({e.policy.version for e in entrants})
    judged = tuple(
        ComparedPolicy(
            e.learner, e.policy.version, e.provenance, judging.evaluate(e.policy, compared=count)
        )
        for e in entrants
    )
    of = {e.learner: e.policy for e in entrants}
    best = _best(judged)
    chosen = best.learner if best else DEFAULT_LEARNER
    differences = tuple(
        judging.between(p.learner, of[chosen], of[p.learner], compared=count)
        for p in judged
        if p.learner != chosen
    )
    others = {p.learner for p in judged if p.deployable and p.learner != chosen}
    alike = [d for d in differences if d.name in others and not d.low > 0.0]
    return PolicyComparison(
        policies=judged,
        chosen=chosen,
        distinguishable=not alike,
        reason=_reason(best, alike, len(others)),
        differences=differences,
        privacy_cost=_privacy_cost(judging, judged, of, chosen, count),
    )


def _check(entrants: Sequence[Entrant]) -> None:
    names = [e.learner for e in entrants]
    if len(set(names)) != len(names):
        raise ShouldFixArgument(f"Learners {', '.join(names)} are not distinct.")
    private = {e.learner for e in entrants if e.provenance is Provenance.PRIVATE_RELEASE}
    if DEFAULT_LEARNER not in private:
        raise ShouldFixArgument(
            f"The default learner {DEFAULT_LEARNER} is not among the deployable ones "
            f"({', '.join(sorted(private)) or 'none'}).",
            "Run train_policy.",
        )
    raw = {e.policy.version for e in entrants if e.learner not in private}
    for entrant in entrants:
        if entrant.learner in private and entrant.policy.version in raw:
            raise ShouldFixArgument(
                f"Policy {entrant.policy.version} of learner {entrant.learner} has the weights of a "
                "policy that was learned on the raw log.",
                "Rerun train_alternatives; a policy learned on the raw log is only ever reported.",
            )


def _best(judged: Sequence[ComparedPolicy]) -> ComparedPolicy | None:
    """Best lower bound among the deployable ones that may be judged at all; the first of equals."""
    usable = [
        p
        for p in judged
        if p.deployable
        and not p.evaluation.overlap.problems
        and math.isfinite(p.evaluation.difference.low)
    ]
    # the default learner wins ties
    usable.sort(key=lambda p: p.learner != DEFAULT_LEARNER)
    return max(usable, key=lambda p: p.evaluation.difference.low, default=None)


def _reason(best: ComparedPolicy | None, alike: Sequence[Estimate], others: int) -> str:
    if best is None:
        return f"No policy can be judged on these people: {DEFAULT_LEARNER}, the default, stays."
    if not others:
        return f"{best.learner} is the only policy that may be shipped."
    says = f"{best.learner} has the best lower bound of those that may be shipped"
    if not alike:
        return f"{says}, and these people tell it from every other one."
    told = " or ".join(f"{d.name} (difference {_told(d)})" for d in alike)
    return f"{says}, but these people do not show that it is better than {told}."


def _told(gain: Estimate) -> str:
    if not math.isfinite(gain.low):
        return "not known"
    numbers = f"{gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}]"
    return numbers.replace("-", "\N{MINUS SIGN}")


def _privacy_cost(
    judging: HeldOut,
    judged: Sequence[ComparedPolicy],
    of: dict[str, Policy],
    chosen: str,
    compared: int,
) -> Estimate | None:
    """Best report-only policy - the chosen one; None where there is none."""
    raw = [p for p in judged if not p.deployable]
    if not raw:
        return None

    def value(policy: ComparedPolicy) -> float:
        found = policy.evaluation.difference.value
        return found if math.isfinite(found) else -math.inf

    best = max(raw, key=value)
    return judging.between("privacy cost", of[best.learner], of[chosen], compared=compared)
