"""One verdict from every check."""

from __future__ import annotations

from everloop.contracts.evaluation import CheckStatus, Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.anomaly import AnomalyCheck
from everloop.gates.approval import ApprovalCheck
from everloop.gates.budget import BudgetCheck
from everloop.gates.evidence import GateCheck, GateEvidence
from everloop.gates.explanation import ExplanationCheck
from everloop.gates.fairness import FairnessCheck
from everloop.gates.false_positives import FalsePositiveCheck
from everloop.gates.non_inferiority import NonInferiorityCheck
from everloop.gates.overlap import OverlapCheck
from everloop.gates.plugins import installed_checks
from everloop.gates.provenance import ProvenanceCheck
from everloop.gates.quality import QualityCheck
from everloop.gates.reviews import ADVERSARIAL_TEST, WEEKLY_REVIEW
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
    FalsePositiveCheck(),
    WEEKLY_REVIEW,
    ADVERSARIAL_TEST,
    ApprovalCheck(),
)
"""The gate's own checks, in the order in which reasons are read."""


def decide(
    spec: LoopSpec, evidence: GateEvidence, checks: tuple[GateCheck, ...] | None = None
) -> Verdict:
    """``continue`` only if every check passes; ``hold`` otherwise and where nothing was checked.

    Args:
        spec: the loop.
        evidence: what the run found out.
        checks: what to ask; None: the gate's own checks and the installed ones.
    """
    asked = (*CHECKS, *installed_checks(CHECKS)) if checks is None else checks
    answers = tuple(check(spec, evidence) for check in asked)
    good = bool(answers) and all(answer.status is CheckStatus.PASSED for answer in answers)
    return Verdict(Decision.CONTINUE if good else Decision.HOLD, answers, dict(evidence.inputs))
