from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Decision,
    Estimate,
    GroupValue,
    OverlapDiagnostics,
    ValidationCheck,
    ValidationReport,
    Verdict,
)
from everloop.contracts.loop_spec import LoopSpec, ThresholdSpec
from everloop.contracts.models import Provenance
from everloop.gates.decide import CHECKS, decide
from everloop.gates.evidence import GateCheck, GateEvidence
from tests.unit.gates.conftest import ACTIVE, BUDGET, EVALUATION

FAILED, INSUFFICIENT = CheckStatus.FAILED, CheckStatus.INSUFFICIENT


GATE_PAGE = Path(__file__).resolve().parents[3] / "docs" / "gate.md"
EMPTY = OverlapDiagnostics(0, 0.0, math.nan, math.nan, math.nan, 0.0, 0.0, 1.0, ())


def _answer(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.name == name)


def test_good_evidence_continues(spec: LoopSpec, evidence: GateEvidence) -> None:
    verdict = decide(spec, evidence)
    assert verdict.decision is Decision.CONTINUE
    assert [check.status for check in verdict.checks] == [CheckStatus.PASSED] * len(CHECKS)
    assert verdict.inputs == {"dataset": "ab" * 32}
    assert [check.name for check in verdict.checks] == [check.name for check in CHECKS]
    assert len({check.name for check in CHECKS}) == len(CHECKS)


NAN = math.nan
UNKNOWN = Estimate("e", NAN, NAN, NAN, 0.95, 100, 50, "m")
NOTHING_KNOWN = {
    "nothing": GateEvidence(Provenance.RAW_LOG, active=ACTIVE),
    "nothing, of a candidate against nobody": GateEvidence(
        Provenance.RAW_LOG,
        evaluation=replace(EVALUATION, groups=(), action_share={}, rates=(), overlap=EMPTY),
        active=ACTIVE,
    ),
    "not a number": GateEvidence(
        Provenance.RAW_LOG,
        validation=ValidationReport("d", ()),
        evaluation=replace(
            EVALUATION,
            estimates=(UNKNOWN,),
            baseline=UNKNOWN,
            difference=UNKNOWN,
            overlap=OverlapDiagnostics(100, NAN, NAN, NAN, NAN, NAN, NAN, NAN, ()),
            groups=(GroupValue("age", "a", 90, UNKNOWN), GroupValue("age", "b", 90, UNKNOWN)),
            action_share={"wait": NAN, "calm": NAN},
            rates=(replace(UNKNOWN, name="intervention_false_positive_rate"),),
        ),
        quality=(Check("auc", INSUFFICIENT, "The AUC is not known.", NAN, 0.6),),
        anomaly_share=NAN,
        budget=replace(BUDGET, epsilon_period=NAN, mu_squared_period=NAN),
        explained_share=NAN,
        active=ACTIVE,
    ),
}


@pytest.mark.parametrize("known", list(NOTHING_KNOWN))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_check_passes_without_data_or_on_what_is_no_number(
    demanding: LoopSpec, check: GateCheck, known: str
) -> None:
    answer = check(demanding, NOTHING_KNOWN[known])
    assert answer.name == check.name
    assert answer.status is not CheckStatus.PASSED, answer.reason
    assert decide(demanding, NOTHING_KNOWN[known], (check,)).decision is Decision.HOLD


def test_good_evidence_continues_where_everything_is_asked_for(
    demanding: LoopSpec, overseen: GateEvidence
) -> None:
    verdict = decide(demanding, overseen)
    assert [check.reason for check in verdict.checks if not check.passed] == []
    assert verdict.decision is Decision.CONTINUE


def test_no_check_is_a_no(spec: LoopSpec, evidence: GateEvidence) -> None:
    assert decide(spec, evidence, checks=()).decision is Decision.HOLD


def _evaluation(evidence: GateEvidence, **fields: Any) -> dict[str, Any]:
    assert evidence.evaluation is not None
    return {"evaluation": replace(evidence.evaluation, **fields)}


