"""What people must have done: agreed to the candidate, and looked at what serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import OversightKind
from everloop.contracts.rollout_spec import OversightSpec
from everloop.gates.approval import ApprovalCheck
from everloop.gates.decide import decide
from everloop.gates.evidence import GateEvidence
from everloop.gates.reviews import ADVERSARIAL_TEST, WEEKLY_REVIEW

PASSED, FAILED, INSUFFICIENT = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.INSUFFICIENT


def asking(spec: LoopSpec, **oversight: Any) -> LoopSpec:
    terms = spec.rollout.model_copy(update={"oversight": OversightSpec(**oversight)})
    return spec.model_copy(update={"rollout": terms})


def test_without_an_approval_the_gate_holds_and_waits_for_a_person_alone(
    demanding: LoopSpec, overseen: GateEvidence
) -> None:
    verdict = decide(demanding, replace(overseen, approval=None))
    (check,) = [check for check in verdict.checks if not check.passed]
    assert (check.name, check.status) == ("human_approval", INSUFFICIENT)
    assert "everloop rollout approve" in check.reason
    assert verdict.decision is Decision.HOLD
    assert verdict.awaits_person


def test_an_approval_says_who_when_and_why(
    demanding: LoopSpec, overseen: GateEvidence, make_word: Any
) -> None:
    word = make_word(OversightKind.APPROVAL, reason="The margin is clear.")
    found = ApprovalCheck()(demanding, replace(overseen, approval=word))
    assert found.status is PASSED
    assert found.reason == "Ann Ott approved it on 2026-03-20 12:00 UTC: The margin is clear."


@pytest.mark.parametrize("asked", ["none", "start", "promotion"])
def test_a_rejection_fails_whatever_the_loop_asks_for(
    spec: LoopSpec, overseen: GateEvidence, make_word: Any, asked: str
) -> None:
    word = make_word(OversightKind.APPROVAL, passed=False)
    found = ApprovalCheck()(asking(spec, approval=asked), replace(overseen, approval=word))
    assert found.status is FAILED
    assert not found.person_decides
    assert "Ann Ott rejected it" in found.reason


@pytest.mark.parametrize("asked", ["none", "promotion"])
def test_who_does_not_ask_before_a_start_does_not_wait(
    spec: LoopSpec, evidence: GateEvidence, asked: str
) -> None:
    found = ApprovalCheck()(asking(spec, approval=asked), evidence)
    assert found.status is PASSED
    assert ("promotion" in found.reason) is (asked == "promotion")


@pytest.mark.parametrize(
    "change", [{"kind": OversightKind.REVIEW}, {"loop": "another"}], ids=["kind", "loop"]
)
def test_a_word_on_something_else_is_no_approval(
    demanding: LoopSpec, overseen: GateEvidence, make_word: Any, change: dict[str, Any]
) -> None:
    word = replace(make_word(OversightKind.APPROVAL), **change)
    found = ApprovalCheck()(demanding, replace(overseen, approval=word))
    assert found.status is INSUFFICIENT
    assert not found.person_decides


@pytest.fixture(params=["weekly_review", "adversarial_test"])
def duty(request: pytest.FixtureRequest) -> Any:
    """(check, its field of the evidence, kind, days, command) of one regular duty."""
    if request.param == "weekly_review":
        return WEEKLY_REVIEW, "review", OversightKind.REVIEW, 7, "everloop review model"
    return (
        *(ADVERSARIAL_TEST, "adversarial_test", OversightKind.ADVERSARIAL_TEST, 31),
        "everloop run adversarial",
    )


@pytest.fixture
def ask(demanding: LoopSpec, overseen: GateEvidence, duty: Any, make_word: Any) -> Any:
    def answer(days: float, **changes: Any) -> Check:
        word = replace(make_word(duty[2], days=days), **changes)
        found: Check = duty[0](demanding, replace(overseen, **{duty[1]: word}))
        return found

    return answer


def test_a_duty_done_in_time_passes_and_says_when_it_is_due_again(ask: Any, duty: Any) -> None:
    found = ask(days=duty[3] - 1)
    assert found.status is PASSED
    assert (found.value, found.threshold) == (duty[3] - 1, duty[3])
    assert "due by 2026-03-21" in found.reason
    assert ask(days=duty[3]).status is PASSED


def test_an_overdue_duty_blocks_and_names_its_age_and_its_command(ask: Any, duty: Any) -> None:
    found = ask(days=duty[3] + 0.01)
    assert found.status is FAILED
    assert not found.person_decides
    assert f"`{duty[4]}`" in found.reason
    assert f"at most {duty[3]}" in found.reason
    assert "is 40.0 days old" in ask(days=40).reason


def test_a_failed_duty_blocks_however_fresh(ask: Any, duty: Any) -> None:
    found = ask(days=0, passed=False, reason="It shouts.")
    assert found.status is FAILED
    assert "It shouts." in found.reason
    assert duty[4] in found.reason


def test_a_word_dated_ahead_of_the_clock_never_grows_old_and_counts_for_nothing(ask: Any) -> None:
    assert ask(days=-3 / 1440).status is PASSED
    found = ask(days=-6 / 1440)
    assert found.status is INSUFFICIENT
    assert "has not come yet" in found.reason


@pytest.mark.parametrize(
    "change", [{"kind": OversightKind.APPROVAL}, {"loop": "another"}], ids=["kind", "loop"]
)
def test_another_word_does_no_duty(ask: Any, change: dict[str, Any]) -> None:
    assert ask(days=0, **change).status is INSUFFICIENT


def test_a_duty_never_done_blocks(demanding: LoopSpec, overseen: GateEvidence, duty: Any) -> None:
    forgotten: dict[str, Any] = {duty[1]: None}
    found = duty[0](demanding, replace(overseen, **forgotten))
    assert found.status is INSUFFICIENT
    assert not found.person_decides
    assert f"every {duty[3]} days" in found.reason
    assert duty[4] in found.reason


def test_an_unknown_clock_blocks(demanding: LoopSpec, overseen: GateEvidence, duty: Any) -> None:
    assert overseen.now is not None
    for now in (None, overseen.now.replace(tzinfo=None)):
        assert duty[0](demanding, replace(overseen, now=now)).status is INSUFFICIENT


def test_the_first_model_ever_can_start(
    demanding: LoopSpec, overseen: GateEvidence, duty: Any
) -> None:
    """Nothing serves, so nobody can have looked at it."""
    found = duty[0](
        demanding, replace(overseen, active=None, review=None, adversarial_test=None, now=None)
    )
    assert found.status is PASSED
    assert "No model is active yet" in found.reason


def test_what_is_not_asked_for_is_never_overdue(
    spec: LoopSpec, overseen: GateEvidence, duty: Any
) -> None:
    forgotten: dict[str, Any] = {duty[1]: None}
    found = duty[0](spec, replace(overseen, **forgotten))
    assert found.status is PASSED
    assert "asks for no" in found.reason
