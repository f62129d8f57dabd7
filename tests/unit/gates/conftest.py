"""Evidence that passes every check; each test spoils one thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everloop.contracts.evaluation import (
    Check,
    CheckStatus,
    Estimate,
    GroupValue,
    OverlapDiagnostics,
    PolicyEvaluation,
    ValidationCheck,
    ValidationReport,
)
from everloop.contracts.loop_spec import LoopSpec, ThresholdSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.oversight import Oversight, OversightKind
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.rollout_spec import OversightSpec, RolloutSpec
from everloop.gates.evidence import GateEvidence

SPEC: dict[str, Any] = {
    "name": "shop",
    "version": 1,
    "context": [{"name": "age", "kind": "category", "choices": ["young", "old"]}],
    "actions": [
        {"id": "wait", "kind": "no_action"},
        {
            "id": "calm",
            "kind": "intervention",
            "tone": "calm",
            "message": "m",
            "safety_critical": True,
        },
    ],
    "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
    "reward": {
        "attainable_low": -0.5,
        "attainable_high": 1.0,
        "half_life_seconds": 60,
        "closes_after_seconds": 60,
        "success_at": 0.5,
        "failure_at": -0.4,
    },
    "protected": ["age"],
}


def estimate(value: float, low: float, high: float, n: int = 5000, people: int = 1200) -> Estimate:
    return Estimate("e", value, low, high, 0.95, n, people, "m")


def group(
    name: str, value: float, half: float = 0.01, people: int = 600, attribute: str = "age"
) -> GroupValue:
    return GroupValue(
        attribute, name, people, estimate(value, value - half, value + half, 2500, people)
    )


OVERLAP = OverlapDiagnostics(5000, 900.0, 1.01, 0.95, 1.07, 30.0, 0.01, 0.0, ())
EVALUATION = PolicyEvaluation(
    policy="candidate",
    baseline_name="logging policy",
    estimates=(estimate(0.32, 0.3, 0.34),),
    baseline=estimate(0.3, 0.29, 0.31),
    difference=estimate(0.02, -0.01, 0.05),
    overlap=OVERLAP,
    groups=(group("young", 0.55), group("old", 0.54)),
    baseline_groups=(group("young", 0.53), group("old", 0.53)),
    action_share={"wait": 0.8, "calm": 0.2},
    positive_rewards=2600,
    rates=(
        Estimate("intervention_acceptance", 0.5, 0.4, 0.6, 0.95, 600, 400, "m"),
        Estimate("intervention_false_positive_rate", 0.02, 0.01, 0.04, 0.95, 600, 400, "m"),
    ),
)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
ACTIVE = ModelCheckpoint(
    checkpoint_id="c1",
    model_type=ModelType.INTERVENTION,
    loop="shop",
    weights_url="blob",
    weights_sha256="aa" * 32,
    performance_metrics={},
    training_date=NOW,
    provenance=Provenance.PRIVATE_RELEASE,
    lineage={"version": "shop-1"},
    verdict="continue",
)
BUDGET = BudgetStatus(1.0, 1e-5, 365, 0.04, 0.3, 0.3, 0.0718, 0.01, 300, 0)
EVIDENCE = GateEvidence(
    provenance=Provenance.PRIVATE_RELEASE,
    validation=ValidationReport("d", (ValidationCheck("rows", True, "5000", "> 200"),)),
    evaluation=EVALUATION,
    quality=(Check("auc", CheckStatus.PASSED, "The user model ranks outcomes with AUC 0.7."),),
    anomaly_share=0.01,
    budget=BUDGET,
    explained_share=1.0,
    inputs={"dataset": "ab" * 32},
)


@pytest.fixture
def spec() -> LoopSpec:
    return LoopSpec.model_validate(SPEC)


@pytest.fixture
def demanding(spec: LoopSpec) -> LoopSpec:
    """A loop that asks for everything that may be asked for."""
    asked = OversightSpec(approval="start", weekly_review_days=7, adversarial_test_days=31)
    return spec.model_copy(
        update={
            "rollout": RolloutSpec(oversight=asked),
            "thresholds": ThresholdSpec(max_false_positive_rate=0.05),
        }
    )


@pytest.fixture
def evidence() -> GateEvidence:
    return EVIDENCE


@pytest.fixture
def overseen() -> GateEvidence:
    """The same beside an active model that people looked at."""
    assert EVIDENCE.evaluation is not None
    return replace(
        EVIDENCE,
        evaluation=replace(EVIDENCE.evaluation, baseline_name="shop-1"),
        policy_sha256="bb" * 32,
        active=ACTIVE,
        approval=said(OversightKind.APPROVAL),
        review=said(OversightKind.REVIEW, days=3),
        adversarial_test=said(OversightKind.ADVERSARIAL_TEST, days=20),
        now=NOW,
    )


def said(kind: OversightKind, days: float = 0.0, **changes: Any) -> Oversight:
    """Somebody's word, so many days before ``NOW``."""
    at = NOW - timedelta(days=days)
    word = Oversight("o1", kind, "shop", "s1", True, "Ann Ott", "All is well.", at)
    return replace(word, **changes)


@pytest.fixture
def make_word() -> Any:
    return said


@pytest.fixture
def make_estimate() -> Any:
    return estimate


@pytest.fixture
def make_group() -> Any:
    return group
