"""A reason names a person by a whole word, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.privacy.naming import names_person


@pytest.mark.parametrize(
    ("text", "user_id"),
    [
        ("alice.smith asked", "Alice.Smith"),
        ("ALICE.SMITH", "alice.smith"),
        ("for user-1.", "user-1"),
        ("(user-1)", "user-1"),
        ("told by ann@example.com, twice", "Ann@Example.com"),
        ("the account of Straße", "STRASSE"),
        ("asked by ａｎｎ", "ann"),
        ("so says @ann", "@ann"),
        ("so says.@ann!", "@ann!"),
        ("bob", " bob "),
    ],
)
def test_a_name_is_found(text: str, user_id: str) -> None:
    assert names_person(text, user_id)


@pytest.mark.parametrize(
    ("text", "user_id"),
    [
        ("requested by phone", "e"),
        ("requested by phone", "by"),
        ("requested by phone", "one"),
        ("for user-17", "user-1"),
        ("for user-1", "r-1"),
        ("alicexsmith asked", "alice.smith"),
        ("", "alice"),
        ("asked", "   "),
    ],
)
def test_a_part_of_a_word_is_no_name(text: str, user_id: str) -> None:
    assert not names_person(text, user_id)


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=3))
def test_any_id_is_found_between_blanks(user_id: str) -> None:
    assert names_person(f"as {user_id} asked", user_id)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=3))
def test_case_is_no_disguise(user_id: str) -> None:
    assert names_person(f"as {user_id.swapcase()} asked", user_id)
