"""Pieces of an answer: whole characters, joined to the whole text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.speaking import BaseFolder
from everloop.speaking.pieces import Pieces


@pytest.fixture(scope="module")
def tokenizer(tiny_voice: BaseFolder) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_voice.path)


def test_a_character_of_several_tokens_comes_whole(tokenizer: Any) -> None:
    pieces = Pieces(tokenizer)
    tokens = tokenizer(" hi 😀 there ")["input_ids"]
    shown = [pieces.push(token) for token in tokens]
    assert "".join(shown) == "hi 😀 there" == pieces.text
    assert all("\ufffd" not in piece for piece in shown)
    assert any(piece.endswith("😀") for piece in shown)


def test_a_character_that_was_cut_off_stays_out(tokenizer: Any) -> None:
    pieces = Pieces(tokenizer)
    for token in tokenizer("hi 😀")["input_ids"][:-1]:
        pieces.push(token)
    assert pieces.text == "hi"


@given(tokens=st.lists(st.integers(0, 599), max_size=40))
def test_whatever_is_drawn_pieces_join_and_nothing_is_taken_back(
    tokenizer: Any, tokens: list[int]
) -> None:
    pieces = Pieces(tokenizer)
    shown = ""
    for token in tokens:
        shown += pieces.push(token)
        assert shown == pieces.text
    assert shown == shown.strip()
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert "\ufffd" not in shown
