"""A service that is killed while it trains: its run goes on, and is found by whoever comes next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from everloop import settings
from everloop.contracts.serving import JobState, TrainingJob
from everloop.serving.training.runner import RunLauncher
from everloop.serving.training.trigger import TrainingTrigger
from everloop.storage.local.clock import SystemClock
from everloop.wiring import open_workspace
from tests.log_records import episode, loop_spec

STALE_S = 1.5

RUN = """
import fcntl, json, pathlib, sys, time
home = pathlib.Path(sys.argv[1])
lock = (home / "lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    with (home / "said").open("a") as said:
        said.write("busy\\n")
    sys.exit(4)
with (home / "said").open("a") as said:
    said.write("started\\n")
while not (home / "go on").exists():
    time.sleep(0.05)
with (home / "said").open("a") as said:
    said.write("ended\\n")
print(json.dumps([{"status": "succeeded", "run_id": "walk-1"}]))
"""
"""Like ``everloop run daily``: exclusive, and idempotent."""

SERVICE = """
import sys, time
from tests.faults.test_training_killed import trigger
trigger(sys.argv[1]).start()
time.sleep(600)
"""


class Scripted(RunLauncher):
    """Runs ``RUN`` in place of the command line."""

    def command(self, job: TrainingJob) -> list[str]:
        return [sys.executable, "-c", RUN, str(self._home)]


def trigger(home: str) -> TrainingTrigger:
    spec = loop_spec(closes_after=0).model_copy(
        update={"serving": loop_spec().serving.model_copy(update={"train_after_episodes": 5})}
    )
    place = open_workspace(home)
    launcher = Scripted(place.home, {"walk": "walk.yaml"}, busy_retry_s=0.2)
    arguments: dict[str, Any] = {"poll_s": 0.1, "launcher": launcher, "stale_after_s": STALE_S}
    return TrainingTrigger(place, {"walk": spec}, {"walk": "walk.yaml"}, SystemClock(), **arguments)


def wait_for(said: Path, word: str, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not (said.exists() and word in said.read_text()):
        assert time.monotonic() < give_up, f"nobody said {word}"
        time.sleep(0.05)


@pytest.mark.timeout(180)
def test_a_run_survives_its_service_and_the_next_one_waits_for_it(tmp_path: Path) -> None:
    settings.initialise(tmp_path)
    place, said = open_workspace(tmp_path), tmp_path / "said"
    place.log.append_episodes([episode(n, at=datetime.now(UTC)) for n in range(5)])
    line = [sys.executable, "-c", SERVICE, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(line, cwd=root) as service:
        wait_for(said, "started")
        os.kill(service.pid, signal.SIGKILL)
    (job,) = place.jobs.jobs()
    assert job.state is JobState.RUNNING

    others = [trigger(str(tmp_path)) for _ in range(2)]
    for other in others:
        other.start()
    try:
        wait_for(said, "busy")
        assert said.read_text().count("started") == 1
        (tmp_path / "go on").touch()
        give_up = time.monotonic() + 60
        while (found := place.jobs.job(job.job_id)).state is JobState.RUNNING:
            assert time.monotonic() < give_up
            time.sleep(0.1)
    finally:
        for other in others:
            other.close()
    assert (found.state, found.run_id, found.attempts) == (JobState.SUCCEEDED, "walk-1", 2)
    assert len(place.jobs.jobs()) == 1
    assert said.read_text().replace("busy\n", "") == "started\nended\n" * 2
