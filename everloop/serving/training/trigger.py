"""Starts training when it is due: once, however many services share the workspace."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date
from pathlib import Path
from threading import Event, Thread

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import JobStore
from everloop.contracts.serving import EARLIEST_DAY, JobCause, JobState, TrainingJob
from everloop.serving.training.backlog import Backlogs
from everloop.serving.training.cluster import ClusterLauncher
from everloop.serving.training.runner import Launcher, RunLauncher
from everloop.serving.training.worker import Worker
from everloop.wiring import Workspace

ACTOR = "service:trigger"
STALE_AFTER_S = 60.0
_CLOSE_S = 30.0

_logger = logging.getLogger(__name__)


class TrainingTrigger:
    """Watches every tenant's backlog, and runs jobs one at a time.

    Args:
        workspace: where the log and the jobs are.
        loops: name -> specification of the loops that are served.
        sources: name -> what ``--loop`` named.
        clock: says what is due.
        poll_s: seconds between two looks.
        launcher: runs a job; by default in a process of its own, or on the cluster of ``platform``.
        platform: file of the Kubeflow cluster that trainings go to; ``None``: they run on this machine.
        stale_after_s: after how long without a sign of life a job is taken over.
    """

    def __init__(
        self,
        workspace: Workspace,
        loops: Mapping[str, LoopSpec],
        sources: Mapping[str, str],
        clock: Clock,
        poll_s: float = 5.0,
        launcher: Launcher | None = None,
        stale_after_s: float = STALE_AFTER_S,
        platform: Path | None = None,
    ) -> None:
        if not poll_s > 0:
            raise ShouldFixArgument(f"poll_s={poll_s} is not above 0.", "Give seconds.")
        self._jobs: JobStore = workspace.jobs
        self._loops = dict(loops)
        self._clock = clock
        self._poll_s = poll_s
        self._closing, self._asked = Event(), Event()
        self._backlogs = Backlogs(self._jobs, self._loops, clock)
        self._worker = Worker(
            f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
            self._jobs,
            tuple(self._loops),
            launcher or _launcher(workspace.home, sources, platform),
            clock,
            stale_after_s,
            self._closing,
        )
        self._threads: tuple[Thread, ...] = ()

    def start(self) -> None:
        """Begin to watch and to work, in two threads of this process."""
        if self._threads:
            return
        self._threads = (
            Thread(target=self._repeat, args=(self._watch,), name="training-watch", daemon=True),
            Thread(target=self._repeat, args=(self._worker.work,), name="training", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether backlogs are watched and jobs run; True where it was not started."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop; a run that is under way is ended and its job given back to be continued."""
        self._closing.set()
        self._asked.set()
        for thread in self._threads:
            thread.join(_CLOSE_S)
        self._threads = ()

    def request(self, loop: str, tenant: str, logical_date: date, actor: str) -> TrainingJob:
        """Ask for a training now; the open job where there is one of this date.

        Raises:
            ShouldFixArgument: the date is ahead, or before anything was logged.
            ShouldResolveConflict: a job of another date is open.
        """
        self._check_date(loop, tenant, logical_date)
        job = self._job(loop, tenant, logical_date, JobCause.MANUAL, actor)
        found = self._jobs.request(job)
        if found.logical_date != logical_date:
            raise ShouldResolveConflict(
                f"Training job {found.job_id} of {loop} for {found.logical_date} is {found.state}: "
                f"one for {logical_date} was not queued.",
                f"Ask again when GET /api/ml/train/{found.job_id} says that it has ended.",
            )
        self._asked.set()
        return found

    def _check_date(self, loop: str, tenant: str, logical_date: date) -> None:
        today = self._clock.now().astimezone(UTC).date()
        if logical_date > today:
            raise ShouldFixArgument(
                f"date={logical_date} has not begun: it is {today} (UTC).",
                "Choose an earlier date.",
            )
        first = self._jobs.first_decided(loop, tenant)
        earliest = EARLIEST_DAY if first is None else max(EARLIEST_DAY, first.date())
        if logical_date < min(earliest, today):
            raise ShouldFixArgument(
                f"date={logical_date}: there is nothing to learn from before {earliest}.",
                "Choose a later date.",
            )

    def look(self) -> tuple[TrainingJob, ...]:
        """Request what is due now; the jobs that this look made."""
        made = []
        for backlog in self._backlogs.look():
            now = self._clock.now().astimezone(UTC)
            cause = backlog.due(self._loops[backlog.loop].serving, now)
            if cause is None:
                continue
            job = self._job(backlog.loop, backlog.tenant, now.date(), cause, ACTOR, backlog.until)
            if self._jobs.request(job, backlog.last_id).job_id == job.job_id:
                _logger.info(
                    "training of %s/%s is due (%s): job %s",
                    *(job.tenant, job.loop, cause, job.job_id),
                )
                made.append(job)
        if made:
            self._asked.set()
        return tuple(made)

    def _job(
        self,
        loop: str,
        tenant: str,
        logical_date: date,
        cause: JobCause,
        actor: str,
        watermark: int | None = None,
    ) -> TrainingJob:
        return TrainingJob(
            job_id=str(uuid.uuid4()),
            tenant=tenant,
            loop=loop,
            logical_date=logical_date,
            cause=cause,
            state=JobState.QUEUED,
            requested_by=actor,
            watermark=self._jobs.last_episode(tenant) if watermark is None else watermark,
            created_at=self._clock.now().astimezone(UTC),
        )

    def _watch(self) -> bool:
        self.look()
        return False

    def _repeat(self, step: Callable[[], bool]) -> None:
        """Repeat a step at once while it finds work, else after a pause; a problem is a pause too."""
        while not self._closing.is_set():
            try:
                if step():
                    continue
            except Exception:
                _logger.warning("training: %s will be tried again", step.__name__, exc_info=True)
            self._pause(step)

    def _pause(self, step: Callable[[], bool]) -> None:
        if step == self._watch:
            self._closing.wait(self._poll_s)
        elif self._asked.wait(self._poll_s):
            self._asked.clear()


def _launcher(home: Path, sources: Mapping[str, str], platform: Path | None) -> Launcher:
    if platform is None:
        return RunLauncher(home, sources)
    return ClusterLauncher(home, sources, platform)
