"""Feedback as examples: each type by hand, and what every example holds."""

from __future__ import annotations

from typing import Any

import pytest

from everloop.adaptation.instances import Learned, learned_of, no_system
from everloop.adaptation.reliability import Reliability
from everloop.adaptation.standing import Standings
from everloop.contracts.feedback import FeedbackStatus, FeedbackType, OutputType, TargetElement
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)
from tests.log_records import uuid_of
from tests.spoken_records import ANSWER, person, spoken

T = FeedbackType
ASKED = (Message("user", "What about topic 1?"),)


def learn(*rows: SpokenFeedback, at: int = 0) -> Learned:
    return learned_of(rows[at], Reliability(rows), Standings(rows))


def one(kind: FeedbackType, raw: Any, **more: Any) -> TrainingDataInstance:
    (made,) = learn(spoken(1, kind, raw, **more)).instances
    return made


def nothing(kind: FeedbackType, raw: Any, **more: Any) -> str:
    learned = learn(spoken(1, kind, raw, **more))
    assert learned.instances == ()
    return learned.reason


def test_a_correction_is_a_completion_and_a_pair() -> None:
    sft, pair = learn(spoken(1, T.CORRECTION, "Sure, gladly!")).instances
    assert (sft.task, sft.prompt, sft.completion) == (LearningTask.SFT, ASKED, "Sure, gladly!")
    assert (pair.task, pair.completion, pair.rejected) == (
        LearningTask.PREFERENCE,
        "Sure, gladly!",
        ANSWER,
    )
    for made in (sft, pair):
        assert made.source_ids == (uuid_of(1, "feedback"),)
        assert (made.source_type, made.user_id) == (SourceType.FEEDBACK, person(1))
        assert made.instance_id == instance_id_of(
            made.tenant,
            made.task,
            made.prompt,
            made.completion,
            made.rejected,
            made.liked,
            made.source_ids,
        )
    assert sft.instance_id != pair.instance_id


def test_a_corrected_word_is_put_back_and_a_part_alone_is_no_answer() -> None:
    word: dict[str, Any] = {"element": TargetElement.WORD_CHOICE, "target": "delighted"}
    sft, pair = learn(spoken(1, T.CORRECTION, "happy", **word)).instances
    assert sft.completion == "I would be happy to assist you."
    assert pair.rejected == ANSWER
    lost: dict[str, Any] = {
        "element": TargetElement.SPECIFIC_SENTENCE,
        "target": "It was not said.",
    }
    assert nothing(T.CORRECTION, "It was.", **lost) == "says_nothing"


def test_an_unchanged_correction_teaches_nothing() -> None:
    assert nothing(T.CORRECTION, ANSWER) == "says_nothing"


def test_a_correction_of_an_unlogged_answer_is_a_completion_alone() -> None:
    made = one(T.CORRECTION, "Sure!", answered=None)
    assert (made.task, made.completion) == (LearningTask.SFT, "Sure!")


def test_comparisons() -> None:
    made = one(T.COMPARISON, {"chosen": "yes", "rejected": "no"})
    assert (made.task, made.completion, made.rejected) == (LearningTask.PREFERENCE, "yes", "no")
    both = one(T.COMPARISON, {"winner": "b"}, answered={"a": "yes", "b": {"text": "no"}})
    assert (both.completion, both.rejected) == ("no", "yes")
    assert nothing(T.COMPARISON, {"winner": "a"}) == "says_nothing"
    assert nothing(T.COMPARISON, {"winner": "tie"}) == "says_nothing"
    assert nothing(T.COMPARISON, {"chosen": "yes", "rejected": "yes "}) == "says_nothing"


