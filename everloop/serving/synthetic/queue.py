"""The queue of synthetic jobs: one process at a time, oldest job first, in each service."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

from everloop.contracts.ports import Clock
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import SyntheticJob
from everloop.serving.jobs import process
from everloop.serving.jobs.process import Ended, How, Launcher, ProcessLauncher
from everloop.serving.jobs.worker import JobWorker
from everloop.serving.training.runner import source_of
from everloop.wiring import Workspace

STALE_AFTER_S = 60.0
LOGS = "logs/synthetic"
_CLOSE_S = 30.0

_logger = logging.getLogger(__name__)


class SynthesisLauncher(ProcessLauncher[SyntheticJob]):
    """Runs ``everloop synth work`` for a job that a worker holds; the command stores the job's end.

    Args:
        home: the workspace; ``logs/synthetic/<job_id>.log`` in it gets what is said.
        sources: loop name -> what ``--loop`` names.
        worker: who holds the jobs.
        busy_retry_s, grace_s: see ``ProcessLauncher``.
    """

    def __init__(
        self,
        home: Path,
        sources: Mapping[str, str],
        worker: str,
        busy_retry_s: float = 2.0,
        grace_s: float = 5.0,
    ) -> None:
        super().__init__(home / LOGS, busy_retry_s, grace_s)
        self._home, self._sources, self._worker = home, sources, worker

    def ended(self, code: int, answer: bytes, log: Path) -> Ended:
        """See ``ProcessLauncher``; a failure is told in the command's own words, which it answers with.

        What else it said, such as a traceback, stays in the log.
        """
        if code == 0:
            return Ended(How.SUCCEEDED)
        heard = process.failed(code, log)
        _logger.error("%s: %s", log, heard.error)
        told = answer.decode(errors="replace").strip()
        return Ended(How.FAILED, error=told or unexpected(code, log.stem), hopeless=heard.hopeless)

    def command(self, job: SyntheticJob) -> list[str]:
        """See ``ProcessLauncher``; ``ShouldNameKnownId`` for a loop that isn't served here."""
        return [
            *(sys.executable, "-m", "everloop", "synth", "work", job.job_id),
            f"--loop={source_of(job.loop, self._sources)}",
            f"--tenant={job.tenant}",
            f"--worker={self._worker}",
            f"--home={self._home}",
        ]


def unexpected(code: int, job_id: str) -> str:
    """What is told of a process that ended without a word of ours."""
    ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"It failed unexpectedly ({ending}). Ask the operator of the service to read "
        f"{LOGS}/{job_id}.log in its workspace."
    )


class SyntheticWorker(JobWorker[SyntheticJob]):
    """Works on synthetic jobs; see ``JobWorker``. One that fails keeps no other tenant's waiting."""

    rests_aside = True

    def left(
        self,
        job: SyntheticJob,
        ended: Ended,
        state: JobState,
        attempts: int,
        finished_at: datetime | None,
    ) -> SyntheticJob:
        """See ``JobWorker``; one that succeeded has stored its end itself."""
        known = job if ended.how is How.STOPPED else replace(job, error=ended.error)
        return replace(known, state=state, attempts=attempts, finished_at=finished_at)


class SyntheticQueue:
    """Works on the jobs of every tenant's loops, in one thread.

    Args:
        workspace: where the jobs are.
        sources: name -> what ``--loop`` named, of the loops that are served.
        clock: dates leases and ends.
        poll_s: seconds between two looks.
        launcher: runs a job; by default in a process of its own.
        stale_after_s: after how long without a sign of life a job is taken over.
        name: of the worker, unique among all processes; made here when left out.
    """

    def __init__(
        self,
        workspace: Workspace,
        sources: Mapping[str, str],
        clock: Clock,
        poll_s: float = 2.0,
        launcher: Launcher[SyntheticJob] | None = None,
        stale_after_s: float = STALE_AFTER_S,
        name: str = "",
    ) -> None:
        self._poll_s = poll_s
        self._closing, self._asked = Event(), Event()
        name = name or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._worker = SyntheticWorker(
            name,
            workspace.synthetic_jobs,
            tuple(sources),
            launcher or SynthesisLauncher(workspace.home, sources, name),
            clock,
            stale_after_s,
            self._closing,
        )
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to work, in a thread of this process."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="synthetic", daemon=True)
            self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether jobs are worked on; True where it was not started."""
        return self._thread is None or self._thread.is_alive()

    def look(self) -> None:
        """Look for a job at once: one was asked for."""
        self._asked.set()

    def close(self) -> None:
        """Stop; a job that is under way is given back, to be continued."""
        self._closing.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
            self._thread = None
        self._worker.settle(_CLOSE_S)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                if self._worker.work():
                    continue
            except Exception:
                _logger.warning("synthetic jobs will be looked for again", exc_info=True)
            if self._asked.wait(self._poll_s):
                self._asked.clear()
