from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Decision
from everloop.contracts.models import Provenance
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.voice_spec import Preset
from everloop.contracts.voices import StepLog
from everloop.gates.voice import VoiceEvidence, decide_voice
from tests import made_voices as made

BUDGET = BudgetStatus(1.0, 1e-5, 365, 0.04, 0.3, 0.3, 0.0718, 0.01, 300, 0)


def evidence(**given: Any) -> VoiceEvidence:
    whole: dict[str, Any] = {
        "provenance": Provenance.CONSENTED_TEXT,
        "adapter_sha256": made.ADAPTER,
        "data": made.data(),
        "training": made.training(),
        "placebo": made.training(made.PLACEBO, placebo=True),
        "sandbox": made.sandbox(),
        "inputs": {"data": "d" * 64},
    }
    return VoiceEvidence(**whole | given)


def failing(found: VoiceEvidence) -> set[str]:
    verdict = decide_voice(made.spec(), found)
    assert (verdict.decision is Decision.CONTINUE) == all(c.passed for c in verdict.checks)
    return {check.name for check in verdict.checks if not check.passed}


def test_a_candidate_that_everything_speaks_for_goes_on() -> None:
    verdict = decide_voice(made.spec(), evidence())
    assert verdict.decision is Decision.CONTINUE
    assert "sandbox_safety" in {check.name for check in verdict.checks}
    assert verdict.inputs == {"data": "d" * 64}


@pytest.mark.parametrize("missing", ["data", "training", "placebo", "sandbox"])
def test_whatever_is_missing_holds(missing: str) -> None:
    assert missing in failing(evidence(**{missing: None}))


def test_a_sandbox_without_a_check_says_nothing() -> None:
    assert failing(evidence(sandbox=made.sandbox(checks=()))) == {"sandbox"}


@pytest.mark.parametrize("status", [CheckStatus.FAILED, CheckStatus.INSUFFICIENT])
def test_each_check_of_the_sandbox_can_hold(status: CheckStatus) -> None:
    checks = (
        Check("safety", CheckStatus.PASSED, "fine"),
        Check("adversarial", status, "It gave in."),
    )
    assert failing(evidence(sandbox=made.sandbox(checks=checks))) == {"sandbox_adversarial"}


def test_a_report_on_another_adapter_is_no_evidence() -> None:
    other = made.sandbox(model_id=made.PLACEBO)
    assert failing(evidence(sandbox=other)) == {"sandbox"}
    assert "training" in failing(evidence(adapter_sha256=made.PLACEBO))


@pytest.mark.parametrize(
    ("measured", "held"),
    [("", set[str]()), (made.ADAPTER, set[str]()), (made.PLACEBO, {"sandbox"})],
)
def test_a_measure_of_another_adapter_is_no_evidence(measured: str, held: set[str]) -> None:
    compared = made.comparison(adapter_sha256=measured)
    assert failing(evidence(sandbox=made.sandbox(comparison=compared))) == held


@pytest.mark.parametrize(
    ("provenance", "epsilon", "held"),
    [
        (Provenance.CONSENTED_TEXT, None, False),
        (Provenance.CONSENTED_TEXT, 1.0, True),
        (Provenance.RAW_LOG, None, True),
        (Provenance.RAW_LOG, 1.0, True),
    ],
)
def test_where_it_was_made_of_what_must_not_leave(
    provenance: Provenance, epsilon: float | None, held: bool
) -> None:
    spec = made.spec()
    assert spec.voice is not None
    privacy = spec.voice.privacy.model_copy(update={"epsilon": epsilon})
    spec = spec.model_copy(update={"voice": spec.voice.model_copy(update={"privacy": privacy})})
    verdict = decide_voice(spec, evidence(provenance=provenance))
    assert (verdict.decision is Decision.HOLD) == held


def test_a_private_adapter_without_a_release_holds() -> None:
    private = {"provenance": Provenance.PRIVATE_RELEASE, "budget": BUDGET}
    assert failing(evidence(provenance=Provenance.PRIVATE_RELEASE)) == {"privacy_budget"}
    assert failing(evidence(**private)) == {"privacy_budget"}
    paid = made.training(epsilon=0.04, delta=1e-5, release_id="release")
    assert failing(evidence(**private, training=paid)) == set()
    assert failing(evidence(**private, training=replace(paid, release_id=""))) == {"privacy_budget"}
    assert "privacy_budget" in failing(evidence(**private | {"budget": None}, training=paid))


