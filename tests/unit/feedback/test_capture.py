"""Feedback bound to what spoke: identity, clocks, persons, status."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import (
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
    TargetElement,
)
from everloop.feedback.capture import SentFeedback, capture, receive
from everloop.feedback.quality import QualityVerdict
from tests.feedback_records import SESSION, interaction
from tests.log_records import ANN, BEN, NOON, uuid_of

HUMAN = QualityVerdict(score=0.9, reasons=(), quarantined=False)
MACHINE = QualityVerdict(score=0.2, reasons=("rapid_fire: 12 a second (+5.0)",), quarantined=True)


def sent(**changes: Any) -> SentFeedback:
    values: dict[str, Any] = {
        "feedback_id": uuid_of(1, "feedback"),
        "log_id": uuid_of(1, "interaction"),
        "user_id": None,
        "session_id": None,
        "timestamp": NOON,
        "feedback_type": FeedbackType.RATING,
        "raw_value": 4,
    }
    return SentFeedback(**(values | changes))


def test_it_is_bound_to_its_interaction() -> None:
    shown = NOON - timedelta(minutes=1)
    about = interaction(at=shown, agent_id="writer", persona="coach", model_version="v9")
    received = receive(sent(target_element=TargetElement.WORD_CHOICE, target="hi"), about, NOON)
    feedback = capture(received, HUMAN)
    assert (feedback.agent_id, feedback.task_type) == ("writer", "chat")
    assert (feedback.persona, feedback.model_version) == ("coach", "v9")
    assert (feedback.user_id, feedback.session_id) == (ANN, SESSION)
    assert (feedback.raw_value, feedback.value, feedback.clamped) == (4, 4.0, False)
    assert feedback.source is FeedbackSource.RATING
    assert (feedback.weight, feedback.confidence, feedback.quality) == (0.4, 1.0, 0.9)
    assert (feedback.target_element, feedback.target) == (TargetElement.WORD_CHOICE, "hi")
    assert (feedback.shown_at, feedback.received_at) == (shown, NOON)
    assert feedback.output_chars == len("well, thank you")
    assert feedback.status is FeedbackStatus.ACCEPTED


def test_whoever_gives_it_is_named_by_the_request_first() -> None:
    received = receive(sent(user_id=BEN, session_id="6" * 64), interaction(), NOON)
    assert (received.user_id, received.session_id) == (BEN, "6" * 64)


def test_clamping_is_told_and_believed_half() -> None:
    feedback = capture(receive(sent(raw_value=11), interaction(), NOON), HUMAN)
    assert (feedback.raw_value, feedback.value, feedback.clamped) == (11, 5.0, True)
    assert feedback.confidence == 0.5


def test_the_verdict_decides_the_status() -> None:
    feedback = capture(receive(sent(), interaction(), NOON), MACHINE)
    assert feedback.status is FeedbackStatus.QUARANTINED
    assert (feedback.quality, feedback.quality_reasons) == (0.2, MACHINE.reasons)
    assert feedback.interpretations


@pytest.mark.parametrize(
    ("ahead", "refused"), [(timedelta(minutes=5), False), (timedelta(minutes=5, seconds=1), True)]
)
def test_a_clock_may_be_five_minutes_ahead(ahead: timedelta, refused: bool) -> None:
    early = sent(timestamp=NOON + ahead)
    if not refused:
        receive(early, interaction(), NOON)
        return
    with pytest.raises(ShouldFixFeedback, match="future"):
        receive(early, interaction(), NOON)


def test_feedback_older_than_its_output_is_not_refused() -> None:
    receive(sent(timestamp=NOON - timedelta(days=2)), interaction(at=NOON), NOON)


def test_only_a_trust_survey_needs_no_interaction() -> None:
    with pytest.raises(ShouldFixFeedback, match="no interaction"):
        receive(sent(log_id=None, user_id=ANN, session_id=SESSION), None, NOON)
    survey = sent(
        log_id=None, user_id=ANN, session_id=SESSION, feedback_type=FeedbackType.TRUST_SURVEY
    )
    feedback = capture(receive(survey, None, NOON), HUMAN)
    assert (feedback.log_id, feedback.agent_id, feedback.persona) == (None, "", "")
    for nobody, missing in (({"user_id": None}, "person"), ({"session_id": None}, "session")):
        values = {"user_id": ANN, "session_id": SESSION} | nobody
        unnamed = sent(log_id=None, feedback_type=FeedbackType.TRUST_SURVEY, **values)
        with pytest.raises(ShouldFixFeedback, match=missing):
            receive(unnamed, None, NOON)


def test_without_an_id_what_was_said_is_the_identity() -> None:
    assert sent().identity == uuid_of(1, "feedback")
    unnamed = sent(feedback_id=None)
    assert unnamed.identity == sent(feedback_id=None).identity
    others = [
        sent(feedback_id=None, **change)
        for change in (
            {"raw_value": 5},
            {"timestamp": NOON + timedelta(milliseconds=1)},
            {"log_id": uuid_of(2, "interaction")},
            {"feedback_type": FeedbackType.TRUST_SURVEY},
            {"target": "hi"},
            {"tenant": "other"},
            {"user_id": BEN},
        )
    ]
    assert len({unnamed.identity, *(other.identity for other in others)}) == 8


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ShouldFixFeedback, match="JSON"):
        sent(raw_value=float("nan"))
    with pytest.raises(ShouldFixFeedback, match="JSON"):
        sent(raw_value=10**30)
    with pytest.raises(ShouldFixFeedback, match="time zone"):
        sent(timestamp=datetime(2026, 3, 10))  # noqa: DTZ001 - what is refused


@given(
    kind=st.sampled_from(FeedbackType),
    raw=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=40),
        st.fixed_dictionaries({"winner": st.sampled_from(["a", "b", "tie", "c"])}),
        st.fixed_dictionaries({"chosen": st.text(max_size=9), "rejected": st.text(max_size=9)}),
        st.fixed_dictionaries({"pitch": st.floats(), "speed": st.floats()}),
    ),
    output=st.text(max_size=30) | st.fixed_dictionaries({"a": st.text(), "b": st.text()}),
)
def test_anything_sent_is_captured_or_refused_by_name(
    kind: FeedbackType, raw: Any, output: Any
) -> None:
    try:
        about = interaction(output_data=output)
        feedback = capture(receive(sent(feedback_type=kind, raw_value=raw), about, NOON), HUMAN)
    except ShouldFixFeedback as refused:
        assert str(refused)  # noqa: PT017 - either it is captured, or the problem is named
        return
    assert feedback.interpretations
