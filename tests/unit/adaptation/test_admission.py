"""Which examples are admitted: by hand, in the order in which a build asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from everloop.adaptation.admission import Admission
from everloop.adaptation.few_texts import FewTexts
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance
from tests.voice_records import corpus_row, instance

ASKED = (Message("user", "How do I get to the station from the market square?"),)
WANTED = "Take the second street on the left, then follow the river until the bridge."
SHOWN = "One would be well advised to take the tram, which departs every ten minutes."


class NoScreen:
    """Keeps out what says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def reason(self, texts: Sequence[str]) -> str:
        self.asked.append(tuple(texts))
        return "toxic" if any("damn" in text for text in texts) else ""


def admission() -> Admission:
    return Admission(NoScreen(), NearDuplicates(0.8))


def made(
    number: int, task: LearningTask = LearningTask.SFT, **changes: Any
) -> TrainingDataInstance:
    values: dict[str, Any] = {
        "prompt": ASKED,
        "completion": WANTED,
        "user_id": f"{number:064x}",
    } | changes
    if task is LearningTask.THUMB:
        values = {"liked": True} | values
    return instance(number, task=task, **values)


def correction(number: int, wanted: str = WANTED, shown: str = SHOWN) -> list[TrainingDataInstance]:
    return [
        made(number, completion=wanted),
        made(number, LearningTask.PREFERENCE, completion=wanted, rejected=shown),
    ]


def test_a_correction_near_what_it_corrects_is_no_repetition_of_itself() -> None:
    assert admission().repeats(correction(1, WANTED, WANTED.replace("second", "third"))) == ""


def test_a_repeated_correction_is_one() -> None:
    door = admission()
    assert door.repeats(correction(1)) == ""
    assert door.repeats(correction(2)) == "near_duplicate"
    assert door.repeats(correction(3, WANTED.replace("bridge", "bridges"))) == "near_duplicate"


def test_another_correction_of_the_same_answer_is_new() -> None:
    door = admission()
    assert door.repeats(correction(1)) == ""
    assert door.repeats(correction(2, "Walk straight ahead for a mile; you cannot miss it.")) == ""


@pytest.mark.parametrize("task", [LearningTask.THUMB, LearningTask.PREFERENCE])
def test_another_vote_on_the_same_words_is_none(task: LearningTask) -> None:
    more: dict[str, Any] = {"rejected": SHOWN} if task is LearningTask.PREFERENCE else {}
    door = admission()
    assert door.repeats([made(1, task, **more)]) == ""
    assert door.repeats([made(2, task, **more)]) == ""
    nearly = WANTED.replace("bridge", "bridges")
    assert door.repeats([made(3, task, completion=nearly, **more)]) == "near_duplicate"


def test_a_corpus_does_not_vote() -> None:
    door = admission()
    row = corpus_row(1, prompt=ASKED, completion=WANTED)
    thumb = corpus_row(2, prompt=ASKED, completion=WANTED, task=LearningTask.THUMB, liked=True)
    assert door.repeats([row]) == ""
    assert door.repeats([row]) == "near_duplicate"
    assert door.repeats([thumb]) == "near_duplicate"


def test_what_is_held_out_is_not_learned_in_any_way() -> None:
    thumb = made(2, LearningTask.THUMB)
    reversed_pair = made(3, LearningTask.PREFERENCE, completion=SHOWN, rejected=WANTED)
    for group in (correction(1), [thumb], [reversed_pair]):
        door = admission()
        door.keep(correction(9))
        assert door.repeats(group) == "near_duplicate"
        assert door.repeats(group) == "near_duplicate"


def test_a_tag_is_told_before_the_screen_is_asked() -> None:
    screen = NoScreen()
    door = Admission(screen, NearDuplicates(0.8))
    assert door.unfit([made(1, completion="<persona:calm> hello")]) == "tag"
    assert screen.asked == []
    assert door.unfit([made(1, completion="damn")]) == "toxic"


def test_the_screen_sees_what_people_said_once_and_not_what_the_product_told() -> None:
    screen = NoScreen()
    prompt = (Message("system", "never say damn"), *ASKED)
    group = [
        made(1, prompt=prompt),
        made(1, LearningTask.PREFERENCE, prompt=prompt, rejected=SHOWN),
    ]
    assert Admission(screen, NearDuplicates(0.8)).unfit(group) == ""
    assert screen.asked == [(ASKED[0].content, WANTED, SHOWN)]


def test_in_a_private_training_nobodys_words_decide_about_anothers() -> None:
    def answers(*others: list[TrainingDataInstance]) -> tuple[str, ...]:
        door = Admission(NoScreen(), NearDuplicates(0.8), FewTexts)
        door.keep([made(9)])
        for group in others:
            door.repeats(group)
        nearly = correction(2, WANTED.replace("bridge", "bridges"))
        own = (correction(2), nearly, [corpus_row(1, prompt=ASKED, completion=WANTED)])
        return (*(door.repeats(group) for group in own), str(door.is_new(made(2))))

    alone = answers()
    assert alone == ("", "near_duplicate", "", "False")
    assert answers(correction(1)) == alone
    assert answers(correction(1), correction(3, WANTED.replace("bridge", "bridges"))) == alone