def test_texts_of_one_person_are_not_repeated_to_everybody() -> None:
    assert failing(evidence(training=made.training(people=1))) == {"data"}
    assert failing(evidence(training=made.training(rows_by_task={}))) == {"data"}


def test_who_taught_nothing_that_was_trained_is_no_second_person() -> None:
    """Two people are in the data: one of them with a thumb that no way of learning read."""
    found = evidence(
        data=made.data(people=2, by_task={"sft": 40, "preference": 40, "thumb": 1}),
        training=made.training(people=1, rows_by_task={"sft": 40, "preference": 40}),
    )
    assert failing(found) == {"data"}
    (check,) = [c for c in decide_voice(made.spec(), found).checks if c.name == "data"]
    assert check.value == 1.0
    (told,) = [c for c in decide_voice(made.spec(), evidence()).checks if c.name == "data"]
    assert told.reason.startswith("50 of 100 rows were learned from, of 20 people; ")


def test_one_category_may_dominate_what_people_said_and_no_corpus() -> None:
    found, spec = evidence(data=made.data(dominating="technical")), made.spec()
    assert decide_voice(spec, found).decision is Decision.CONTINUE
    assert spec.voice is not None
    voice = spec.voice.model_copy(update={"preset": Preset.LARGE_CORPUS})
    held = decide_voice(spec.model_copy(update={"voice": voice}), found)
    assert [check.name for check in held.checks if not check.passed] == ["data"]


@pytest.mark.parametrize("moved", [0.0, math.nan, math.inf])
def test_an_adapter_that_did_not_move_learned_nothing(moved: float) -> None:
    assert failing(evidence(training=made.training(moved=moved))) == {"training"}


def test_a_loss_that_is_no_number_holds() -> None:
    steps = (StepLog("feedback", 1, 1e-4, math.nan, 2.0),)
    assert failing(evidence(training=made.training(steps=steps))) == {"training"}


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 5},
        {"peak_learning_rate": 1e-4},
        {"effective_batch": 16},
        {"examples": 63},
        {"method": "dpo"},
    ],
)
def test_a_placebo_that_was_trained_otherwise_is_none(change: dict[str, Any]) -> None:
    other = made.training(made.PLACEBO, placebo=True, phases=(made.phase(**change),))
    assert failing(evidence(placebo=other)) == {"placebo"}


@pytest.mark.parametrize(
    ("tokens", "status"),
    [
        (799, CheckStatus.INSUFFICIENT),
        (800, CheckStatus.PASSED),
        (1200, CheckStatus.PASSED),
        (1201, CheckStatus.INSUFFICIENT),
    ],
)
def test_a_placebo_of_other_lengths_shows_length(tokens: int, status: CheckStatus) -> None:
    own = made.training(phases=(made.phase(tokens=1000),))
    other = made.training(made.PLACEBO, placebo=True, phases=(made.phase(tokens=tokens),))
    verdict = decide_voice(made.spec(), evidence(training=own, placebo=other))
    (check,) = [check for check in verdict.checks if check.name == "placebo"]
    assert check.status is status


def test_a_phase_without_a_rate_compares_nothing() -> None:
    phases = (made.phase(peak_learning_rate=0.0),)
    own, other = (
        made.training(*args, placebo=bool(args), phases=phases) for args in ((), (made.PLACEBO,))
    )
    assert failing(evidence(training=own, placebo=other)) == {"placebo"}


def test_the_candidate_is_not_its_own_placebo() -> None:
    assert failing(evidence(placebo=replace(made.training(), placebo=True))) == {"placebo"}
    assert failing(evidence(placebo=made.training(made.PLACEBO))) == {"placebo"}
    phases = (made.phase(), made.phase("preference"))
    more = made.training(made.PLACEBO, placebo=True, phases=phases)
    assert failing(evidence(placebo=more)) == {"placebo"}
