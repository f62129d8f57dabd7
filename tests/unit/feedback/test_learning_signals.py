"""Feedback as reward signals of the loop that decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import FeedbackInstance, FeedbackStatus, FeedbackType
from everloop.contracts.loop_spec import FeedbackSpec, LoopSpec, SignalSpec, Silence
from everloop.feedback.capture import SentFeedback, capture, receive
from everloop.feedback.learning_signals import BEHAVIOURS, JUDGEMENTS, signals_of
from everloop.feedback.quality import QualityVerdict
from everloop.loops import load
from tests.feedback_records import interaction
from tests.log_records import NOON, uuid_of

T = FeedbackType
DECIDED = NOON - timedelta(minutes=10)
ABOUT = interaction(episode_id=uuid_of(7), output_data="one two three four")
SPEC = load("companion")


def spec(**changes: Any) -> LoopSpec:
    """The companion loop, whose explicit signal is two-sided and whose implicit one is not."""
    return SPEC.model_copy(update=changes)


def given_feedback(
    kind: FeedbackType, raw: Any, quality: float = 1.0, **changes: Any
) -> FeedbackInstance:
    sent = SentFeedback(
        feedback_id=uuid_of(3, "feedback"),
        log_id=ABOUT.log_id,
        user_id=None,
        session_id=None,
        timestamp=NOON,
        feedback_type=kind,
        raw_value=raw,
    )
    verdict = QualityVerdict(score=quality, reasons=(), quarantined=False)
    return replace(capture(receive(sent, ABOUT, NOON), verdict), **changes)


@pytest.mark.parametrize(
    ("kind", "raw", "signal", "value", "confidence"),
    [
        (T.RATING, 5, "explicit_feedback", 1.0, 0.4),
        (T.RATING, 3, "explicit_feedback", 0.5, 0.4),
        (T.RATING, 1, "explicit_feedback", 0.0, 0.4),
        (T.RATING, 9, "explicit_feedback", 1.0, 0.2),
        (T.THUMB, False, "explicit_feedback", 0.0, 0.4),
        (T.CATEGORICAL_CHOICE, "too_formal", "explicit_feedback", 0.25, 0.6),
        (T.CATEGORICAL_CHOICE, "nailed_it", "explicit_feedback", 1.0, 0.6),
        (T.CORRECTION, "one two three five", "explicit_feedback", 0.375, 1.0),
        (T.CORRECTION, "Cheers", "explicit_feedback", 0.0, 1.0),
        (T.COMPARISON, {"winner": "a"}, "explicit_feedback", 1.0, 0.8),
        (T.COMPARISON, {"winner": "b"}, "explicit_feedback", 0.0, 0.8),
        (T.COMPARISON, {"winner": "tie"}, "explicit_feedback", 0.5, 0.8),
        (T.FREE_TEXT, "too formal", "explicit_feedback", 0.25, 0.6 * 0.8),
        (T.FREE_TEXT, "loved it, too long", "explicit_feedback", 0.55, 0.6 * 0.8),
        (T.CONVERSION, True, "engagement", 1.0, 0.2),
        (T.CLICK, False, "engagement", 0.0, 0.2 * 0.5),
        (T.SCROLL, 0.75, "engagement", 0.75, 0.2 * 0.5),
        (T.DWELL, 15, "engagement", 0.25, 0.2 * 0.5),
    ],
)
def test_each_type_becomes_its_signal(
    kind: FeedbackType, raw: Any, signal: str, value: float, confidence: float
) -> None:
    (made,) = signals_of(given_feedback(kind, raw, quality=0.5), ABOUT, SPEC, DECIDED)
    assert made.signal_type == signal
    assert made.value == pytest.approx(value)
    assert made.confidence == pytest.approx(confidence * 0.5)
    assert (made.episode_id, made.latency) == (uuid_of(7), 600)


def test_the_sentiment_of_a_reply_is_a_judgement() -> None:
    bad, good = (
        signals_of(given_feedback(T.IMPLICIT_REPLY, text), ABOUT, SPEC, DECIDED)[0]
        for text in ("no, that's not right", "thanks, perfect")
    )
    assert bad.signal_type == good.signal_type == "explicit_feedback"
    assert bad.value < 0.5 < good.value
    assert good.confidence <= 0.2 * 0.6


@pytest.mark.parametrize(
    ("low", "high", "two_sided", "value"),
    [
        (0.0, 1.0, True, 0.75),
        (0.0, 1.0, False, 0.75),
        (-1.0, 1.0, False, 0.5),
        (-0.5, 0.5, False, 0.25),
    ],
)
def test_a_value_lands_in_the_signals_own_range(
    low: float, high: float, two_sided: bool, value: float
) -> None:
    own = SignalSpec(
        name="explicit_feedback",
        low=low,
        high=high,
        two_sided=two_sided,
        weight=1.0,
        silence=Silence.MISSING,
    )
    others = tuple(s for s in SPEC.signals if s.name != own.name)
    (made,) = signals_of(given_feedback(T.RATING, 4), ABOUT, spec(signals=(*others, own)), DECIDED)
    assert made.value == pytest.approx(value)


def test_the_signals_id_follows_from_the_feedback() -> None:
    first, again = (signals_of(given_feedback(T.RATING, 4), ABOUT, SPEC, DECIDED) for _ in range(2))
    assert first == again
    another = replace(given_feedback(T.RATING, 4), feedback_id=uuid_of(4, "feedback"))
    assert signals_of(another, ABOUT, SPEC, DECIDED)[0].signal_id != first[0].signal_id
    clicked = signals_of(given_feedback(T.CLICK, True), ABOUT, SPEC, DECIDED)
    assert clicked[0].signal_id != first[0].signal_id


def test_a_clock_that_ran_back_gives_no_negative_latency() -> None:
    later = NOON + timedelta(seconds=5)
    assert signals_of(given_feedback(T.RATING, 4), ABOUT, SPEC, later)[0].latency == 0


@pytest.mark.parametrize("status", FeedbackStatus)
def test_only_feedback_that_teaches_becomes_a_signal(status: FeedbackStatus) -> None:
    made = signals_of(given_feedback(T.RATING, 4, status=status), ABOUT, SPEC, DECIDED)
    assert bool(made) is (status in {FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED})


def test_no_signal_without_a_decision_a_mapping_or_a_judgement() -> None:
    rated = given_feedback(T.RATING, 4)
    assert signals_of(rated, None, SPEC, DECIDED) == ()
    assert signals_of(rated, interaction(), SPEC, DECIDED) == ()
    silent = spec(feedback=FeedbackSpec())
    assert signals_of(rated, ABOUT, silent, DECIDED) == ()
    assert signals_of(given_feedback(T.CLICK, True), ABOUT, silent, DECIDED) == ()
    half = spec(feedback=FeedbackSpec(implicit="engagement"))
    assert signals_of(rated, ABOUT, half, DECIDED) == ()
    for kind, raw in (
        (T.FREE_TEXT, "the sky is blue"),
        (T.IMPLICIT_REPLY, "and tomorrow?"),
        (T.CORRECTION, "one two three four"),
        (T.VOICE_ADJUSTMENT, {"pitch": 1}),
        (T.TRUST_SURVEY, 5),
        (T.COMPARISON, {"chosen": "x", "rejected": "y"}),
    ):
        assert signals_of(given_feedback(kind, raw), ABOUT, SPEC, DECIDED) == (), kind
    assert signals_of(given_feedback(T.RATING, 4, quality=0.0), ABOUT, SPEC, DECIDED) == ()


def test_judgements_and_behaviours_are_disjoint_and_leave_out_voice_and_trust() -> None:
    assert not JUDGEMENTS & BEHAVIOURS
    assert set(T) - JUDGEMENTS - BEHAVIOURS == {T.VOICE_ADJUSTMENT, T.TRUST_SURVEY}


ranges = st.tuples(
    st.floats(min_value=-1, max_value=0.9), st.floats(min_value=0.01, max_value=2.0)
).map(lambda ends: (ends[0], min(1.0, ends[0] + ends[1])))


@given(
    kind=st.sampled_from(FeedbackType),
    raw=st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["too_formal", "nailed_it", "way too long but perfect", "no, wrong"])
    | st.sampled_from([{"winner": "a"}, {"winner": "tie"}]),
    ends=ranges,
    quality=st.floats(min_value=0, max_value=1),
    dwell=st.floats(min_value=1e-6, max_value=1e6),
)
def test_values_never_leave_the_declared_range(
    kind: FeedbackType, raw: Any, ends: tuple[float, float], quality: float, dwell: float
) -> None:
    try:
        feedback = given_feedback(kind, raw, quality)
    except ShouldFixFeedback:
        return
    own = tuple(
        SignalSpec(name=name, low=ends[0], high=ends[1], weight=1.0, silence=Silence.ZERO)
        for name in ("explicit_feedback", "engagement", "resonance")
    )
    mapped = FeedbackSpec(explicit="explicit_feedback", implicit="engagement", dwell_seconds=dwell)
    for made in signals_of(feedback, ABOUT, spec(signals=own, feedback=mapped), DECIDED):
        assert ends[0] <= made.value <= ends[1]
        assert 0.0 < made.confidence <= 1.0
        assert made.latency >= 0
