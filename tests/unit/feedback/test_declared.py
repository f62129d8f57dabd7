"""Values are read within their declared range, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import FeedbackType
from everloop.feedback.declared import MOST_CHARACTERS, RANGES, declared

T = FeedbackType


@pytest.mark.parametrize(
    ("kind", "raw", "value", "clamped"),
    [
        (T.RATING, 4, 4.0, False),
        (T.RATING, 4.5, 4.5, False),
        (T.RATING, 0, 1.0, True),
        (T.RATING, 7, 5.0, True),
        (T.RATING, 10**400, 5.0, True),
        (T.TRUST_SURVEY, 6, 5.0, True),
        (T.TRUST_SURVEY, 1, 1.0, False),
        (T.SCROLL, 0.85, 0.85, False),
        (T.SCROLL, 85, 1.0, True),
        (T.DWELL, 45.5, 45.5, False),
        (T.DWELL, -1, 0.0, True),
        (T.DWELL, 86_400, 3600.0, True),
        (T.CONVERSION, True, 1.0, False),
        (T.CONVERSION, False, 0.0, False),
        (T.CLICK, 0.5, 0.5, False),
        (T.CLICK, 3, 1.0, True),
        (T.THUMB, True, True, False),
        (T.THUMB, False, False, False),
        (T.CATEGORICAL_CHOICE, "Too formal", "too_formal", False),
        (T.CATEGORICAL_CHOICE, "nailed-it", "nailed_it", False),
        (T.CORRECTION, " See you! ", " See you! ", False),
        (T.FREE_TEXT, "x" * MOST_CHARACTERS, "x" * MOST_CHARACTERS, False),
        (T.COMPARISON, {"winner": "tie"}, {"winner": "tie"}, False),
        (
            T.COMPARISON,
            {"chosen": "a", "rejected": "b"},
            {"chosen": "a", "rejected": "b"},
            False,
        ),
        (T.VOICE_ADJUSTMENT, {"pitch": -0.5}, {"pitch": -0.5}, False),
        (T.VOICE_ADJUSTMENT, {"pitch": 3, "speed": 0.25}, {"pitch": 1.0, "speed": 0.25}, True),
        (
            T.VOICE_ADJUSTMENT,
            {"sample_url": "https://x.test/a.wav"},
            {"sample_url": "https://x.test/a.wav"},
            False,
        ),
    ],
)
def test_a_value_is_read_as_its_type_declares(
    kind: FeedbackType, raw: Any, value: Any, clamped: bool
) -> None:
    read = declared(kind, raw)
    assert read.value == value
    assert type(read.value) is type(value)
    assert read.clamped is clamped


@pytest.mark.parametrize(
    ("kind", "raw", "named"),
    [
        (T.RATING, "5", "'5'"),
        (T.RATING, True, "True"),
        (T.RATING, None, "None"),
        (T.RATING, math.nan, "nan"),
        (T.RATING, math.inf, "inf"),
        (T.THUMB, 1, "1"),
        (T.THUMB, "up", "'up'"),
        (T.CLICK, "yes", "'yes'"),
        (T.CATEGORICAL_CHOICE, "too_fromal", "'too_formal'"),
        (T.CATEGORICAL_CHOICE, 3, "3"),
        (T.CORRECTION, "  ", "'  '"),
        (T.FREE_TEXT, "x" * (MOST_CHARACTERS + 1), "20,001"),
        (T.IMPLICIT_REPLY, ["no"], "['no']"),
        (T.COMPARISON, {"winner": "c"}, "'c'"),
        (T.COMPARISON, {"winner": []}, "[]"),
        (T.COMPARISON, {"chosen": "a"}, "chosen"),
        (T.COMPARISON, {"winner": "a", "note": "hi"}, "note"),
        (T.COMPARISON, {"chosen": "a", "rejected": 3}, "3"),
        (T.VOICE_ADJUSTMENT, {}, "{}"),
        (T.VOICE_ADJUSTMENT, {"volume": 1}, "volume"),
        (T.VOICE_ADJUSTMENT, {"pitch": "high"}, "'high'"),
        (T.VOICE_ADJUSTMENT, {"sample_url": "file:///etc/passwd"}, "passwd"),
    ],
)
def test_another_shape_is_refused_with_the_value_and_the_fix(
    kind: FeedbackType, raw: Any, named: str
) -> None:
    with pytest.raises(ShouldFixFeedback) as refused:
        declared(kind, raw)
    assert named in str(refused.value)
    assert refused.value.remedy


def test_the_message_does_not_repeat_a_huge_value() -> None:
    for raw in ("x" * 10**6, ["x" * 10**6] * 100, [10**5000], {"winner": 10**5000}):
        with pytest.raises(ShouldFixFeedback) as refused:
            declared(T.COMPARISON, raw)
        assert len(str(refused.value)) < 400


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["winner", "chosen", "rejected", "pitch", "speed", "sample_url", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(kind=st.sampled_from(FeedbackType), raw=anything)
def test_no_value_crashes_anything(kind: FeedbackType, raw: Any) -> None:
    try:
        read = declared(kind, raw)
    except ShouldFixFeedback as refused:
        assert refused.remedy  # noqa: PT017 - either it is read, or the fix is named
        return
    if kind in RANGES:
        low, high = RANGES[kind]
        assert low <= read.value <= high


@given(kind=st.sampled_from(sorted(RANGES)), raw=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_changed_exactly_when_it_is_outside(kind: FeedbackType, raw: float) -> None:
    low, high = RANGES[kind]
    read = declared(kind, raw)
    assert read.clamped is not (low <= raw <= high)
    assert read.value == min(max(raw, low), high)
