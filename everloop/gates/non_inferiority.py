"""The candidate must not be worse than what serves today, by more than the margin.

Let b be the baseline's value and lo the least attainable reward. The margin is m = margin * (b - lo): a
share of what the baseline earns on the reward rescaled to its attainable range (an absolute margin
would always pass where rewards are sparse). With [l, u] the interval of candidate - baseline:
l > -m passes, u < -m fails, and anything else is not enough evidence.

A candidate compared with itself differs by exactly nothing and would pass, and so might one compared with
what no longer serves: neither is evidence.
"""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check, PolicyEvaluation
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import count, failed, insufficient, interval, number, passed
from everloop.gates.evidence import GateEvidence


def margin_of(spec: LoopSpec, baseline: float) -> float:
    """m in reward units; 0 where the baseline earns the least attainable reward, NaN for NaN."""
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    rescaled = (baseline - low) / (high - low)
    if math.isnan(rescaled):
        return math.nan
    return spec.thresholds.margin * min(1.0, max(0.0, rescaled)) * (high - low)


class NonInferiorityCheck:
    name = "non_inferiority"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        found, problem = evidence.evaluation, _problem(spec, evidence)
        if found is None or problem:
            return insufficient(self.name, reason=f"Not enough evidence: {problem}.")
        d, margin, rests_on = (
            found.difference,
            margin_of(spec, found.baseline.value),
            _rests_on(found),
        )
        share = (
            f"{spec.thresholds.margin:.0%} of what the baseline earns above the least attainable"
        )
        against = (
            f"The candidate earns {number(d.value)} {interval(d.low, d.high)} per decision relative "
            f"to the baseline ({found.baseline_name}, {number(found.baseline.value)})"
        )
        if d.low > -margin:
            return passed(
                self.name,
                reason=(
                    f"{against}; the lower bound is above the margin of {number(-margin)}, {share}. "
                    f"This rests on {rests_on}."
                ),
                value=d.low,
                threshold=-margin,
            )
        if d.high < -margin:
            return failed(
                self.name,
                reason=(
                    f"{against}; the whole interval is below the margin of {number(-margin)}, "
                    f"{share}: the candidate is worse. This rests on {rests_on}."
                ),
                value=d.low,
                threshold=-margin,
            )
        return insufficient(
            self.name,
            reason=(
                f"Not enough evidence: {rests_on}; the interval of the difference "
                f"{interval(d.low, d.high)} reaches past the margin of {number(-margin)}, {share}."
            ),
            value=d.low,
            threshold=-margin,
        )


def _problem(spec: LoopSpec, evidence: GateEvidence) -> str:
    """Why nothing can be said of the difference; "" where something can."""
    found = evidence.evaluation
    if found is None or found.difference.n == 0:
        why = " ".join(found.overlap.problems).rstrip(".") if found else ""
        return why or "there is no held-out decision to judge on"
    if beside := _beside_the_point(found, evidence):
        return beside
    if not margin_of(spec, found.baseline.value) > 0:
        return (
            f"{_rests_on(found)}; the baseline ({found.baseline_name}) earns "
            f"{number(found.baseline.value)}, the least that can be earned, so there is no margin to "
            "compare with"
        )
    d = found.difference
    if not (math.isfinite(d.low) and math.isfinite(d.high) and math.isfinite(d.value)):
        return f"{_rests_on(found)}; the difference has no valid interval"
    return ""


def _beside_the_point(found: PolicyEvaluation, evidence: GateEvidence) -> str:
    """Why the comparison is with itself, or not with what serves now; "" where it is in order."""
    active = evidence.active
    if found.policy == found.baseline_name:
        return f"the candidate ({found.policy}) was compared with itself"
    if active is None:
        return ""
    version = active.lineage.get("version", "")
    if found.policy == version or evidence.policy_sha256 == active.weights_sha256:
        return f"the candidate ({found.policy}) is what serves already"
    if found.baseline_name != version:
        return (
            f"the candidate was compared with {found.baseline_name}, but {version or 'another model'} "
            "serves now: evaluate it anew"
        )
    return ""


def _rests_on(found: PolicyEvaluation) -> str:
    d = found.difference
    decisions = f"{count(d.n, 'held-out decision')} of {count(d.clusters, 'person', 'people')}"
    if found.positive_rewards is None:
        return decisions
    return f"{count(found.positive_rewards, 'positive reward')} in {decisions}"
