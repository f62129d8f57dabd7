"""The worker of training jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from everloop.contracts.serving import JobState, TrainingJob
from everloop.serving.jobs.process import Ended, How
from everloop.serving.jobs.worker import MOST_ATTEMPTS, JobWorker

__all__ = ["MOST_ATTEMPTS", "Worker"]


class Worker(JobWorker[TrainingJob]):
    """Runs the daily graph; see ``JobWorker``."""

    def left(
        self,
        job: TrainingJob,
        ended: Ended,
        state: JobState,
        attempts: int,
        finished_at: datetime | None,
    ) -> TrainingJob:
        """See ``JobWorker``; a run that was stopped changes nothing of what was known."""
        known = (
            job
            if ended.how is How.STOPPED
            else replace(job, run_id=ended.run_id or job.run_id, error=ended.error)
        )
        return replace(known, state=state, attempts=attempts, finished_at=finished_at)
