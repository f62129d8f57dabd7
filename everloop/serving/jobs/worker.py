"""One worker: claims a job of some kind, keeps its lease while it runs, and stores how it ended."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from threading import Event, Thread
from typing import ClassVar, Generic, Protocol

from everloop.contracts.errors import EverloopError
from everloop.contracts.ports import Clock
from everloop.contracts.serving import JobState
from everloop.serving.jobs.process import Ended, How, J, Launcher, LeasedJob

MOST_ATTEMPTS = 3
RETRY_S = 30.0
_BEATS = 6
"""Heartbeats within the time after which a heart counts as stopped."""
_TICK_S = 0.1

_logger = logging.getLogger(__name__)


class Leases(Protocol[J]):
    """Where jobs are claimed and left; ``JobStore`` and ``SyntheticJobStore`` are such."""

    def claim(
        self, worker: str, now: datetime, stale_after_s: float, loops: Sequence[str] | None = None
    ) -> J | None: ...

    def heartbeat(self, job_id: str, worker: str, now: datetime) -> bool: ...

    def finish(self, job: J, worker: str) -> bool: ...


class JobWorker(ABC, Generic[J]):
    """Runs jobs one after the other.

    Args:
        name: of this worker, unique among all processes.
        jobs: where jobs are.
        loops: what it can run.
        launcher: runs a job.
        clock: dates leases and ends.
        stale_after_s: after how long without a heartbeat a job is taken over.
        closing: set when the service stops.
        retry_s: pause after a first failed attempt, and twice that after a second; the lease is kept.
    """

    rests_aside: ClassVar[bool] = False
    """Whether other jobs run during that pause."""

    def __init__(
        self,
        name: str,
        jobs: Leases[J],
        loops: tuple[str, ...],
        launcher: Launcher[J],
        clock: Clock,
        stale_after_s: float,
        closing: Event,
        retry_s: float = RETRY_S,
    ) -> None:
        self._name = name
        self._jobs = jobs
        self._loops = loops
        self._launcher = launcher
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._closing = closing
        self._retry_s = retry_s
        self._resting: list[Thread] = []

    def work(self) -> bool:
        """Run the next job to its end; False when there is none."""
        job = self._jobs.claim(self._name, self._clock.now(), self._stale_after_s, self._loops)
        if job is None:
            return False
        if job.attempts > MOST_ATTEMPTS:
            self._fail(job, Ended(How.FAILED, error=_given_up(job)))
            return True
        _logger.info("job %s of %s/%s starts", job.job_id, job.tenant, job.loop)
        stop, lost = Event(), Event()
        heart = Thread(target=self._beat, args=(job, stop, lost), name="job-heartbeat")
        heart.start()
        aside = False
        try:
            ended = self._launched(job, stop)
            if ended.how is How.FAILED and _again(job, ended):
                if self.rests_aside:
                    rest = Thread(
                        target=self._rest, args=(job, ended, stop, lost, heart), name="job-rest"
                    )
                    self._resting = [other for other in self._resting if other.is_alive()]
                    self._resting.append(rest)
                    rest.start()
                    aside = True
                    return True
                stop.wait(self._retry_s * job.attempts)
        finally:
            if not aside:
                stop.set()
                heart.join()
        if not lost.is_set():
            self._store(job, ended)
        return True

    def settle(self, timeout_s: float) -> None:
        """Wait until jobs that rest are given back; once ``closing`` is set they are at once."""
        for rest in self._resting:
            rest.join(timeout_s)

    def _rest(self, job: J, ended: Ended, stop: Event, lost: Event, heart: Thread) -> None:
        """Hold a job that failed until it may be tried again, then give it back."""
        stop.wait(self._retry_s * job.attempts)
        stop.set()
        heart.join()
        if lost.is_set():
            return
        try:
            self._store(job, ended)
        except Exception:
            # without a heartbeat it is taken over
            _logger.warning("job %s could not be given back", job.job_id, exc_info=True)

    def _launched(self, job: J, stop: Event) -> Ended:
        try:
            return self._launcher(job, stop)
        except (EverloopError, OSError) as problem:
            return Ended(How.FAILED, error=str(problem))

    def _beat(self, job: J, stop: Event, lost: Event) -> None:
        beaten = time.monotonic()
        while not stop.wait(_TICK_S):
            if self._closing.is_set():
                stop.set()
                return
            if time.monotonic() - beaten < self._stale_after_s / _BEATS:
                continue
            beaten = time.monotonic()
            try:
                held = self._jobs.heartbeat(job.job_id, self._name, self._clock.now())
            except Exception:
                # whoever takes the job over meanwhile meets the run's own lock
                _logger.warning("no heartbeat for job %s", job.job_id, exc_info=True)
                continue
            if not held:
                _logger.warning("job %s was taken over", job.job_id)
                lost.set()
                stop.set()

    @abstractmethod
    def left(
        self, job: J, ended: Ended, state: JobState, attempts: int, finished_at: datetime | None
    ) -> J:
        """The job as it is left."""

    def _store(self, job: J, ended: Ended) -> None:
        queued, attempts = JobState.QUEUED, job.attempts
        if ended.how is How.SUCCEEDED:
            done = self.left(job, ended, JobState.SUCCEEDED, attempts, self._clock.now())
            self._jobs.finish(done, self._name)
        elif ended.how is How.STOPPED:
            self._jobs.finish(self.left(job, ended, queued, attempts - 1, None), self._name)
        elif _again(job, ended):
            self._jobs.finish(self.left(job, ended, queued, attempts, None), self._name)
        else:
            self._fail(job, ended)

    def _fail(self, job: J, ended: Ended) -> None:
        _logger.error("job %s failed: %s", job.job_id, ended.error)
        done = self.left(job, ended, JobState.FAILED, job.attempts, self._clock.now())
        self._jobs.finish(done, self._name)


def _again(job: LeasedJob, ended: Ended) -> bool:
    return job.attempts < MOST_ATTEMPTS and not ended.hopeless


def _given_up(job: LeasedJob) -> str:
    last = job.error or "the service ended while it ran"
    return f"Given up after {MOST_ATTEMPTS} attempts: {last}"
