from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.evidence import GateEvidence
from everloop.gates.false_positives import RATE, FalsePositiveCheck
from rl.off_policy.rates import REJECTED

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT
CHECK = FalsePositiveCheck()


@pytest.fixture
def ask(demanding: LoopSpec, evidence: GateEvidence) -> Any:
    def check(value: float, low: float, high: float, spec: LoopSpec = demanding) -> Check:
        assert evidence.evaluation is not None
        rate = Estimate(RATE, value, low, high, 0.95, 600, 400, "m")
        found = replace(evidence.evaluation, rates=(rate,))
        return CHECK(spec, replace(evidence, evaluation=found))

    return check


def test_it_reads_what_evaluation_measures() -> None:
    assert RATE == REJECTED


@pytest.mark.parametrize(
    ("value", "low", "high", "status"),
    [
        (0.02, 0.01, 0.049, PASSED),
        (0.03, 0.01, 0.05, PASSED),
        (0.03, 0.01, 0.0501, INSUFFICIENT),
        (0.08, 0.0499, 0.2, INSUFFICIENT),
        (0.08, 0.05, 0.2, INSUFFICIENT),
        (0.08, 0.0501, 0.2, FAILED),
        (0.02, math.nan, math.nan, INSUFFICIENT),
        (math.nan, 0.01, 0.02, INSUFFICIENT),
        (0.02, 0.01, math.nan, INSUFFICIENT),
    ],
)
def test_the_interval_decides(
    ask: Any, value: float, low: float, high: float, status: CheckStatus
) -> None:
    found = ask(value, low, high)
    assert found.status is status
    assert found.threshold == 0.05
    assert not found.person_decides


def test_without_a_limit_it_is_told_and_decides_nothing(
    spec: LoopSpec, ask: Any, evidence: GateEvidence
) -> None:
    found = ask(0.5, 0.4, 0.6, spec)
    assert (found.status, found.value, found.threshold) == (PASSED, 0.5, None)
    assert "0.500 [0.400, 0.600]" in found.reason
    assert CHECK(spec, replace(evidence, evaluation=None)).status is PASSED


def test_reasons_carry_the_numbers(ask: Any) -> None:
    assert ask(0.02, 0.01, 0.04).reason == (
        "Of the candidate's interventions a share of 0.0200 [0.0100, 0.0400] would be received badly, "
        "by 600 effective decisions of 400 people; the whole interval is within the limit of 5.0%."
    )


def test_who_never_intervenes_needs_no_log_of_interventions(
    demanding: LoopSpec, evidence: GateEvidence
) -> None:
    assert evidence.evaluation is not None
    for shares, status in (
        ({"wait": 1.0, "calm": 0.0}, PASSED),
        ({"wait": 0.999, "calm": 0.001}, INSUFFICIENT),
        ({"wait": 1.0}, INSUFFICIENT),
        ({"wait": 1.0, "calm": math.nan}, INSUFFICIENT),
        ({}, INSUFFICIENT),
    ):
        found = replace(evidence.evaluation, rates=(), action_share=shares)
        assert CHECK(demanding, replace(evidence, evaluation=found)).status is status


def test_a_loop_without_interventions_has_no_false_ones(
    demanding: LoopSpec, evidence: GateEvidence
) -> None:
    plain = demanding.model_copy(update={"actions": demanding.actions[:1]})
    found = CHECK(plain, replace(evidence, evaluation=None))
    assert (found.status, found.reason) == (PASSED, "The loop declares no intervention.")
    assert CHECK(demanding, replace(evidence, evaluation=None)).status is INSUFFICIENT
