"""A training job as a run of ``everloop run daily`` in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import TrainingJob
from everloop.serving.jobs import process
from everloop.serving.jobs.process import BUSY, NICENESS, Ended, How, ProcessLauncher

__all__ = ["BUSY", "NICENESS", "Ended", "How", "Launcher", "RunLauncher"]

FOLDER = "training"

Launcher = process.Launcher[TrainingJob]


class RunLauncher(ProcessLauncher[TrainingJob]):
    """Runs jobs through the command line of this installation, at low priority.

    Args:
        home: the workspace; ``training/<job_id>.log`` in it gets what a run says.
        sources: loop name -> what ``--loop`` names.
        busy_retry_s, grace_s: see ``ProcessLauncher``.
    """

    def __init__(
        self,
        home: Path,
        sources: Mapping[str, str],
        busy_retry_s: float = 5.0,
        grace_s: float = 5.0,
    ) -> None:
        super().__init__(home / FOLDER, busy_retry_s, grace_s)
        self._home = home
        self._sources = sources

    def command(self, job: TrainingJob) -> list[str]:
        """See ``ProcessLauncher``; ``ShouldNameKnownId`` for a loop that isn't served here."""
        line = [
            *(sys.executable, "-m", "everloop", "run", "daily", "--json"),
            f"--loop={source_of(job.loop, self._sources)}",
            f"--date={job.logical_date.isoformat()}",
            f"--tenant={job.tenant}",
            f"--reading={job.job_id}",
            f"--home={self._home}",
        ]
        return [*line, "--intraday"] if job.logical_date >= job.created_at.date() else line

    def ended(self, code: int, answer: bytes, log: Path) -> Ended:
        """See ``ProcessLauncher``; the run's record tells more than its exit code."""
        record = _record(answer)
        run_id = str(record.get("run_id", ""))
        if code == 0 and record.get("status") == "succeeded":
            return Ended(How.SUCCEEDED, run_id)
        if record:
            return Ended(How.FAILED, run_id, str(record.get("verdict", "")))
        return process.failed(code, log)


def source_of(loop: str, sources: Mapping[str, str]) -> str:
    """What ``--loop`` names; ``ShouldNameKnownId`` for a loop that isn't served here."""
    if loop not in sources:
        raise ShouldNameKnownId(
            f"This service has no loop {loop!r}.", f"It has: {', '.join(sorted(sources))}."
        )
    return sources[loop]


def _record(answer: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
