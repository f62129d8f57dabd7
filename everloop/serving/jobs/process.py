"""A job as a process of its own: started, watched, stopped, and its end read.

The process outlives a service that is killed. It holds what it works on against other processes, so
whoever takes the job over waits for it and then finds what is done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Any, Generic, Protocol, TypeVar

BUSY = 4
"""Exit code: another process works on this."""

BAD_INPUT = 2
"""Exit code of every command: it was refused for what it was asked."""

NICENESS = 10
_TAIL_BYTES = 4096
_TAIL_LINES = 5
_POLL_S = 0.2


class How(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job's process ended.

    Attributes:
        error: the last that was heard of one that failed.
        hopeless: it was refused for what it was asked, and would be again.
    """

    how: How
    run_id: str = ""
    error: str = ""
    hopeless: bool = False


class LeasedJob(Protocol):
    """What every kind of job has."""

    @property
    def job_id(self) -> str: ...

    @property
    def tenant(self) -> str: ...

    @property
    def loop(self) -> str: ...

    @property
    def attempts(self) -> int: ...

    @property
    def error(self) -> str: ...


J = TypeVar("J", bound=LeasedJob)
J_contra = TypeVar("J_contra", bound=LeasedJob, contravariant=True)


class Launcher(Protocol[J_contra]):
    """Runs a job to its end, or until ``stop`` is set."""

    def __call__(self, job: J_contra, stop: Event, /) -> Ended: ...


class ProcessLauncher(ABC, Generic[J]):
    """Runs jobs through the command line of this installation, at low priority.

    Args:
        logs: folder that gets ``<job_id>.log`` with what a process says.
        busy_retry_s: how often it asks whether another process has left what the job works on.
        grace_s: how long each signal of a stop may take before the next, harder one.
    """

    def __init__(self, logs: Path, busy_retry_s: float = 5.0, grace_s: float = 5.0) -> None:
        self._logs = logs
        self._busy_retry_s = busy_retry_s
        self._grace_s = grace_s

    def __call__(self, job: J, stop: Event, /) -> Ended:
        """See ``Launcher``."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{job.job_id}.log"
        while True:
            with tempfile.TemporaryFile() as answer, log.open("ab") as told:
                code = self._run(self.command(job), answer, told, stop)
                if code is None:
                    return Ended(How.STOPPED)
                if code != BUSY:
                    answer.seek(0)
                    return self.ended(code, answer.read(), log)
            if stop.wait(self._busy_retry_s):
                return Ended(How.STOPPED)

    @abstractmethod
    def command(self, job: J) -> list[str]:
        """The command line; the same for the same job, so that whoever repeats it continues."""

    def ended(self, code: int, answer: bytes, log: Path) -> Ended:  # noqa: ARG002
        """What an exit code, standard output and the log say."""
        return Ended(How.SUCCEEDED) if code == 0 else failed(code, log)

    def _run(self, command: list[str], out: Any, told: Any, stop: Event) -> int | None:
        """Exit code; ``None`` when it was stopped."""
        with subprocess.Popen(  # noqa: S603  (our own command line, no shell)
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=told, start_new_session=True
        ) as child:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
            while True:
                try:
                    return child.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    if stop.is_set():
                        self._stop(child)
                        return None

    def _stop(self, child: subprocess.Popen[bytes]) -> None:
        """End the process and its children; interrupted first, so that its record says so."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            try:
                child.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                continue
            break
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def failed(code: int, log: Path) -> Ended:
    """A process that failed without another word than its log's last lines."""
    ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return Ended(How.FAILED, "", "\n".join((ending, *_tail(log))), code == BAD_INPUT)


def _tail(log: Path) -> list[str]:
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-_TAIL_LINES:]
