"""A training job as a run on Kubeflow, submitted and followed by a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.contracts.serving import TrainingJob
from everloop.serving.jobs import process
from everloop.serving.jobs.process import Ended, How, ProcessLauncher
from everloop.serving.training.runner import FOLDER, source_of

_SUCCEEDED = "SUCCEEDED"


class ClusterLauncher(ProcessLauncher[TrainingJob]):
    """Submits jobs with the command line of this installation, and follows their runs.

    A job's run is named after the job. Whoever takes the job over, after a restart or from a service that
    died, finds that run and follows it; only after a run that failed the next attempt starts another.
    Stopping ends the following, never the run.

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

    def command(self, job: TrainingJob) -> list[str]:
        """See ``ProcessLauncher``; ``ShouldNameKnownId`` for a loop that isn't served here."""
        return [
            *(sys.executable, "-m", "everloop", "submit", "--wait", "--json"),
            f"--platform={self._platform}",
            f"--loop={source_of(job.loop, self._sources)}",
            f"--date={job.logical_date.isoformat()}",
            f"--tenant={job.tenant}",
            f"--parameter=refresh={job.job_id}",
            f"--poll={self._poll_s}",
        ]

    def ended(self, code: int, answer: bytes, log: Path) -> Ended:
        """See ``ProcessLauncher``; the run's state on the cluster tells more than the exit code."""
        run = _run(answer)
        if not run:
            return process.failed(code, log)
        run_id, state = str(run.get("run_id", "")), str(run.get("state", ""))
        if code == 0 and state == _SUCCEEDED:
            return Ended(How.SUCCEEDED, run_id)
        return Ended(
            How.FAILED, run_id, f"{state.lower()}: {run.get('error') or run.get('url', '')}"
        )


def _run(answer: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
