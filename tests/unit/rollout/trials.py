"""Trials, figures and checks for tests of the controller."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollout_spec import OversightSpec, RolloutSpec
from everloop.contracts.rollouts import (
    ExperimentFigures,
    MetricEffect,
    RolloutRecord,
    SampleRatio,
    Stay,
)
from everloop.loops import load
from everloop.rollout.trial_checks import TrialEvidence

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = load("companion")
HEALTHY = (Check("errors", CheckStatus.PASSED, "No error in 500 decisions."),)


def spec_with(**changes: Any) -> LoopSpec:
    return SPEC.model_copy(update={"rollout": RolloutSpec(**changes)})


ASKS = spec_with(oversight=OversightSpec(approval="promotion"))


def estimate(low: float, high: float, name: str = "primary") -> Estimate:
    return Estimate(name, (low + high) / 2, low, high, 0.95, 900, 400, "test")


def trial(state: Any = "started", percent: float = 25.0, step: int = 2, **changes: Any) -> Any:
    record = RolloutRecord(
        rollout_id="trial",
        loop=SPEC.name,
        candidate="new",
        active="old",
        state=state,
        traffic_percent=percent,
        reasons=("It may.",),
        recorded_at=BEGUN,
        deployment_id="manifest",
        step=step,
        history=(Stay(state, percent, BEGUN),),
    )
    return replace(record, **changes)


def guardrails(held: bool | None = True) -> tuple[MetricEffect, ...]:
    shown = {True: (-0.01, 0.05), False: (-0.3, -0.2), None: (-0.2, 0.2)}[held]
    return tuple(
        MetricEffect(name, estimate(*shown, name), 0.1, held) for name in SPEC.signal_names
    )


def figures(hours: float = 30.0, **changes: Any) -> ExperimentFigures:
    """Of a clear winner, ``hours`` after the stay began."""
    return replace(
        ExperimentFigures(
            rollout_id="trial",
            until=BEGUN + timedelta(hours=hours),
            primary=estimate(0.01, 0.09),
            control=estimate(0.1, 0.2),
            candidate=estimate(0.2, 0.3),
            relative=0.1,
            guardrails=guardrails(),
            ratio=SampleRatio(
                {"control": 0.75, "candidate": 0.25}, {"control": 300, "candidate": 100}, 0.1, False
            ),
            days=(),
            cusum=0.5,
            drifted=False,
            exposed={"control": 300, "candidate": 100},
            fairness=Check("parity", CheckStatus.PASSED, "Groups fare alike."),
        ),
        **changes,
    )


def evidence(hours: float = 30.0, **changes: Any) -> TrialEvidence:
    found = {"hard": HEALTHY, "shadow": HEALTHY, "experiment": figures(hours)} | changes
    return TrialEvidence(now=BEGUN + timedelta(hours=hours), **found)
