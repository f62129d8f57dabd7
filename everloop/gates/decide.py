"""One verdict from every check."""

from __future__ import annotations

from everloop.contracts.evaluation import CheckStatus, Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.anomaly import AnomalyCheck
from everloop.gates.budget import BudgetCheck
from everloop.gates.evidence import GateCheck, GateEvidence
from everloop.gates.explanation import ExplanationCheck
from everloop.gates.fairness import FairnessCheck
from everloop.gates.non_inferiority import NonInferiorityCheck
from everloop.gates.overlap import OverlapCheck
from everloop.gates.provenance import ProvenanceCheck
from everloop.gates.quality import QualityCheck
from everloop.gates.safety import SafetyCheck
from everloop.gates.validation import ValidationCheck

CHECKS: tuple[GateCheck, ...] = (
    NonInferiorityCheck(),
    OverlapCheck(),
    ProvenanceCheck(),
    ValidationCheck(),
    FairnessCheck(),
    QualityCheck(),
    AnomalyCheck(),
    BudgetCheck(),
    ExplanationCheck(),
    SafetyCheck(),
)
"""Every check of the gate, in the order in which reasons are read."""


def decide(
    spec: LoopSpec, evidence: GateEvidence, checks: tuple[GateCheck, ...] = CHECKS
) -> Verdict:
    """``continue`` only if every check passes; ``hold`` otherwise and where nothing was checked."""
    answers = tuple(check(spec, evidence) for check in checks)
    good = bool(answers) and all(answer.status is CheckStatus.PASSED for answer in answers)
    return Verdict(Decision.CONTINUE if good else Decision.HOLD, answers, dict(evidence.inputs))