@pytest.mark.parametrize(
    ("kind", "raw", "liked"),
    [
        (T.THUMB, True, True),
        (T.THUMB, False, False),
        (T.RATING, 5, True),
        (T.RATING, 4, True),
        (T.RATING, 2, False),
        (T.RATING, 1, False),
        (T.CATEGORICAL_CHOICE, "nailed_it", True),
        (T.CATEGORICAL_CHOICE, "helpful", True),
        (T.CATEGORICAL_CHOICE, "too_formal", False),
        (T.FREE_TEXT, "way too formal", False),
        (T.FREE_TEXT, "this is perfect, thank you", True),
    ],
)
def test_verdicts(kind: FeedbackType, raw: Any, liked: bool) -> None:
    made = one(kind, raw)
    assert (made.task, made.liked) == (LearningTask.THUMB, liked)
    assert (made.prompt, made.completion) == (ASKED, ANSWER)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (T.RATING, 3),
        (T.CATEGORICAL_CHOICE, "too_few_emoji"),
        (T.CATEGORICAL_CHOICE, "too_fast"),
        (T.FREE_TEXT, "the train leaves at nine"),
        (T.VOICE_ADJUSTMENT, {"pitch": -0.5}),
        (T.IMPLICIT_REPLY, "this is terrible"),
        (T.CONVERSION, True),
        (T.CLICK, True),
        (T.SCROLL, 0.9),
        (T.DWELL, 60),
    ],
)
def test_what_says_nothing_of_the_words_teaches_nothing(kind: FeedbackType, raw: Any) -> None:
    assert nothing(kind, raw) == "says_nothing"


def test_a_verdict_on_a_part_is_none_on_the_whole() -> None:
    part: dict[str, Any] = {"element": TargetElement.SPECIFIC_SENTENCE, "target": "I would"}
    assert nothing(T.THUMB, False, **part) == "says_nothing"
    assert nothing(T.CORRECTION, "Hm!", element=TargetElement.VOICE) == "says_nothing"


def test_a_complaint_beside_a_correction_is_in_its_pair() -> None:
    rows = (
        spoken(1, T.CATEGORICAL_CHOICE, "too_formal", of=1),
        spoken(2, T.CORRECTION, "Sure!", of=1),
    )
    assert learn(*rows).reason == "told_by_correction"
    for made in learn(*rows, at=1).instances:
        assert made.source_ids == (uuid_of(2, "feedback"), uuid_of(1, "feedback"))


def test_the_weight_by_hand() -> None:
    """.4 for a rating x .5 confidence x .8 quality; one question of quality .8: (2 + .8) / 3."""
    made = one(T.RATING, 5, confidence=0.5, quality=0.8)
    assert made.weight == pytest.approx(0.4 * 0.5 * 0.8 * 2.8 / 3)
    released = one(T.RATING, 5, confidence=0.5, quality=0.1, status=FeedbackStatus.RELEASED)
    assert released.weight == pytest.approx(0.4 * 0.5)


def test_the_newest_of_a_contradiction_weighs_less() -> None:
    """.4 x one half for the contradiction x 2 / (2 + 1) for the person."""
    rows = (spoken(1, T.THUMB, False, of=1), spoken(2, T.THUMB, True, of=1))
    assert learn(*rows).reason == "contradicted"
    (made,) = learn(*rows, at=1).instances
    assert made.liked
    assert made.weight == pytest.approx(0.4 * 0.5 * 2 / 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"disputed": True}, "disputed"),
        ({"status": FeedbackStatus.QUARANTINED}, "not_accepted"),
        ({"status": FeedbackStatus.REJECTED}, "not_accepted"),
        ({"quality": 0.0}, "no_weight"),
        ({"confidence": 0.0}, "no_weight"),
        ({"asked": {"event": "morning"}}, "no_text"),
        ({"answered": None}, "no_text"),
        ({"about": {"output_type": OutputType.ACTION}}, "says_nothing"),
    ],
)
def test_why_a_thumb_teaches_nothing(changes: dict[str, Any], reason: str) -> None:
    assert nothing(T.THUMB, True, **changes) == reason


def test_the_prompt_is_the_conversation_behind_what_the_product_tells_the_voice() -> None:
    turns = [{"role": "user", "text": "hi"}, {"role": "assistant", "text": "hello"}]
    row = spoken(1, T.THUMB, True, about={"context": {"previous_turns": turns}})

    def render(spoken: SpokenFeedback) -> tuple[Message, ...]:
        return (Message("system", f"speak as {spoken.interaction.persona}"),)

    (made,) = learned_of(row, Reliability(), Standings(), render).instances
    assert made.prompt == (
        Message("system", "speak as friend"),
        Message("user", "hi"),
        Message("assistant", "hello"),
        *ASKED,
    )
    assert no_system(row) == ()


def test_a_task_that_is_a_category_is_counted_as_one() -> None:
    assert one(T.THUMB, True, task_type="empathetic").category is Category.EMPATHETIC
    assert one(T.THUMB, True).category is Category.CONVERSATIONAL
