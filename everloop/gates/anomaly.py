"""Few episodes may be flagged as anomalous; flagged ones wait for a person."""

from __future__ import annotations

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import failed, insufficient, passed
from everloop.gates.evidence import GateEvidence


class AnomalyCheck:
    name = "anomalies"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        share, limit = evidence.anomaly_share, spec.thresholds.max_anomaly_share
        if share is None or not 0.0 <= share <= 1.0:
            return insufficient(
                self.name, reason="It is not known how many episodes are anomalous."
            )
        says = passed if share <= limit else failed
        return says(
            self.name,
            reason=(
                f"{share:.2%} of episodes are flagged for extreme variance of their signals; "
                f"at most {limit:.2%} may be."
            ),
            value=share,
            threshold=limit,
        )
