"""Text becomes clauses of plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.feedback.clauses import Clause, clauses_of


def spelled(text: str) -> list[tuple[str, str]]:
    return [(clause.joiner, " ".join(clause.words)) for clause in clauses_of(text)]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", []),
        ("?!...", []),
        ("That’s WAY too formal", [("", "that is way too formal")]),
        ("too formal and too long", [("", "too formal"), ("and", "too long")]),
        ("stiff, or cold", [("", "stiff"), ("or", "cold")]),
        ("not rude, but long. Bad!", [("", "not rude"), ("", "long"), ("", "bad")]),
        ("I don't, can't, won't", [("", "i do not"), (",", "can not"), (",", "will not")]),
        ("dont be so formal", [("", "do not be so formal")]),
        ("I'd say it's kinda long", [("", "i would say it is slightly long")]),
        ("a little bit too long", [("", "slightly too long")]),
        ("a bit of a mess", [("", "slightly mess")]),
        ("it goes on and on", [("", "it goes on_and_on")]),
        ("far from perfect", [("", "not perfect")]),
        ("no more jargon", [("", "stop jargon")]),
        ("long-winded", [("", "long-winded")]),
    ],
)
def test_clauses(text: str, clauses: list[tuple[str, str]]) -> None:
    assert spelled(text) == clauses


@given(st.text(max_size=300))
def test_any_text_becomes_clauses_of_lower_case_words(text: str) -> None:
    for clause in clauses_of(text):
        assert isinstance(clause, Clause)
        assert clause.words
        assert all(word and word == word.casefold() for word in clause.words)
