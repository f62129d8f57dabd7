"""A spoken answer's events, however their bytes are cut."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldRetryLater, ShouldSlowDown, ShouldUpdateClient
from everloop.sdk.client.answers.voice import SpokenAnswer
from everloop.sdk.client.speech_events import SpeechEvents

ANSWER: dict[str, Any] = {
    "log_id": "l",
    "loop": "coach",
    "persona": "guide",
    "text": "",
    "model_version": "m",
    "arm": "active",
    "tokens_in": 3,
    "tokens_out": 2,
    "response_ms": 1.5,
    "screened": False,
}


def event(name: str, value: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(value))


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))), cut=st.integers(1, 9))
def test_however_it_is_cut(texts: list[str], cut: int) -> None:
    whole = "".join(texts)
    sent = b"".join(event("piece", {"text": text}) for text in texts)
    sent += event("news", {"later": 1}) + event("answer", ANSWER | {"text": whole})
    events = SpeechEvents()
    parts = [sent[start : start + cut] for start in range(0, len(sent), cut)]
    *pieces, last = [each for part in parts for each in events.fed(part)]
    events.require_whole()
    assert pieces == texts
    assert last == SpokenAnswer(**ANSWER | {"text": whole})


def test_a_stream_that_ends_early_is_told() -> None:
    events = SpeechEvents()
    assert list(events.fed(event("piece", {"text": "One"}) + b"event: answer\ndata: {")) == ["One"]
    with pytest.raises(ShouldRetryLater, match="before the answer"):
        events.require_whole()


def test_the_services_own_problem_is_raised_behind_what_was_said() -> None:
    told = {"title": "ShouldSlowDown", "status": 429, "detail": "Too many wait.", "remedy": "Wait."}
    heard = SpeechEvents().fed(event("piece", {"text": "One"}) + event("problem", told))
    assert next(heard) == "One"
    with pytest.raises(ShouldSlowDown, match="Too many wait"):
        next(heard)


@pytest.mark.parametrize(
    "sent",
    [
        event("piece", {"words": "One"}),
        event("piece", ["One"]),
        b"event: piece\ndata: {\n\n",
        event("answer", {"text": "One"}),
    ],
)
def test_what_is_no_event_of_ours_is_refused(sent: bytes) -> None:
    with pytest.raises(ShouldUpdateClient):
        list(SpeechEvents().fed(sent))
