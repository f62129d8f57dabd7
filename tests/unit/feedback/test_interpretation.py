"""Values as learning signals: each type's rule, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from everloop.contracts.feedback import FeedbackType, TargetElement
from everloop.feedback.interpretation import Given, interpret, text_of
from tests.feedback_records import interaction

T = FeedbackType
OUTPUT = "Kindly find enclosed my sincerest regards."


def said(kind: FeedbackType, value: Any, output: Any = OUTPUT, **changes: Any) -> Any:
    about = interaction(output_data=output)
    (only,) = interpret(Given(kind=kind, value=value, interaction=about, **changes)).interpretations
    return only


@pytest.mark.parametrize(
    ("stars", "value"), [(1, -1.0), (2, -0.5), (3, 0.0), (4.5, 0.75), (5, 1.0)]
)
def test_stars(stars: float, value: float) -> None:
    assert said(T.RATING, stars).value == value


def test_thumbs() -> None:
    assert (said(T.THUMB, True).intent, said(T.THUMB, True).value) == ("thumbs_up", 1.0)
    assert (said(T.THUMB, False).intent, said(T.THUMB, False).value) == ("thumbs_down", -1.0)


def test_a_category_moves_its_trait() -> None:
    found = said(T.CATEGORICAL_CHOICE, "too_formal")
    assert (found.trait, found.adjustment, found.value) == ("formality", -0.2, -0.5)


def test_a_correction_says_that_it_was_not_right_by_how_much_was_changed() -> None:
    small = said(T.CORRECTION, "Kindly find enclosed my warmest regards.")
    assert small.value == pytest.approx(-1 / 7)
    assert small.preference == ("Kindly find enclosed my warmest regards.", OUTPUT)
    assert said(T.CORRECTION, "Cheers").value == -1.0


def test_an_unchanged_text_corrects_nothing() -> None:
    found = said(T.CORRECTION, OUTPUT)
    assert (found.intent, found.value, found.preference) == ("unchanged", None, None)


def test_a_corrected_sentence_is_put_back_into_its_text() -> None:
    found = said(
        T.CORRECTION,
        "warm",
        element=TargetElement.WORD_CHOICE,
        target="sincerest",
    )
    assert found.preference == ("Kindly find enclosed my warm regards.", OUTPUT)
    assert found.value == pytest.approx(-1 / 7)
    elsewhere = said(
        T.CORRECTION, "new words", element=TargetElement.SPECIFIC_SENTENCE, target="old words"
    )
    assert elsewhere.preference == ("new words", "old words")
    assert elsewhere.value == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("value", "output", "goodness", "preference"),
    [
        ({"winner": "a"}, OUTPUT, 1.0, None),
        ({"winner": "b"}, OUTPUT, -1.0, None),
        ({"winner": "tie"}, OUTPUT, 0.0, None),
        ({"winner": "a"}, {"a": "one", "b": "two"}, 1.0, ("one", "two")),
        ({"winner": "b"}, {"a": {"text": "one"}, "b": "two"}, -1.0, ("two", "one")),
        ({"chosen": "x", "rejected": OUTPUT}, OUTPUT, -1.0, ("x", OUTPUT)),
        ({"chosen": f" {OUTPUT}", "rejected": "x"}, OUTPUT, 1.0, (f" {OUTPUT}", "x")),
        ({"chosen": "x", "rejected": "y"}, OUTPUT, None, ("x", "y")),
        ({"chosen": "x", "rejected": "x"}, OUTPUT, 0.0, ("x", "x")),
    ],
)
def test_comparisons(
    value: Any, output: Any, goodness: float | None, preference: tuple[str, str] | None
) -> None:
    found = said(T.COMPARISON, value, output)
    assert (found.value, found.preference) == (goodness, preference)


def test_a_voice_adjustment_moves_pitch_and_speed_and_judges_nothing() -> None:
    reading = interpret(
        Given(T.VOICE_ADJUSTMENT, {"pitch": -0.5, "speed": 0.25, "sample_url": "https://x.test/a"})
    )
    assert [(each.trait, each.adjustment, each.value) for each in reading.interpretations] == [
        ("voice_pitch", -0.5, None),
        ("voice_speed", 0.25, None),
        (None, 0.0, None),
    ]
    assert said(T.VOICE_ADJUSTMENT, {"pitch": 0.0}).intent == "unchanged"


@pytest.mark.parametrize(
    ("kind", "value", "intent", "share"),
    [
        (T.CONVERSION, 1.0, "converted", 1.0),
        (T.CONVERSION, 0.0, "not_converted", 0.0),
        (T.CLICK, 1.0, "clicked", 1.0),
        (T.CLICK, 0.0, "not_clicked", 0.0),
        (T.SCROLL, 0.75, "scrolled", 0.75),
        (T.DWELL, 30.0, "dwelt", 0.5),
        (T.DWELL, 3600.0, "dwelt", 1.0),
        (T.DWELL, 0.0, "not_dwelt", 0.0),
    ],
)
def test_behaviour_is_a_share_of_engagement(
    kind: FeedbackType, value: float, intent: str, share: float
) -> None:
    found = said(kind, value)
    assert (found.intent, found.value) == (intent, share)


def test_dwell_is_measured_by_the_loops_own_time() -> None:
    assert said(T.DWELL, 30.0, dwell_seconds=300.0).value == pytest.approx(0.1)


def test_replies_and_trust() -> None:
    displeased = said(T.IMPLICIT_REPLY, "no, that's not right")
    assert displeased.intent == "reply_displeased"
    assert displeased.value < 0
    assert said(T.IMPLICIT_REPLY, "and tomorrow?").value is None
    assert (said(T.TRUST_SURVEY, 5.0).intent, said(T.TRUST_SURVEY, 5.0).value) == ("trust", None)


@pytest.mark.parametrize("kind", FeedbackType)
def test_every_type_has_a_rule_that_works_without_an_interaction(kind: FeedbackType) -> None:
    values: dict[FeedbackType, Any] = {
        T.THUMB: True,
        T.CORRECTION: "x",
        T.CATEGORICAL_CHOICE: "rude",
        T.COMPARISON: {"winner": "a"},
        T.FREE_TEXT: "x",
        T.VOICE_ADJUSTMENT: {"pitch": 1.0},
        T.IMPLICIT_REPLY: "x",
    }
    reading = interpret(Given(kind, values.get(kind, 1.0)))
    assert reading.interpretations
    assert 0.0 <= reading.confidence <= 1.0


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("hi", "hi"),
        ({"text": "hi", "x": 1}, "hi"),
        ({"content": "hi"}, "hi"),
        ({"b": 1}, '{"b":1}'),
        (None, "null"),
    ],
)
def test_the_text_of_an_output(output: Any, text: str) -> None:
    assert text_of(output) == text
