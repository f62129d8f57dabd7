"""Questions of one moment are answered in one batch: a queue with an end, one thread, time limits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from everloop.contracts.errors import EverloopError, ShouldRetryLater, ShouldSlowDown
from everloop.contracts.speaking import Answer, SpeakRequest

JOIN_S = 10.0
GRACE_S = 5.0
"""How long after its time a question still waits to be told of its end."""


class Spoken(Protocol):
    """A piece of an answer, or the whole of it at its end, or the problem that ended it alone."""

    @property
    def position(self) -> int: ...

    @property
    def piece(self) -> str: ...

    @property
    def answer(self) -> Answer | None: ...

    @property
    def problem(self) -> EverloopError | None: ...


class FollowedSpeaker(Protocol):
    """Makes answers together and tells each piece as it is made."""

    def follow(
        self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool]
    ) -> Iterator[Spoken]: ...


Outcome = str | Answer | EverloopError
"""A piece; then the whole answer, or why there is none."""


@dataclass(slots=True, eq=False)
class Job:
    """One question on its way.

    ``tell`` is called by the batcher's thread, with an answer or an error last. ``left`` is set where
    nobody waits any more. ``until``: of the monotonic clock, when waiting ends.
    """

    request: SpeakRequest
    tell: Callable[[Outcome], None]
    until: float
    left: threading.Event = field(default_factory=threading.Event)

    def over(self, now: float) -> bool:
        """Whether it is to be given up."""
        return self.left.is_set() or now >= self.until


class MicroBatcher:
    """Answers jobs of one speaker, those that wait together in one batch.

    Args:
        speaker: makes the answers.
        most: questions of a batch.
        waiting: questions that may wait; further ones are told to come back.
        linger_s: how long the first one waits for company.
    """

    def __init__(
        self,
        speaker: FollowedSpeaker,
        most: int = 8,
        waiting: int = 32,
        linger_s: float = 0.01,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speaker = speaker
        self._most = most
        self._linger_s = linger_s
        self._now = monotonic
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=waiting)
        self._batch_s = 1.0
        self._closing = False
        self._asking = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="speaking", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether questions are answered."""
        return self._thread.is_alive()

    @property
    def closing(self) -> bool:
        """Whether what waits is let go of, so that its end says nothing of the speaker."""
        return self._closing

    def ask(self, job: Job) -> None:
        """Put a question in the queue.

        Raises:
            ShouldSlowDown: too many wait already; ``retry_after`` is about when they are answered.
            ShouldRetryLater: the service ends, or nothing answers any more.
        """
        try:
            with self._asking:
                if self._closing:
                    raise ShouldRetryLater("The service ends.", "Ask again in a moment.")
                if not self.alive:
                    raise ShouldRetryLater(
                        "Nothing answers questions any more.", "Restart the service."
                    )
                self._jobs.put_nowait(job)
        except queue.Full:
            batches = self._jobs.maxsize / self._most
            raise ShouldSlowDown(
                f"{self._jobs.maxsize} questions wait for an answer already.",
                "Ask again later, with the same log_id.",
                retry_after=max(1.0, batches * self._batch_s),
            ) from None

    def close(self) -> None:
        """Let go of what waits; what is being answered is cut off."""
        with self._asking:  # whoever is in the queue by now is let go of; nobody comes after
            self._closing = True
            while True:
                try:
                    self._drop(self._jobs.get_nowait())
                except queue.Empty:
                    break
            self._jobs.put_nowait(None)
        self._thread.join(JOIN_S)

    def _work(self) -> None:
        while (batch := self._gathered()) is not None:
            began = self._now()
            self._answer(batch)
            self._batch_s = 0.5 * (self._batch_s + self._now() - began)
        while True:
            try:
                self._drop(self._jobs.get_nowait())
            except queue.Empty:
                return

    def _gathered(self) -> list[Job] | None:
        first = self._jobs.get()
        if first is None:
            return None
        batch = [first]
        until = self._now() + self._linger_s
        while len(batch) < self._most:
            try:
                job = self._jobs.get(timeout=max(0.0, until - self._now()))
            except queue.Empty:
                break
            if job is None:
                self._closing = True
                break
            batch.append(job)
        if self._closing:
            for job in batch:
                self._drop(job)
            return None
        return batch

    def _answer(self, batch: Sequence[Job]) -> None:
        now = self._now()
        jobs = [job for job in batch if not job.over(now)]
        for job in batch:
            if job not in jobs:
                self._drop(job)
        begun: set[int] = set()
        ended: set[int] = set()
        try:
            self._follow(jobs, begun, ended)
        except Exception as problem:  # whatever a model's runtime raises, somebody waits
            told = problem if isinstance(problem, EverloopError) else _failed(problem)
            for position in sorted(set(range(len(jobs))) - ended):
                if len(jobs) == 1 or position in begun:
                    jobs[position].tell(told)
                else:  # one that cannot be asked takes no other down
                    self._answer([jobs[position]])
            return
        for position in sorted(set(range(len(jobs))) - ended):
            self._drop(jobs[position])

    def _follow(self, jobs: Sequence[Job], begun: set[int], ended: set[int]) -> None:
        made = self._speaker.follow(
            [job.request for job in jobs],
            lambda position: self._closing or jobs[position].over(self._now()),
        )
        for spoken in made:
            begun.add(spoken.position)
            end = spoken.answer or spoken.problem
            if end is not None:
                ended.add(spoken.position)
            jobs[spoken.position].tell(spoken.piece if end is None else end)

    @staticmethod
    def _drop(job: Job | None) -> None:
        if job is not None:
            job.tell(ShouldRetryLater("The answer took too long.", "Ask again, or for less."))


def _failed(problem: Exception) -> ShouldRetryLater:
    return ShouldRetryLater(f"The voice failed ({problem!r:.200}).", "Ask again.")
