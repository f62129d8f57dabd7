from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.evidence import GateEvidence
from everloop.gates.non_inferiority import NonInferiorityCheck, margin_of

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT


@pytest.fixture
def ask(spec: LoopSpec, evidence: GateEvidence, make_estimate: Any) -> Any:
    def check(value: float, low: float, high: float, **fields: Any) -> Check:
        assert evidence.evaluation is not None
        found = replace(evidence.evaluation, difference=make_estimate(value, low, high), **fields)
        return NonInferiorityCheck()(spec, replace(evidence, evaluation=found))

    return check


def test_margin_by_hand(spec: LoopSpec) -> None:
    """5 % of what the baseline earns above the least: 0.05 * (0.3 + 0.5)."""
    assert margin_of(spec, 0.3) == pytest.approx(0.04)
    assert margin_of(spec, -0.5) == 0.0
    assert margin_of(spec, -0.7) == 0.0
    assert margin_of(spec, 2.0) == pytest.approx(0.075)
    assert math.isnan(margin_of(spec, math.nan))


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.01, 0.05, PASSED),
        (-0.039, 0.05, PASSED),
        (-0.0401, 0.05, INSUFFICIENT),
        (-0.2, 0.2, INSUFFICIENT),
        (-0.2, -0.039, INSUFFICIENT),
        (-0.2, -0.0401, FAILED),
        (math.nan, math.nan, INSUFFICIENT),
        (-math.inf, 0.1, INSUFFICIENT),
        (0.1, math.inf, INSUFFICIENT),
    ],
)
def test_three_answers(ask: Any, low: float, high: float, status: CheckStatus) -> None:
    value = (low + high) / 2 if math.isfinite(low + high) else 0.0
    found = ask(value, low, high)
    assert found.status is status
    if status is not INSUFFICIENT:
        assert (found.value, found.threshold) == (low, pytest.approx(-0.04))


def test_the_worse_candidate_loses_and_its_mirror_image_wins(ask: Any) -> None:
    """A gate with a broken sign would answer the same, or the other way round."""
    assert ask(-0.15, -0.2, -0.1).status is FAILED
    assert ask(0.15, 0.1, 0.2).status is PASSED


def test_a_point_estimate_alone_convinces_nobody(ask: Any) -> None:
    """A much better value with a wide interval waits; so does the candidate against itself."""
    assert ask(0.3, -0.1, 0.7).status is INSUFFICIENT
    assert ask(0.0, -0.05, 0.05).status is INSUFFICIENT
    assert ask(math.nan, 0.1, 0.2).status is INSUFFICIENT


def test_sparse_rewards_say_what_is_missing(ask: Any, make_estimate: Any) -> None:
    """19 clicks in 5,000: an absolute margin of 0.05 would have passed this."""
    found = ask(
        0.0005,
        -0.004,
        0.009,
        baseline=make_estimate(-0.4962, -0.4975, -0.4950),
        positive_rewards=19,
    )
    assert found.status is INSUFFICIENT
    assert found.reason == (
        "Not enough evidence: 19 positive rewards in 5,000 held-out decisions of 1,200 people; the "
        "interval of the difference [-0.00400, 0.00900] reaches past the margin of -0.000190, 5% of "
        "what the baseline earns above the least attainable."
    )


def test_a_day_without_a_positive_reward_has_no_margin(ask: Any, make_estimate: Any) -> None:
    found = ask(0.1, 0.05, 0.2, baseline=make_estimate(-0.5, -0.5, -0.5), positive_rewards=0)
    assert found.status is INSUFFICIENT
    assert "0 positive rewards" in found.reason
    assert "no margin" in found.reason


def test_an_unknown_baseline_is_not_enough(ask: Any, make_estimate: Any) -> None:
    nan = math.nan
    assert ask(0.1, 0.05, 0.2, baseline=make_estimate(nan, nan, nan)).status is INSUFFICIENT


def test_nothing_judged_is_not_enough(
    spec: LoopSpec, evidence: GateEvidence, make_estimate: Any
) -> None:
    assert evidence.evaluation is not None
    empty = replace(evidence.evaluation, difference=make_estimate(0.1, 0.0, 0.2, n=0))
    for found in (empty, None):
        answer = NonInferiorityCheck()(spec, replace(evidence, evaluation=found))
        assert answer.status is INSUFFICIENT
        assert "no held-out decision" in answer.reason
    why = "3 held-out rewards lie outside the attainable range."
    barred = replace(empty, overlap=replace(empty.overlap, problems=(why,)))
    told = NonInferiorityCheck()(spec, replace(evidence, evaluation=barred))
    assert told.reason == f"Not enough evidence: {why}"


def test_reasons_carry_the_numbers(ask: Any) -> None:
    good = ask(0.02, -0.01, 0.05, positive_rewards=None).reason
    assert "0.0200 [-0.0100, 0.0500]" in good
    assert "logging policy, 0.300" in good
    assert "5,000 held-out decisions of 1,200 people" in good
    assert "positive" not in good
    assert "worse" in ask(-0.15, -0.2, -0.1).reason


@pytest.mark.parametrize(
    ("scale", "shift"), [(0.5, 0.0), (0.5, 0.25), (0.1, -0.2), (2 / 3, -1 / 3)]
)
def test_the_margin_is_a_share_of_the_rescaled_reward(
    spec: LoopSpec, scale: float, shift: float
) -> None:
    """Rewards told in other units: the margin is the same share of what can be earned."""
    reward = spec.reward.model_copy(
        update={
            name: scale * getattr(spec.reward, name) + shift
            for name in ("attainable_low", "attainable_high")
        }
    )
    told = spec.model_copy(update={"reward": reward})
    assert margin_of(told, scale * 0.3 + shift) == pytest.approx(scale * margin_of(spec, 0.3))


def test_a_margin_is_not_a_share_of_the_bare_reward(ask: Any, make_estimate: Any) -> None:
    """The baseline earns 0.02, which is 0.52 above the least: the margin is .026 and not .001."""
    low = make_estimate(0.02, 0.01, 0.03)
    assert ask(0.0, -0.025, 0.02, baseline=low).status is PASSED
    assert ask(0.0, -0.027, 0.02, baseline=low).status is INSUFFICIENT


def test_a_candidate_compared_with_itself_is_no_evidence(ask: Any) -> None:
    """It differs by exactly nothing, with certainty."""
    found = ask(0.0, 0.0, 0.0, policy="shop-1", baseline_name="shop-1")
    assert found.status is INSUFFICIENT
    assert "the candidate (shop-1) was compared with itself" in found.reason


@pytest.mark.parametrize(
    ("version", "weights", "baseline", "says"),
    [
        ("shop-1", "bb" * 32, "logging policy", "is what serves already"),
        ("shop-2", "aa" * 32, "shop-1", "is what serves already"),
        ("shop-2", "bb" * 32, "shop-0", "was compared with shop-0, but shop-1 serves now"),
        ("shop-2", "bb" * 32, "logging policy", "but shop-1 serves now"),
        ("shop-2", "bb" * 32, "shop-1", ""),
    ],
)
def test_the_comparison_is_with_what_serves_now(
    spec: LoopSpec, overseen: GateEvidence, version: str, weights: str, baseline: str, says: str
) -> None:
    assert overseen.evaluation is not None
    found = replace(overseen.evaluation, policy=version, baseline_name=baseline)
    answer = NonInferiorityCheck()(spec, replace(overseen, evaluation=found, policy_sha256=weights))
    assert answer.status is (INSUFFICIENT if says else PASSED)
    assert says in answer.reason