def _overlap(evidence: GateEvidence, **fields: Any) -> dict[str, Any]:
    assert evidence.evaluation is not None
    return _evaluation(evidence, overlap=replace(evidence.evaluation.overlap, **fields))


def _budget(evidence: GateEvidence, **fields: Any) -> dict[str, Any]:
    assert evidence.budget is not None
    return {"budget": replace(evidence.budget, **fields)}


BAD_ROWS = ValidationReport(
    "d",
    (
        ValidationCheck("rows", True, "5000", "> 200"),
        ValidationCheck("propensity", False, "0 in 3 rows", "in (0, 1]"),
        ValidationCheck("volume", False, "-50 %", "within 80 %", severity="warning"),
    ),
)

# (what is spoilt, which check notices, its answer, a piece of its reason)
SPOILT: dict[str, tuple[Any, str, CheckStatus, str]] = {
    "raw log": (lambda e: {"provenance": Provenance.RAW_LOG}, "provenance", FAILED, "raw log"),
    "no validation": (lambda e: {"validation": None}, "validation", INSUFFICIENT, "not validated"),
    "empty validation": (
        lambda e: {"validation": ValidationReport("d", ())},
        "validation",
        INSUFFICIENT,
        "not validated",
    ),
    "bad rows": (
        lambda e: {"validation": BAD_ROWS},
        "validation",
        FAILED,
        "failed 1 of 3 expectations: propensity: 0 in 3 rows, expected in (0, 1]",
    ),
    "no evaluation": (lambda e: {"evaluation": None}, "overlap", INSUFFICIENT, "not evaluated"),
    "no decisions": (
        lambda e: _overlap(e, n=0, problems=("There is no held-out decision.",)),
        "overlap",
        INSUFFICIENT,
        "no held-out decision",
    ),
    "an overlap problem": (
        lambda e: _overlap(e, problems=("The mean importance weight is 1.4.",)),
        "overlap",
        FAILED,
        "mean importance weight is 1.4",
    ),
    "a small effective sample": (
        lambda e: _overlap(e, effective_sample=150.0),
        "overlap",
        FAILED,
        "effective sample 150",
    ),
    "an unknown effective sample": (
        lambda e: _overlap(e, effective_sample=math.nan),
        "overlap",
        FAILED,
        "not known",
    ),
    "one heavy decision": (
        lambda e: _overlap(e, max_weight_share=0.3),
        "overlap",
        FAILED,
        "0.300",
    ),
    "a mean weight off 1": (
        lambda e: _overlap(e, mean_weight=0.7),
        "overlap",
        FAILED,
        "mean weight 0.700",
    ),
    "no quality": (lambda e: {"quality": ()}, "user_model_quality", INSUFFICIENT, "not checked"),
    "a failed quality check": (
        lambda e: {
            "quality": (
                *e.quality,
                Check("distance", FAILED, "Synthetic people are 0.7 away.", 0.7, 0.5),
            )
        },
        "user_model_quality",
        FAILED,
        "0.7 away",
    ),
    "an open quality check": (
        lambda e: {"quality": (*e.quality, Check("auc", INSUFFICIENT, "Too few people."))},
        "user_model_quality",
        INSUFFICIENT,
        "Too few people",
    ),
    "anomalies": (
        lambda e: {"anomaly_share": 0.06},
        "anomalies",
        FAILED,
        "6.00% of episodes are flagged",
    ),
    "anomalies unknown": (
        lambda e: {"anomaly_share": None},
        "anomalies",
        INSUFFICIENT,
        "not known",
    ),
    "anomalies not a share": (
        lambda e: {"anomaly_share": math.nan},
        "anomalies",
        INSUFFICIENT,
        "not known",
    ),
    "no budget": (lambda e: {"budget": None}, "privacy_budget", INSUFFICIENT, "not known"),
    "a budget overrun": (
        lambda e: _budget(e, epsilon_period=1.2),
        "privacy_budget",
        FAILED,
        "epsilon 1.20 of 1.00",
    ),
    "a mu squared overrun": (
        lambda e: _budget(e, mu_squared_period=0.08),
        "privacy_budget",
        FAILED,
        "who has spent most",
    ),
    "a laxer delta": (lambda e: _budget(e, delta=1e-3), "privacy_budget", FAILED, "delta 0.001"),
    "a laxer budget than the loop's": (
        lambda e: _budget(e, epsilon_budget=8.0, epsilon_period=2.0),
        "privacy_budget",
        FAILED,
        "2.00 of 1.00",
    ),
    "an unknown budget": (
        lambda e: _budget(e, epsilon_period=math.nan),
        "privacy_budget",
        INSUFFICIENT,
        "not known",
    ),
    "unexplained": (
        lambda e: {"explained_share": 0.9},
        "explanations",
        FAILED,
        "90.0% of the training episodes",
    ),
    "explanations unknown": (
        lambda e: {"explained_share": math.nan},
        "explanations",
        INSUFFICIENT,
        "not known",
    ),
    "too much intervention": (
        lambda e: _evaluation(e, action_share={"wait": 0.4, "calm": 0.6}),
        "safety_critical_share",
        FAILED,
        "(calm) in 60.0% of decisions; at most 50.0%",
    ),
    "an unknown action share": (
        lambda e: _evaluation(e, action_share={}),
        "safety_critical_share",
        INSUFFICIENT,
        "not known",
    ),
}


