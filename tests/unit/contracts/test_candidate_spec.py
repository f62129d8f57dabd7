"""Descriptors of a person who may be suggested: what fits, and what an error says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.actions import CandidateSpec

SPEC = CandidateSpec(descriptors=("sociability", "novelty"))
within = st.one_of(st.floats(-1, 1), st.sampled_from([-1, 0, 1]))


@given(st.tuples(within, within), st.sampled_from([list, tuple]))
def test_numbers_that_fit_come_back_as_floats(given_: tuple[float, float], kind: Any) -> None:
    found = SPEC.numbers(kind(given_))
    assert found == given_
    assert [type(number) for number in found] == [float, float]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([0.5, math.nan], "novelty=nan is not a finite"),
        ([math.inf, 0.5], "sociability=inf is not a finite"),
        ([0.5, 1.0000001], "novelty=1.0000001 is outside"),
        ([-2, 0.5], "sociability=-2 is outside"),
        ([True, 0.5], "sociability=True is not a finite"),
        ([0.5, "1"], "novelty='1' is not a finite"),
        ([0.5], "not a list of 2 numbers"),
        ("ab", "not a list of 2 numbers"),
        ({0.1: 1, 0.2: 2}, "not a list of 2 numbers"),
    ],
)
def test_what_does_not_fit_is_shown(wrong: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SPEC.numbers(wrong)
