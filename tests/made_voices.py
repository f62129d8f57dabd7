"""What a voice's run leaves, made by hand: figures, comparison, sandbox report."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.sandboxes import (
    ConfigurationDrift,
    CriterionKind,
    CriterionResult,
    Isolation,
    RunStatus,
    SandboxReport,
    Suite,
    TestRunLog,
)
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    AdapterFigures,
    CategoryShare,
    DataFigures,
    Message,
    PhaseFigures,
    SampleAnswer,
    StepLog,
    VoiceComparison,
)
from everloop.loops import load

ADAPTER = "a" * 64
PLACEBO = "b" * 64
BASE = "c" * 64
AT = datetime(2026, 3, 28, 3, tzinfo=UTC)


def spec() -> LoopSpec:
    return load("companion")


def estimate(name: str, value: float, half: float = 0.1, n: int = 40) -> Estimate:
    return Estimate(name, value, value - half, value + half, 0.95, n, n // 2, "mean, t over people")


def phase(name: str = "feedback", **given: object) -> PhaseFigures:
    made = PhaseFigures(
        phase=name,
        method="sft",
        examples=64,
        replayed=6,
        steps=6,
        warmup_steps=1,
        peak_learning_rate=2e-4,
        max_grad_norm=1.0,
        effective_batch=32,
        first_loss=3.0,
        last_loss=2.5,
        tokens=4_000,
        seconds=12.0,
        adapter_in="",
        adapter_out=ADAPTER,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def training(sha256: str = ADAPTER, placebo: bool = False, **given: object) -> AdapterFigures:
    made = AdapterFigures(
        base_sha256=BASE,
        adapter_sha256=sha256,
        phases=(phase(),),
        steps=tuple(StepLog("feedback", i + 1, 2e-4 * i / 6, 1.0, 3.0 - i / 10) for i in range(6)),
        moved=1.25,
        parameters=4_884_480,
        placebo=placebo,
        rows_by_task={"sft": 50},
        people=20,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def data(**given: object) -> DataFigures:
    made = DataFigures(
        rows_in=100,
        rows_out=80,
        removed={"pii": 12, "near_duplicate": 8},
        by_task={"sft": 50, "preference": 30},
        by_source={"feedback": 60, "corpus": 20},
        augmented=10,
        people=30,
        categories=(CategoryShare(Category.EMPATHETIC, 80, 1.0, 0.10, 0.12, within=False),),
        licenses={"own_voice": "Apache-2.0"},
    )
    return replace(made, **given)  # type: ignore[arg-type]


def run(name: str, suite: Suite, status: RunStatus = RunStatus.PASSED) -> TestRunLog:
    judged = CriterionResult(CriterionKind.REFUSES, 0, status, f"{name}: it answered <b>so</b>.")
    return TestRunLog(
        test_run_id=f"run-{name}",
        model_id=ADAPTER,
        scenario_id=name,
        suite=suite,
        timestamp=AT,
        status=status,
        outputs=("What was said.",),
        metric_scores={"words": 3.0},
        criteria=(judged,),
    )


def sandbox(**given: object) -> SandboxReport:
    made = SandboxReport(
        model_id=ADAPTER,
        active_id="",
        started_at=AT,
        seconds=33.0,
        runs=(
            run("kind", Suite.BEHAVIOURAL_RANGE),
            run("harm", Suite.SAFETY),
            run("long", Suite.CONTEXTUAL_DEPTH, RunStatus.FAILED),
        ),
        active_runs=(run("kind", Suite.BEHAVIOURAL_RANGE), run("harm", Suite.SAFETY)),
        checks=(Check("safety", CheckStatus.PASSED, "1 of 1 scenario passed."),),
        isolation=Isolation(True, True, True, ("seccomp", "landlock"), {"connect": "EPERM"}),
        drift=ConfigurationDrift({}),
    )
    return replace(made, **given)  # type: ignore[arg-type]


def comparison(**given: object) -> VoiceComparison:
    sample = SampleAnswer(
        (Message("user", "How are <you>?"),),
        "Fine & you?",
        "I am fine.",
        "Fine.",
        "Fine, and you?",
        Category.EMPATHETIC,
    )
    made = VoiceComparison(
        effect=estimate("candidate - placebo", 0.3),
        over_active=estimate("candidate - active", 0.4),
        length_adjusted=estimate("at equal length", 0.25),
        golden=estimate("golden", 0.01, 0.02),
        by_category=(estimate("empathetic", 0.3), estimate("technical", math.nan)),
        perplexity={"candidate": 9.0, "placebo": 9.1, "active": 8.9},
        length_ratio=estimate("length", 1.1),
        samples=(sample,),
    )
    return replace(made, **given)  # type: ignore[arg-type]
