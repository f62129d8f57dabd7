"""Paraphrases by rule, and which of a model's are accepted: by hand, and what never changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.paraphrase_check import (
    denials_in,
    is_paraphrase,
    keeps_meaning,
    names_in,
    numbers_in,
    similarity,
)
from everloop.adaptation.paraphrase_rules import variants


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am tired, you are not here", {"I'm tired, you are not here"}),
        ("We’re late and I've lost it", {"We are late and I have lost it"}),
        ("that is what I am.", {"that is what I am"}),
        ("it's late", set()),
        ("I don't know", set()),
        ("Hi, what shall we do?", {"Hello, what shall we do?", "Hey, what shall we do?"}),
        ("please tell me a story", {"Tell me a story, please"}),
        ("Could you help me, please?", {"Please, could you help me?"}),
        ("Ann come here please!", {"Please, Ann come here!"}),
        ("If it rains, what do we do?", {"What do we do if it rains?"}),
        ("If it does not rain, we walk", set()),
        ("When two are late, we wait", set()),
        ("What now??!!", {"What now?!"}),
    ],
)
def test_rules(text: str, expected: set[str]) -> None:
    found = {other for _, other in variants(text)}
    assert expected <= found
    assert bool(expected) == bool(found)


def test_several_lines_stay_as_they_are() -> None:
    assert variants("I am lost:\n    if x:\n        return") == ()
    assert variants("I am lost\n") == variants("I am lost")


def test_each_paraphrase_is_told_by_its_rule() -> None:
    assert variants("Please tell me a story.") == (
        ("please", "Tell me a story, please."),
        ("punctuation", "Please tell me a story"),
    )


_SAID = (
    "I am|you are|not|don't|never|if it rains,|When we're late,|Ann|Berlin's|3|twelve|please|hi,|hello|"
    "why?|!!|.|...|the sea|let's go|I've|because|then we wait|I'll|tell me"
)
_PIECES = st.sampled_from(_SAID.split("|"))


@given(st.lists(_PIECES, min_size=1, max_size=12).map(" ".join))
def test_rules_keep_numbers_names_and_denials(text: str) -> None:
    for _, other in variants(text):
        assert other.strip()
        assert other != text
        assert numbers_in(other) == numbers_in(text)
        assert denials_in(other) == denials_in(text)
        assert keeps_meaning(text, other)


@given(st.text(max_size=120))
def test_any_text_can_be_asked_for(text: str) -> None:
    for _, other in variants(text):
        assert keeps_meaning(" ".join(text.split()), other)


def test_what_is_counted() -> None:
    assert numbers_in("3 cats, 2,000 dogs at 12:30 and two more") == {
        "3": 1,
        "2,000": 1,
        "12:30": 1,
        "two": 1,
    }
    assert denials_in("I don't know, nobody can’t, not now, note") == 4
    assert names_in("Ann met Ben's boss. He said I'm late, I know. In Berlin? NASA") == {
        "ben",
        "berlin",
    }


def test_similarity_by_hand() -> None:
    """ " ab " and " ac " have two trigrams each, none shared; " ab " and " ab c " share " ab", "ab "."""
    assert similarity("ab", "AB!") == 1.0
    assert similarity("ab", "ac") == 0.0
    assert similarity("ab", "ab c") == pytest.approx(2 * 2 / (2 + 4))
    assert similarity("", "") == 1.0


ASKED = "How can I calm down before my exam on Friday?"


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("What can I do to stay calm before Friday's exam?", True),
        ("How can I calm down before my exam on Friday??", False),  # a copy
        ("What can I do to stay calm before Monday's exam?", False),  # another name
        ("What can I do to stay calm before Friday's exam in Rome?", False),  # one name more
        ("What can't I do to stay calm before Friday's exam?", False),  # a denial
        ("What can I do to stay calm before the 2 exams of Friday?", False),  # a number
        ("Stay calm before the exam on Friday.", False),  # no question any more
        ("Tell me about Friday and bread?", False),  # something else
        ("Calm before Friday?", False),  # too little
        ("What can I do to stay calm\nbefore Friday's exam?", False),
        ("", False),
    ],
)
def test_which_of_a_models_are_accepted(text: str, accepted: bool) -> None:
    assert is_paraphrase(ASKED, text) is accepted