@pytest.mark.parametrize("spoilt", list(SPOILT))
def test_each_thing_that_is_wrong_holds(
    spec: LoopSpec, evidence: GateEvidence, spoilt: str
) -> None:
    change, name, status, says = SPOILT[spoilt]
    verdict = decide(spec, replace(evidence, **change(evidence)))
    assert verdict.decision is Decision.HOLD
    answer = _answer(verdict, name)
    assert answer.status is status
    assert says in answer.reason
    assert answer.reason in verdict.reasons


def test_at_the_threshold_is_still_allowed(spec: LoopSpec, evidence: GateEvidence) -> None:
    on_the_line = replace(
        evidence,
        anomaly_share=0.05,
        explained_share=0.95,
        **_evaluation(evidence, action_share={"wait": 0.5, "calm": 0.5}),
        **_budget(evidence, epsilon_period=1.0, mu_squared_period=0.0718),
    )
    assert decide(spec, on_the_line).decision is Decision.CONTINUE


def test_loops_without_protected_or_critical_things_need_no_evidence_of_them(
    spec: LoopSpec, evidence: GateEvidence
) -> None:
    plain = spec.model_copy(
        update={
            "protected": (),
            "actions": tuple(a.model_copy(update={"safety_critical": False}) for a in spec.actions),
        }
    )
    bare = replace(evidence, **_evaluation(evidence, groups=(), action_share={}))
    assert decide(plain, bare).decision is Decision.CONTINUE
    assert decide(spec, bare).decision is Decision.HOLD


def test_every_reason_is_a_sentence(spec: LoopSpec, evidence: GateEvidence) -> None:
    verdicts = [decide(spec, evidence), decide(spec, GateEvidence(Provenance.RAW_LOG))]
    verdicts += [
        decide(spec, replace(evidence, **change(evidence))) for change, *_ in SPOILT.values()
    ]
    for verdict in verdicts:
        for check in verdict.checks:
            assert check.reason[0].isupper() or check.reason[0].isdigit(), check.reason
            assert check.reason.endswith("."), check.reason


def test_every_check_is_documented_with_its_own_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GATE_PAGE.read_text(), re.MULTILINE)
    assert rows == [check.name for check in CHECKS]


def test_every_threshold_in_the_document_is_one() -> None:
    table = GATE_PAGE.read_text().partition("## Every check")[2].partition("### ")[0]
    spec = LoopSpec.model_fields
    thresholds = set(ThresholdSpec.model_fields)
    for row in table.splitlines()[4:]:
        for name in re.findall(r"`([\w.]+)`", row.split("|")[3] if row.count("|") > 4 else ""):
            first, _, rest = name.partition(".")
            assert name in thresholds or (first in spec and rest), name
