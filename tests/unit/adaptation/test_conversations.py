"""Conversations read from logged interactions, as products log them."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.conversations import answered, asked, text_of
from everloop.contracts.feedback import OutputType
from tests.feedback_records import interaction

U, A = "user", "assistant"
TURNS = [{"role": "user", "text": "hello"}, {"role": "assistant", "text": "hi!"}]


def read(said: Any, **context: Any) -> list[tuple[str, str]]:
    found = asked(interaction(input_data=said, context=context))
    return [(turn.role, turn.content) for turn in found]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" hello ", "hello"),
        ({"text": "hello"}, "hello"),
        ({"content": "hello"}, "hello"),
        ({"message": "hello", "lang": "en"}, "hello"),
        ({"lang": "en"}, ""),
        ([1, 2], ""),
        (None, ""),
        (3, ""),
    ],
)
def test_words(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_what_was_said_follows_the_earlier_turns() -> None:
    expected = [(U, "hello"), (A, "hi!"), (U, "how are you?")]
    assert read("how are you?", previous_turns=TURNS) == expected
    assert read({"text": "how are you?"}, previous_turns=TURNS) == expected
    assert read("how are you?", history=orjson.dumps(TURNS).decode()) == expected
    assert read([*TURNS, {"role": "human", "content": "how are you?"}]) == expected


def test_the_voice_is_known_by_its_names() -> None:
    turns = [{"role": "user", "text": "a"}, {"role": "friend", "text": "b"}]
    assert read("c", previous_turns=turns) == [(U, "a"), (A, "b"), (U, "c")]


def test_turns_up_to_an_unknown_speaker_and_system_turns_are_left_out() -> None:
    turns = [
        {"role": "user", "text": "lost"},
        {"role": "narrator", "text": "meanwhile"},
        {"role": "system", "text": "be kind"},
        {"role": "assistant", "text": "kept"},
        "no turn",
        {"role": "assistant", "text": "last"},
    ]
    assert read("now", previous_turns=turns) == [(A, "last"), (U, "now")]
    assert read("now", previous_turns=turns[:4]) == [(A, "kept"), (U, "now")]


def test_turns_of_one_speaker_become_one() -> None:
    turns = [{"role": "user", "text": "a"}, {"role": "assistant", "text": " "}]
    assert read("b", previous_turns=turns) == [(U, "a\nb")]


@pytest.mark.parametrize("said", ["", None, {"event": "morning"}, [], TURNS])
def test_where_nothing_was_said_there_is_nothing_to_answer(said: Any) -> None:
    assert read(said, previous_turns=TURNS) == []


def test_a_text_that_only_looks_like_json_is_a_text() -> None:
    assert read("[sighs] fine") == [(U, "[sighs] fine")]


def test_answers() -> None:
    assert answered(interaction(output_data={"text": "yes"})) == "yes"
    assert answered(interaction(output_data={"a": "yes", "b": "no"})) == ""
    assert answered(interaction(output_type=OutputType.ACTION, output_data="walk")) == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "text", "content", "previous_turns", "x"])
            | st.text(max_size=3),
            inner | st.sampled_from(["user", "assistant", "friend"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON, _JSON)
def test_whatever_is_logged_speakers_alternate_and_somebody_spoke_last(
    said: Any, turns: Any
) -> None:
    found = asked(interaction(input_data=said, context={"previous_turns": turns}))
    assert all(one.role != other.role for one, other in itertools.pairwise(found))
    assert not found or found[-1].role == "user"
    assert all(turn.content.strip() for turn in found)
