"""How many paraphrases there are, of whom, how they are marked and what they weigh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from everloop.adaptation.augmentation import BY_MODEL, most_paraphrases, paraphrased
from everloop.contracts.speaking import Answer, SpeakRequest
from everloop.contracts.voice_spec import DataSpec
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance
from tests.fake_speaker import FakeSpeaker
from tests.voice_records import corpus_row, instance

ASKED = "Hi, I am tired. Could you help me, please?"
HISTORY = (Message("user", "hello"), Message("assistant", "hi"))


def correction(number: int, asked: str = ASKED) -> TrainingDataInstance:
    return instance(number, prompt=(*HISTORY, Message("user", asked)), user_id=f"{number:064x}")


@pytest.mark.parametrize(
    ("corrections", "share", "below", "most"),
    [
        (10, 0.5, 200, 10),
        (10, 0.25, 200, 3),
        (9, 0.1, 200, 1),
        (10, 0.0, 200, 0),
        (10, 1.0, 200, 190),
        (190, 0.5, 200, 10),
        (200, 0.5, 200, 0),
        (300, 0.5, 200, 0),
        (0, 1.0, 200, 0),
    ],
)
def test_how_many_there_may_be(corrections: int, share: float, below: int, most: int) -> None:
    spec = DataSpec(augmented_share=share, augment_below=below)
    assert most_paraphrases(corrections, spec) == most


def test_a_paraphrase_is_marked_and_weighs_half() -> None:
    parent = correction(1)
    (made,) = paraphrased([parent], DataSpec(), None, 7)
    assert made.prompt[:-1] == HISTORY
    assert made.prompt[-1].content == "Hi, I'm tired. Could you help me, please?"
    assert (made.completion, made.user_id) == (parent.completion, parent.user_id)
    assert (made.augmented, made.parent) == ("contracted", parent.instance_id)
    assert made.source_ids == parent.source_ids
    assert made.weight == parent.weight / 2
    assert made.instance_id != parent.instance_id


def test_each_correction_has_one_before_any_has_two() -> None:
    parents = [correction(n) for n in range(4)]
    found = [made.parent for made in paraphrased(parents, DataSpec(augmented_share=0.6), None, 7)]
    assert len(found) == 6
    assert set(found[:4]) == {parent.instance_id for parent in parents}


def test_the_same_seed_gives_the_same_ones() -> None:
    parents = [correction(n) for n in range(6)]
    spec = DataSpec(augmented_share=0.25)
    first = list(paraphrased(parents, spec, None, 1))
    assert first == list(paraphrased(parents, spec, None, 1))
    assert any(first != list(paraphrased(parents, spec, None, seed)) for seed in range(2, 9))


def test_only_corrections_have_any() -> None:
    others = [
        corpus_row(1, prompt=(Message("user", ASKED),)),
        instance(2, task=LearningTask.THUMB, liked=True, prompt=(Message("user", ASKED),)),
        instance(3, augmented="contracted", prompt=(Message("user", ASKED),)),
        instance(4, prompt=(Message("system", ASKED),)),
    ]
    assert list(paraphrased(others, DataSpec(), None, 7)) == []


PLAIN = "How can I calm down before my exam on Friday?"
SAID = "What can I do to stay calm before Friday's exam?"


def test_the_model_is_asked_where_rules_find_nothing_and_judged() -> None:
    def says(request: SpeakRequest) -> str:
        return f'"{SAID}"' if PLAIN in request.messages[-1].content else "Bread?"

    speaker = FakeSpeaker(says=says)
    parents = [correction(1, PLAIN), correction(2, "What is the sea like at night?")]
    (made,) = paraphrased(parents, DataSpec(), speaker, 7)
    assert (made.augmented, made.prompt[-1].content) == (BY_MODEL, SAID)
    assert made.parent == parents[0].instance_id
    assert all(request.adapter == "" for request in speaker.asked)
    assert {request.messages[-1].content.partition("\n")[2] for request in speaker.asked} == {
        PLAIN,
        "What is the sea like at night?",
    }


class CutOff(FakeSpeaker):
    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        return tuple(replace(answer, ended=False) for answer in super().answer(requests))


def test_an_answer_that_was_cut_off_is_none() -> None:
    for kind, accepted in ((FakeSpeaker, 1), (CutOff, 0)):
        speaker = kind(says=lambda request: SAID)
        assert len([*paraphrased([correction(1, PLAIN)], DataSpec(), speaker, 7)]) == accepted


def test_the_model_is_not_asked_for_what_is_enough() -> None:
    speaker = FakeSpeaker()
    list(paraphrased([correction(1)], DataSpec(), speaker, 7))
    assert speaker.asked == []
