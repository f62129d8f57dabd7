"""People's own texts as examples: nothing is invented, nothing of others is learned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.packages import PASSAGE, learned_of_package, own_words, requests_of
from everloop.contracts.voices import LearningTask, Message, SourceType, TrainingDataInstance
from tests.voice_records import package


def learned(**changes: Any) -> tuple[TrainingDataInstance, ...]:
    values = {"texts": (), "replies": ()} | changes
    return learned_of_package(package(**values), 0.75).instances


def test_replies_answer_what_was_said() -> None:
    (made,) = learned(replies=((" how are you? ", "splendid, thanks"),))
    assert made.prompt == (Message("user", "how are you?"),)
    assert made.completion == "splendid, thanks"
    assert (made.task, made.source_type) == (LearningTask.SFT, SourceType.NEW_DATA)
    assert made.source_ids == (package().package_id,)
    assert (made.user_id, made.weight) == (package().user_id, 0.75)


def test_a_text_goes_on_from_its_own_beginning() -> None:
    text = "The sea was calm. We rowed out at dawn, and nobody spoke for an hour."
    assert list(requests_of(text)) == [
        (
            "Continue this text: The sea was calm.",
            "We rowed out at dawn, and nobody spoke for an hour.",
        )
    ]


def test_a_single_long_sentence_is_parted_after_a_third_of_its_words() -> None:
    text = "we rowed out at dawn and nobody spoke for an hour or so"
    assert list(requests_of(text)) == [
        ("Continue this text: we rowed out at", "dawn and nobody spoke for an hour or so")
    ]


def test_a_title_is_what_is_written_about() -> None:
    body = "We rowed out at dawn."
    assert list(requests_of(f"A calm sea\n\n{body}")) == [("Write about: A calm sea", body)]
    assert list(requests_of(f"Subject: the boat\n{body}")) == [("Write about: the boat", body)]


def test_a_greeting_and_a_sentence_are_no_titles() -> None:
    for first in ("Dear Ann", "Hi all", "That was it.", "ok"):
        assert all(
            not request.startswith("Write") for request, _ in requests_of(f"{first}\n\nSee you.")
        )


@pytest.mark.parametrize("text", ["", "ok", "see you. bye!", "we rowed out"])
def test_what_is_too_short_teaches_nothing(text: str) -> None:
    assert list(requests_of(text)) == []
    assert learned_of_package(package(texts=("ok",), replies=()), 1.0).reason == "too_short"


def test_what_others_wrote_and_signatures_are_left_out() -> None:
    letter = "Fine by me.\n> shall we meet?\nOn Monday, Ben wrote:\n> hello\n-- \nAnn, +49 30 1234"
    assert own_words(letter) == "Fine by me."


def test_long_texts_are_cut_between_sentences() -> None:
    sentence = "This sentence has exactly nine words in it, certainly. "
    found = list(requests_of(sentence * 100))
    assert len(found) == pytest.approx(100 * len(sentence) / PASSAGE, abs=2)
    assert all(len(rest) <= PASSAGE for _, rest in found)
    assert all(rest.endswith("certainly.") for _, rest in found)


@given(st.text(max_size=3000))
def test_every_word_that_is_learned_is_the_persons(text: str) -> None:
    written = text.split()
    left = list(written)
    for request, rest in requests_of(text):
        _, _, own = request.partition(": ")
        for word in (own + " " + rest).split():
            assert word in left
            left.remove(word)
    assert len(left) <= len(written)


@given(st.text(alphabet="ab .!?\n>-", max_size=200))
def test_any_package_can_be_read(text: str) -> None:
    if text.strip():
        for made in learned(texts=(text,), replies=((text, text),)):
            assert made.completion.strip()
