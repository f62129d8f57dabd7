"""The user model and the synthetic people must have held up against held-out real people."""

from __future__ import annotations

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import count, failed, insufficient, passed
from everloop.gates.evidence import GateEvidence


class QualityCheck:
    name = "user_model_quality"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:  # noqa: ARG002  the port's
        checks = evidence.quality
        if not checks:
            return insufficient(
                self.name, reason="The user model was not checked against held-out people."
            )
        for status, answer in (
            (CheckStatus.FAILED, failed),
            (CheckStatus.INSUFFICIENT, insufficient),
        ):
            found = [c for c in checks if c.status is status]
            if found:
                shown = " ".join(c.reason for c in found)
                return answer(
                    self.name, reason=shown, value=found[0].value, threshold=found[0].threshold
                )
        return passed(
            self.name,
            reason=f"The user model passed {count(len(checks), 'check')} on held-out people.",
        )
