"""Nobody's privacy loss may be above the loop's budget."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import failed, insufficient, number, passed
from everloop.gates.evidence import GateEvidence

_ROUNDING = 1e-9


class BudgetCheck:
    name = "privacy_budget"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        found = evidence.budget
        if found is None or not (
            math.isfinite(found.epsilon_period) and math.isfinite(found.mu_squared_period)
        ):
            return insufficient(self.name, reason="The privacy budget's state is not known.")
        allowed = min(found.epsilon_budget, spec.privacy.epsilon)
        delta = max(found.delta, spec.privacy.delta)
        kept = (
            found.epsilon_period <= allowed * (1 + _ROUNDING)
            and found.mu_squared_period <= found.mu_squared_budget * (1 + _ROUNDING)
            and found.delta <= spec.privacy.delta * (1 + _ROUNDING)
        )
        says = passed if kept else failed
        return says(
            self.name,
            reason=(
                f"The person who has spent most is at epsilon {number(found.epsilon_period)} of "
                f"{number(allowed)} (delta {delta:g}) over {found.period_days} days; "
                f"nobody spent more than {number(found.epsilon_tonight)} tonight."
            ),
            value=found.epsilon_period,
            threshold=allowed,
        )
