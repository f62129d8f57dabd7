"""One worker: claims a job, keeps its lease while it runs, and stores how it ended."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from threading import Event, Thread

from everloop.contracts.errors import EverloopError
from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import JobStore
from everloop.contracts.serving import JobState, TrainingJob
from everloop.serving.training.runner import Ended, How, Launcher

MOST_ATTEMPTS = 3
RETRY_S = 30.0
_BEATS = 6
"""Heartbeats within the time after which a heart counts as stopped."""
_TICK_S = 0.1

_logger = logging.getLogger(__name__)


class Worker:
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

    def __init__(
        self,
        name: str,
        jobs: JobStore,
        loops: tuple[str, ...],
        launcher: Launcher,
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

    def work(self) -> bool:
        """Run the next job to its end; False when there is none."""
        job = self._jobs.claim(self._name, self._clock.now(), self._stale_after_s, self._loops)
        if job is None:
            return False
        if job.attempts > MOST_ATTEMPTS:
            self._fail(job, Ended(How.FAILED, job.run_id, _given_up(job)))
            return True
        _logger.info("training job %s of %s/%s starts", job.job_id, job.tenant, job.loop)
        stop, lost = Event(), Event()
        heart = Thread(target=self._beat, args=(job, stop, lost), name="training-heartbeat")
        heart.start()
        try:
            ended = self._launched(job, stop)
            if ended.how is How.FAILED and _again(job, ended):
                stop.wait(self._retry_s * job.attempts)
        finally:
            stop.set()
            heart.join()
        if not lost.is_set():
            self._store(job, ended)
        return True

    def _launched(self, job: TrainingJob, stop: Event) -> Ended:
        try:
            return self._launcher(job, stop)
        except (EverloopError, OSError) as problem:
            return Ended(How.FAILED, error=str(problem))

    def _beat(self, job: TrainingJob, stop: Event, lost: Event) -> None:
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
                _logger.warning("no heartbeat for training job %s", job.job_id, exc_info=True)
                continue
            if not held:
                _logger.warning("training job %s was taken over", job.job_id)
                lost.set()
                stop.set()

    def _store(self, job: TrainingJob, ended: Ended) -> None:
        if ended.how is How.SUCCEEDED:
            done = replace(job, state=JobState.SUCCEEDED, run_id=ended.run_id, error="")
            self._jobs.finish(replace(done, finished_at=self._clock.now()), self._name)
        elif ended.how is How.STOPPED:
            back = replace(job, state=JobState.QUEUED, attempts=job.attempts - 1)
            self._jobs.finish(back, self._name)
        elif _again(job, ended):
            back = replace(job, state=JobState.QUEUED, run_id=ended.run_id, error=ended.error)
            self._jobs.finish(back, self._name)
        else:
            self._fail(job, ended)

    def _fail(self, job: TrainingJob, ended: Ended) -> None:
        _logger.error("training job %s failed: %s", job.job_id, ended.error)
        done = replace(job, state=JobState.FAILED, run_id=ended.run_id, error=ended.error)
        self._jobs.finish(replace(done, finished_at=self._clock.now()), self._name)


def _again(job: TrainingJob, ended: Ended) -> bool:
    return job.attempts < MOST_ATTEMPTS and not ended.hopeless


def _given_up(job: TrainingJob) -> str:
    last = job.error or "the service ended while it ran"
    return f"Given up after {MOST_ATTEMPTS} attempts: {last}"
