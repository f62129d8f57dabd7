"""The data that the candidate was made from must have passed validation."""

from __future__ import annotations

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import count, failed, insufficient, passed
from everloop.gates.evidence import GateEvidence


class ValidationCheck:
    name = "validation"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:  # noqa: ARG002  the port's
        report = evidence.validation
        if report is None or not report.checks:
            return insufficient(self.name, reason="The data was not validated.")
        if report.passed:
            return passed(
                self.name, reason=f"The data passed {count(len(report.checks), 'expectation')}."
            )
        wrong = [c for c in report.checks if not c.passed and c.severity == "error"]
        shown = "; ".join(f"{c.name}: {c.observed}, expected {c.expected}" for c in wrong[:3])
        return failed(
            self.name,
            reason=f"The data failed {len(wrong)} of {count(len(report.checks), 'expectation')}: {shown}.",
            value=float(len(wrong)),
            threshold=0.0,
        )
