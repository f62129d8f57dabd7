"""Questions that wait together: one batch, a queue with an end, limits of time, failures kept apart."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from everloop.contracts.errors import EverloopError, ShouldRetryLater, ShouldSlowDown
from everloop.contracts.speaking import Answer, SpeakRequest
from everloop.contracts.voices import Message
from everloop.serving.speaking import answering
from everloop.serving.speaking.batching import Job, MicroBatcher, Outcome, Spoken
from tests.fake_speaker import FakeSpeaker, FakeSpoken

FOREVER = float("inf")
WAIT_S = 20.0


class Gated:
    """Begins a batch when it is let; notes the batches. What says ``break`` cannot be asked."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.batches: list[int] = []
        self._speaker = FakeSpeaker()

    def follow(
        self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool]
    ) -> Iterator[Spoken]:
        self.batches.append(len(requests))
        self.begun.set()
        self.gate.wait(WAIT_S)
        if any(request.messages[-1].content == "break" for request in requests):
            raise RuntimeError("a kernel failed")
        return self._speaker.follow(requests, abandoned)


class Listener:
    """Asks, and keeps what it is told."""

    def __init__(self, text: str = "Hello.", until: float = FOREVER) -> None:
        self.told: queue.Queue[Outcome] = queue.Queue()
        self.job = Job(SpeakRequest((Message("user", text),)), self.told.put, until)

    def end(self) -> Answer | EverloopError:
        while True:
            outcome = self.told.get(timeout=WAIT_S)
            if not isinstance(outcome, str):
                return outcome


@pytest.fixture
def speaker() -> Gated:
    return Gated()


@pytest.fixture
def batcher(speaker: Gated) -> Iterator[MicroBatcher]:
    made = MicroBatcher(speaker, most=4, waiting=6, linger_s=0.0)
    yield made
    speaker.gate.set()
    made.close()
    assert not made.alive


def ask(batcher: MicroBatcher, *texts: str) -> list[Listener]:
    listeners = [Listener(text) for text in texts]
    for listener in listeners:
        batcher.ask(listener.job)
    return listeners


def test_those_who_wait_are_answered_together(batcher: MicroBatcher, speaker: Gated) -> None:
    (first,) = ask(batcher, "Hello.")
    assert speaker.begun.wait(WAIT_S)
    others = ask(batcher, *(f"Question {number}." for number in range(6)))
    speaker.gate.set()
    assert all(isinstance(each.end(), Answer) for each in (first, *others))
    assert speaker.batches == [1, 4, 2]


def test_a_full_queue_sends_people_away_with_a_time(batcher: MicroBatcher, speaker: Gated) -> None:
    (first,) = ask(batcher, "Hello.")
    assert speaker.begun.wait(WAIT_S)
    waiting = ask(batcher, *["Hello."] * 6)
    with pytest.raises(ShouldSlowDown) as refused:
        ask(batcher, "One too many.")
    assert refused.value.retry_after >= 1.0
    speaker.gate.set()
    assert all(isinstance(each.end(), Answer) for each in (first, *waiting))


def test_one_that_cannot_be_asked_takes_no_other_down(
    batcher: MicroBatcher, speaker: Gated
) -> None:
    (first,) = ask(batcher, "Hello.")
    assert speaker.begun.wait(WAIT_S)
    good, bad, other = ask(batcher, "Hello.", "break", "Well?")
    speaker.gate.set()
    assert isinstance(first.end(), Answer)
    assert isinstance(good.end(), Answer)
    assert isinstance(other.end(), Answer)
    failed = bad.end()
    assert isinstance(failed, ShouldRetryLater)
    assert "a kernel failed" in failed.message


class Overflowing(FakeSpeaker):
    """Ends what says ``break`` by a problem of its own, after its first piece."""

    def follow(
        self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool] = lambda _: False
    ) -> Iterator[FakeSpoken]:
        broken: set[int] = set()
        for spoken in super().follow(requests, abandoned):
            position = spoken.position
            if position in broken:
                continue
            if requests[position].messages[-1].content == "break" and spoken.piece:
                broken.add(position)
                yield FakeSpoken(position, "", problem=ShouldRetryLater("not finite"))
            else:
                yield spoken


def test_an_answer_that_ends_by_a_problem_ends_alone() -> None:
    batcher = MicroBatcher(Overflowing(), most=3, linger_s=0.2)
    try:
        good, bad, other = ask(batcher, "Hello.", "break", "Well?")
        assert isinstance(good.end(), Answer)
        assert isinstance(other.end(), Answer)
        failed = bad.end()
        assert isinstance(failed, ShouldRetryLater)
        assert failed.message == "not finite"
        assert bad.told.empty()
    finally:
        batcher.close()


def test_who_left_or_waited_too_long_is_passed_over(batcher: MicroBatcher, speaker: Gated) -> None:
    (first,) = ask(batcher, "Hello.")
    assert speaker.begun.wait(WAIT_S)
    late, (gone, stays) = Listener(until=0.0), ask(batcher, "Hello.", "Hello.")
    batcher.ask(late.job)
    gone.job.left.set()
    speaker.gate.set()
    assert isinstance(first.end(), Answer)
    assert isinstance(stays.end(), Answer)
    assert isinstance(late.end(), ShouldRetryLater)
    assert speaker.batches == [1, 1]


def test_closing_lets_go_of_who_waits(speaker: Gated) -> None:
    batcher = MicroBatcher(speaker, most=1, waiting=4, linger_s=0.0)
    (first,) = ask(batcher, "Hello.")
    assert speaker.begun.wait(WAIT_S)
    waiting = ask(batcher, "Hello.", "Hello.")
    closing = threading.Thread(target=batcher.close)
    closing.start()
    speaker.gate.set()
    closing.join(WAIT_S)
    assert all(isinstance(each.end(), ShouldRetryLater) for each in waiting)
    first.end()
    with pytest.raises(ShouldRetryLater, match="ends"):
        ask(batcher, "Hello.")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_nothing_answers_any_more_nobody_waits() -> None:
    class Killed(FakeSpeaker):
        def follow(self, *_: object) -> Iterator[FakeSpoken]:
            raise SystemExit

    batcher = MicroBatcher(Killed(), most=1, linger_s=0.0)
    ask(batcher, "Hello.")
    batcher._thread.join(WAIT_S)
    assert not batcher.alive
    with pytest.raises(ShouldRetryLater, match="Nothing answers"):
        ask(batcher, "Hello.")


def test_who_is_never_told_stops_waiting() -> None:
    class Silent:
        def ask(self, job: Job) -> None:
            self.job = job

    silent = Silent()
    begun: Any = SimpleNamespace(request=None)

    async def heard() -> list[object]:
        return [each async for each in answering._pieces(silent, begun, 0.0)]  # type: ignore[arg-type]

    with pytest.raises(ShouldRetryLater, match="too long"):
        asyncio.run(heard())
    assert silent.job.left.is_set()
