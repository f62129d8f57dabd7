"""Few of the candidate's interventions may be received badly: the specification's false positives.

The rate is estimated on logged interventions (``rl/off_policy/rates.py``). With its interval [l, h] and
the limit f: h <= f passes, l > f fails, anything else is not enough evidence. Without a limit it is told
and decides nothing.
"""

from __future__ import annotations

import math

from everloop.contracts.actions import ActionKind
from everloop.contracts.evaluation import Check, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import count, failed, insufficient, interval, number, passed
from everloop.gates.evidence import GateEvidence

RATE = "intervention_false_positive_rate"
"""Name of the estimate among ``PolicyEvaluation.rates``."""


class FalsePositiveCheck:
    name = "false_positive_rate"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        limit, found = spec.thresholds.max_false_positive_rate, _rate(evidence)
        if limit is None:
            return passed(self.name, reason=_told(found), value=found.value if found else None)
        interventions = [a.id for a in spec.actions if a.kind is ActionKind.INTERVENTION]
        if not interventions:
            return passed(self.name, reason="The loop declares no intervention.")
        if found is None:
            shares = evidence.evaluation.action_share if evidence.evaluation else {}
            if sum(shares.get(action, math.nan) for action in interventions) == 0:
                return passed(self.name, reason="The candidate never intervenes.", threshold=limit)
            return insufficient(
                self.name,
                reason=(
                    "It is not known how the candidate's interventions would be received: the log holds "
                    "none of them."
                ),
                threshold=limit,
            )
        if not all(math.isfinite(v) for v in (found.value, found.low, found.high)):
            return insufficient(
                self.name,
                reason=f"{_told(found)} At most {limit:.1%} may be, and there is no valid interval.",
                threshold=limit,
            )
        if found.high <= limit:
            says, compared = passed, f"the whole interval is within the limit of {limit:.1%}"
        elif found.low > limit:
            says, compared = failed, f"the whole interval is above the limit of {limit:.1%}"
        else:
            says, compared = insufficient, f"the interval reaches past the limit of {limit:.1%}"
        return says(
            self.name,
            reason=f"{_told(found).removesuffix('.')}; {compared}.",
            value=found.value,
            threshold=limit,
        )


def _rate(evidence: GateEvidence) -> Estimate | None:
    rates = evidence.evaluation.rates if evidence.evaluation else ()
    return next((rate for rate in rates if rate.name == RATE), None)


def _told(found: Estimate | None) -> str:
    if found is None:
        return "How the candidate's interventions would be received is not known and not asked for."
    return (
        f"Of the candidate's interventions a share of {number(found.value)} "
        f"{interval(found.low, found.high)} would be received badly, by "
        f"{count(found.n, 'effective decision')} of {count(found.clusters, 'person', 'people')}."
    )
