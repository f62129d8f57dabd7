"""How far people are to be believed: by hand, and what always holds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.adaptation.reliability import Reliability
from everloop.contracts.feedback import FeedbackStatus, FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback
from tests.spoken_records import ANSWER, person, spoken

T = FeedbackType
ONE = person(1)


def weight(*rows: SpokenFeedback, of: int = 1) -> float:
    return Reliability(rows).weight(person(of))


def pair(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": chosen, "rejected": rejected}


def test_who_was_never_seen_is_believed() -> None:
    assert Reliability().weight(ONE) == 1.0


def test_praise_and_complaint_of_one_output_contradict() -> None:
    """Two questions, one of them contradicted: (2 + 1) / (2 + 2)."""
    rows = [
        spoken(1, T.THUMB, True, of=1),
        spoken(2, T.RATING, 1, of=1),
        spoken(3, T.THUMB, False, of=3),
    ]
    assert weight(*rows) == pytest.approx(3 / 4)
    assert Reliability(rows).contradictory_people == 1


def test_preferring_both_ways_contradicts() -> None:
    """One question: 2 / (2 + 1)."""
    rows = [
        spoken(1, T.COMPARISON, pair("yes", "no"), of=1),
        spoken(2, T.COMPARISON, pair("no", "yes"), of=1),
    ]
    assert weight(*rows) == pytest.approx(2 / 3)


def test_the_same_texts_answer_different_questions() -> None:
    rows = [
        spoken(1, T.COMPARISON, pair("yes", "no"), asked="coming?"),
        spoken(2, T.COMPARISON, pair("no", "yes"), asked="going?"),
    ]
    assert weight(*rows) == 1.0


def test_a_large_correction_contradicts_praise_and_a_small_one_does_not() -> None:
    praise = spoken(1, T.THUMB, True, of=1)
    large = spoken(2, T.CORRECTION, "Sure!", of=1)
    small = spoken(3, T.CORRECTION, ANSWER.replace("delighted", "happy"), of=1)
    assert weight(praise, large) == pytest.approx(2 / 3)
    assert weight(praise, small) == 1.0


def test_neutral_ratings_and_what_speaks_of_no_answer_contradict_nothing() -> None:
    rows = [
        spoken(1, T.THUMB, True, of=1),
        spoken(2, T.RATING, 3, of=1),
        spoken(3, T.CLICK, False, of=1),
        spoken(4, T.IMPLICIT_REPLY, "that was terrible", of=1),
        spoken(5, T.CATEGORICAL_CHOICE, "too_fast", of=1),
        spoken(6, T.VOICE_ADJUSTMENT, {"pitch": -1}, of=1),
    ]
    assert weight(*rows) == 1.0


def test_the_lowest_quality_of_a_question_counts_and_a_release_vouches() -> None:
    """(2 + .6 + 1) / (2 + 2)."""
    rows = [
        spoken(1, T.THUMB, True, of=1, quality=0.9),
        spoken(2, T.RATING, 5, of=1, quality=0.6),
        spoken(3, T.THUMB, True, quality=0.1, status=FeedbackStatus.RELEASED),
    ]
    assert weight(*rows) == pytest.approx(3.6 / 4)


def test_outliers_weigh_less_where_enough_others_judged_the_same_output() -> None:
    """Others: 1, .5, 1 and .5; from -1 their median .75 is 1.75 away: d = 1.25 / 1.5."""
    said: dict[str, Any] = {"asked": "hello", "answered": "hi"}
    others = [spoken(10 + n, T.RATING, 5 - n % 2, by=10 + n, **said) for n in range(4)]
    outlier = spoken(1, T.RATING, 1, by=1, **said)
    assert weight(outlier, *others) == pytest.approx((2 + 1 - 1.25 / 1.5) / 3)
    assert weight(outlier, *others, of=10) == 1.0
    assert weight(outlier, *others[:2]) == 1.0
    apart = Reliability((outlier, *others), crowd=False)
    assert apart.weight(outlier.feedback.user_id) == 1.0, "nobody decides about another"


def test_who_said_both_is_in_the_middle_and_counts_once() -> None:
    """Others: 1, 1 and (1 - 1) / 2 = 0; their median is 1, and 2 others are too few."""
    said: dict[str, Any] = {"asked": "hello", "answered": "hi"}
    both = [spoken(n, T.THUMB, n == 11, of=n, by=11, **said) for n in (11, 12)]
    others = [spoken(20 + n, T.THUMB, True, by=20 + n, **said) for n in range(2)]
    outlier = spoken(1, T.THUMB, False, by=1, **said)
    assert weight(outlier, *both, *others) == pytest.approx((2 + 1 - 1.5 / 1.5) / 3)
    assert weight(outlier, *both, others[0]) == 1.0
    judged = [spoken(n, T.RATING, 3, of=n, by=n, **said) for n in (30, 31)]
    # Medians of 0, 0, 0, 1 and 1 without each: for the ones, (0 + 0) / 2.
    assert weight(*both, *judged, *others, of=20) == pytest.approx((2 + 1 - 0.5 / 1.5) / 3)


def test_one_star_apart_is_taste() -> None:
    said: dict[str, Any] = {"asked": "hello", "answered": "hi"}
    others = [spoken(10 + n, T.RATING, 5, by=10 + n, **said) for n in range(3)]
    assert weight(spoken(1, T.RATING, 4, **said), *others) == 1.0
    assert weight(spoken(1, T.RATING, 3, **said), *others) == pytest.approx((3 - 0.5 / 1.5) / 3)


def test_another_answer_to_the_same_words_is_another_output() -> None:
    others = [
        spoken(10 + n, T.RATING, 5, by=10 + n, asked="hello", answered="hi") for n in range(3)
    ]
    assert weight(spoken(1, T.RATING, 1, asked="hello", answered="hey"), *others) == 1.0


def test_what_is_disputed_or_waits_says_nothing() -> None:
    praise = spoken(1, T.THUMB, True, of=1)
    disputed = spoken(2, T.THUMB, False, of=1, disputed=True)
    rejected = spoken(3, T.THUMB, False, of=1, status=FeedbackStatus.REJECTED)
    assert weight(praise, disputed, rejected) == 1.0


def test_a_popular_output() -> None:
    """Of 3,000 people, each tenth against the rest."""
    rows = [
        spoken(n, T.THUMB, n % 10 > 0, of=1, by=n, asked="hello", answered="hi")
        for n in range(3000)
    ]
    found = Reliability(rows)
    assert found.weight(person(10)) == pytest.approx(2 / 3)
    assert found.weight(person(11)) == 1.0


_ACTS = st.one_of(
    st.tuples(st.just(T.THUMB), st.booleans()),
    st.tuples(st.just(T.RATING), st.integers(1, 5)),
    st.tuples(st.just(T.CATEGORICAL_CHOICE), st.sampled_from(["too_formal", "helpful"])),
    st.tuples(st.just(T.CORRECTION), st.sampled_from(["Sure!", "No.", ANSWER])),
    st.tuples(st.just(T.COMPARISON), st.sampled_from([pair("a", "b"), pair("b", "a")])),
)
_ROWS = st.lists(
    st.tuples(_ACTS, st.integers(1, 5), st.integers(1, 3), st.sampled_from([0.0, 0.4, 0.75, 1.0])),
    max_size=25,
)


def made(rows: list[Any]) -> list[SpokenFeedback]:
    """Each person has interactions of their own; topics share words and answer."""
    return [
        spoken(n, kind, raw, of=by * 10 + topic, by=by, quality=quality, asked=f"topic {topic}")
        for n, ((kind, raw), by, topic, quality) in enumerate(rows, start=100)
    ]


@settings(max_examples=60, deadline=None)
@given(_ROWS, st.randoms(use_true_random=False))
def test_weights_are_bounded_and_do_not_follow_the_order(
    rows: list[Any], order: random.Random
) -> None:
    found = made(rows)
    shuffled = order.sample(found, len(found))
    for by in range(1, 6):
        told = weight(*found, of=by)
        assert 0.0 < told <= 1.0
        assert told == weight(*shuffled, of=by)


@settings(max_examples=120, deadline=None)
@given(
    _ROWS,
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from(["output", "pair"]),
)
def test_contradicting_oneself_once_more_never_weighs_more(
    rows: list[Any], topic: int, quality: float, about: str
) -> None:
    found = made(rows)
    more: dict[str, Any] = {"of": 10 + topic, "quality": quality, "asked": f"topic {topic}"}
    if about == "output":
        twice = [spoken(901, T.THUMB, True, **more), spoken(902, T.THUMB, False, **more)]
    else:
        twice = [
            spoken(901, T.COMPARISON, pair("a", "b"), **more),
            spoken(902, T.COMPARISON, pair("b", "a"), **more),
        ]
    assert weight(*found, *twice) <= weight(*found) + 1e-12
    assert weight(*twice) < 1.0
