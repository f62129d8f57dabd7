"""Who judges and never trains."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.held_out import is_held_out, salt_of, split_people
from everloop.contracts.errors import ShouldFixArgument
from tests.spoken_records import person

SALT = salt_of("default", "friend")


def test_by_hand() -> None:
    digest = hashlib.sha256(b"default\0friend\0" + person(7).encode()).digest()
    where = int.from_bytes(digest[:8], "big") / 2**64
    assert is_held_out(person(7), SALT, where + 1e-9)
    assert not is_held_out(person(7), SALT, where)


def test_the_share_of_many_people() -> None:
    """2,000 people at .2: within 4 standard deviations of 400."""
    split = split_people([person(n) for n in range(2000)], SALT, 0.2)
    assert abs(len(split.held_out) - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    assert split.reason == ""


def test_voices_part_their_people_differently() -> None:
    people = [person(n) for n in range(200)]
    other = split_people(people, salt_of("default", "stranger"), 0.2)
    assert other.held_out != split_people(people, SALT, 0.2).held_out


@given(st.sets(st.integers(0, 10_000), max_size=60), st.sets(st.integers(0, 10_000), max_size=60))
def test_nobody_does_both_and_nobody_changes_sides(some: set[int], more: set[int]) -> None:
    before = split_people([person(n) for n in some], SALT, 0.2)
    after = split_people([person(n) for n in some | more], SALT, 0.2)
    assert not before.training & before.held_out
    assert before.training <= after.training
    assert before.held_out <= after.held_out


def test_few_people_may_leave_a_side_empty_and_it_says_so() -> None:
    trains = next(n for n in range(99) if not is_held_out(person(n), SALT, 0.2))
    judges = next(n for n in range(99) if is_held_out(person(n), SALT, 0.2))
    alone = split_people([person(trains)], SALT, 0.2)
    assert alone.held_out == frozenset()
    assert "nobody can judge" in alone.reason
    assert "nobody is left" in split_people([person(judges)], SALT, 0.2).reason
    assert "None of 0" in split_people([], SALT, 0.2).reason


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ShouldFixArgument, match="held_out_share"):
        is_held_out(person(1), SALT, share)
