"""A candidate may not lean on safety-critical actions."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import failed, insufficient, passed
from everloop.gates.evidence import GateEvidence


class SafetyCheck:
    name = "safety_critical_share"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        critical = [action.id for action in spec.actions if action.safety_critical]
        if not critical:
            return passed(self.name, reason="The loop declares no safety-critical action.")
        shares = evidence.evaluation.action_share if evidence.evaluation else {}
        share = sum(shares.get(action, math.nan) for action in critical)
        if not math.isfinite(share):
            return insufficient(
                self.name,
                reason="It is not known how often the candidate would take a safety-critical action.",
            )
        limit = spec.thresholds.max_safety_critical_share
        says = passed if share <= limit else failed
        return says(
            self.name,
            reason=(
                f"The candidate takes a safety-critical action ({', '.join(critical)}) in "
                f"{share:.1%} of decisions; at most {limit:.1%} are allowed."
            ),
            value=share,
            threshold=limit,
        )
