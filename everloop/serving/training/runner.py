"""A training job as a process of its own: started, watched, stopped, and its end read.

The process outlives a service that is killed. It holds its date against other processes, so whoever
takes the job over waits for it and then finds every stage done.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import TrainingJob

BUSY = 4
"""Exit code of ``everloop run daily``: another process runs this loop and date."""

BAD_INPUT = 2
"""Exit code of every command: it was refused for what it was asked."""

NICENESS = 10
FOLDER = "training"
_TAIL_BYTES = 4096
_TAIL_LINES = 5
_POLL_S = 0.2


class How(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        error: the last that was heard of a run that failed.
        hopeless: it was refused for what it was asked, and would be again.
    """

    how: How
    run_id: str = ""
    error: str = ""
    hopeless: bool = False


class Launcher(Protocol):
    """Runs a job to its end, or until ``stop`` is set."""

    def __call__(self, job: TrainingJob, stop: Event) -> Ended: ...


class RunLauncher:
    """Runs jobs through the command line of this installation, at low priority.

    Args:
        home: the workspace; ``training/<job_id>.log`` in it gets what a run says.
        sources: loop name -> what ``--loop`` names.
        busy_retry_s: how often it asks whether another process has left the date.
        grace_s: how long each signal of a stop may take before the next, harder one.
    """

    def __init__(
        self,
        home: Path,
        sources: Mapping[str, str],
        busy_retry_s: float = 5.0,
        grace_s: float = 5.0,
    ) -> None:
        self._home = home
        self._sources = sources
        self._busy_retry_s = busy_retry_s
        self._grace_s = grace_s

    def __call__(self, job: TrainingJob, stop: Event) -> Ended:
        """See ``Launcher``; ``ShouldNameKnownId`` for a loop that isn't served here."""
        folder = self._home / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{job.job_id}.log"
        while True:
            with tempfile.TemporaryFile() as answer, log.open("ab") as told:
                code = self._run(self.command(job), answer, told, stop)
                if code is None:
                    return Ended(How.STOPPED)
                if code != BUSY:
                    answer.seek(0)
                    return _ended(code, answer.read(), log)
            if stop.wait(self._busy_retry_s):
                return Ended(How.STOPPED)

    def command(self, job: TrainingJob) -> list[str]:
        """The command line; the same for the same job, so that whoever repeats it continues."""
        if job.loop not in self._sources:
            raise ShouldNameKnownId(
                f"This service has no loop {job.loop!r}.",
                f"It has: {', '.join(sorted(self._sources))}.",
            )
        line = [
            *(sys.executable, "-m", "everloop", "run", "daily", "--json"),
            f"--loop={self._sources[job.loop]}",
            f"--date={job.logical_date.isoformat()}",
            f"--tenant={job.tenant}",
            f"--reading={job.job_id}",
            f"--home={self._home}",
        ]
        return [*line, "--intraday"] if job.logical_date >= job.created_at.date() else line

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
        """End the run and its stages; interrupted first, so that its record says so."""
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


def _ended(code: int, answer: bytes, log: Path) -> Ended:
    record = _record(answer)
    run_id = str(record.get("run_id", ""))
    if code == 0 and record.get("status") == "succeeded":
        return Ended(How.SUCCEEDED, run_id)
    if record:
        return Ended(How.FAILED, run_id, str(record.get("verdict", "")))
    ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return Ended(How.FAILED, "", "\n".join((ending, *_tail(log))), code == BAD_INPUT)


def _record(answer: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}


def _tail(log: Path) -> list[str]:
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-_TAIL_LINES:]
