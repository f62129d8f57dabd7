"""A training job as a run on Kubeflow, submitted and followed by a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from everloop.contracts.serving import TrainingJob
from everloop.serving.jobs import process
from everloop.serving.jobs.process import Ended, How, ProcessLauncher
from everloop.serving.training.runner import FOLDER, source_of

UNREACHED = 5
"""Exit code of ``everloop submit``: Kubeflow did not answer, or did not let us in."""

_SUCCEEDED = "SUCCEEDED"
_ENDED_BY_SOMEBODY = frozenset({"CANCELING", "CANCELED"})


class ClusterLauncher(ProcessLauncher[TrainingJob]):
    """Submits jobs with the command line of this installation, and follows their runs.

    A job's run is named after the job. Whoever takes the job over, after a restart or from a service that
    died, finds that run and follows it, with whatever code and platform; only after a run that failed the
    next attempt starts another, and one that was cancelled ends the job. Stopping ends the following, never
    the run; while nothing is heard of a run that was submitted, it is followed again.

    Args:
        home: the workspace; ``training/<job_id>.log`` in it gets what is said.
        sources: loop name -> what ``--loop`` names.
        platform: the cluster's file.
        poll_s: seconds between two looks at a run.
        busy_retry_s, grace_s: see ``ProcessLauncher``.
    """

    def __init__(
        self,
        home: Path,
        sources: Mapping[str, str],
        platform: Path,
        poll_s: float = 15.0,
        busy_retry_s: float = 5.0,
        grace_s: float = 5.0,
    ) -> None:
        super().__init__(home / FOLDER, busy_retry_s, grace_s)
        self._sources = sources
        self._platform = platform
        self._poll_s = poll_s

    def __call__(self, job: TrainingJob, stop: Event, /) -> Ended:
        """See ``ProcessLauncher``; a run that was submitted is followed until it has ended."""
        submitted = False
        while True:
            ended = super().__call__(job, stop)
            submitted = submitted or (isinstance(ended, _Unheard) and bool(ended.run_id))
            if not (submitted and isinstance(ended, _Unheard)):
                return ended
            if stop.wait(self._busy_retry_s):
                return Ended(How.STOPPED)

    def command(self, job: TrainingJob) -> list[str]:
        """See ``ProcessLauncher``; ``ShouldNameKnownId`` for a loop that isn't served here."""
        line = [
            *(sys.executable, "-m", "everloop", "submit", "--wait", "--json"),
            f"--platform={self._platform}",
            f"--loop={source_of(job.loop, self._sources)}",
            f"--date={job.logical_date.isoformat()}",
            f"--tenant={job.tenant}",
            f"--parameter=refresh={job.job_id}",
            f"--job={job.job_id}",
            f"--poll={self._poll_s}",
        ]
        return [*line, "--intraday"] if job.logical_date >= job.created_at.date() else line

    def ended(self, code: int, answer: bytes, log: Path) -> Ended:
        """See ``ProcessLauncher``; the run's state on the cluster tells more than the exit code."""
        run = _run(answer)
        run_id, state = str(run.get("run_id", "")), str(run.get("state", ""))
        if code == UNREACHED:
            return _Unheard(How.FAILED, run_id, process.failed(code, log).error)
        if not run:
            return process.failed(code, log)
        if code == 0 and state == _SUCCEEDED:
            return Ended(How.SUCCEEDED, run_id)
        return Ended(
            How.FAILED,
            run_id,
            f"{state.lower()}: {run.get('error') or run.get('url', '')}",
            hopeless=state in _ENDED_BY_SOMEBODY,
        )


class _Unheard(Ended):
    """Kubeflow did not answer, or did not let us in; ``run_id``: the run was submitted, and goes on."""


def _run(answer: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
