"""Replies: pleased, displeased, or nothing to tell; never believed by more than sarcasm allows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.feedback.sentiment import MOST_CONFIDENT, sentiment_of


@pytest.mark.parametrize(
    "text",
    [
        "no, that's not right",
        "No",
        "that is wrong",
        "You misunderstood me",
        "this isn't helpful at all",
        "that's not what I asked",
        "not good",
        "ugh, this is useless",
        "I mean the other one",
        "no, try again",
        "this does not make sense",
    ],
)
def test_displeased(text: str) -> None:
    found = sentiment_of(text)
    assert found.value is not None
    assert found.value < -0.2


@pytest.mark.parametrize(
    "text",
    [
        "thanks, perfect",
        "Thank you!",
        "yes, exactly",
        "not bad",
        "great, that helped",
        "no, that's perfect",
        "you are right",
        "I don't hate it",
        "never wrong",
    ],
)
def test_pleased(text: str) -> None:
    found = sentiment_of(text)
    assert found.value is not None
    assert found.value > 0.2


@pytest.mark.parametrize(
    "text", ["", "ok", "What time is it?", "no problem", "Berlin", "🙂", "alright then", "not sure"]
)
def test_nothing_to_tell(text: str) -> None:
    found = sentiment_of(text)
    assert (found.value, found.hits, found.confidence) == (None, 0, 0.1)


def test_the_value_is_the_tanh_of_the_sum() -> None:
    assert sentiment_of("thanks, perfect").value == pytest.approx(math.tanh(0.6 + 1.0))
    assert sentiment_of("not good").value == pytest.approx(math.tanh(-0.7 * 0.6))
    assert sentiment_of("not wrong").value == pytest.approx(math.tanh(0.4 * 0.8))


def test_mixed_and_long_replies_are_believed_less() -> None:
    plain = sentiment_of("perfect").confidence
    assert sentiment_of("thanks but that is wrong").confidence < plain
    long = "My boss said that the whole plan was terrible and then we all went home very late"
    assert sentiment_of(long).confidence == pytest.approx(plain / 2)


@given(st.text(max_size=300))
def test_any_reply_stays_within_range(text: str) -> None:
    found = sentiment_of(text)
    assert 0.0 <= found.confidence <= MOST_CONFIDENT
    assert found.value is None or -1.0 <= found.value <= 1.0
