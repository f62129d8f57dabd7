"""The queue of synthetic jobs: its command line, how jobs are left, and a service that closes."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import SyntheticJob
from everloop.serving.jobs.process import Ended, How
from everloop.serving.synthetic.queue import SynthesisLauncher, SyntheticQueue
from everloop.storage.local.clock import SystemClock
from everloop.wiring import Workspace, open_workspace
from tests.conformance.test_synthetic_job_store import FILE, job
from tests.unit.serving.training.test_trigger import until


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path)
    return open_workspace(tmp_path)


class Scripted:
    """A launcher that ends as it is told, and waits where it is told to."""

    def __init__(self, *endings: Ended) -> None:
        self.endings = list(endings)
        self.started = threading.Event()
        self.jobs: list[SyntheticJob] = []

    def __call__(self, one: SyntheticJob, stop: Event, /) -> Ended:
        self.jobs.append(one)
        self.started.set()
        if self.endings:
            return self.endings.pop(0)
        assert stop.wait(30)
        return Ended(How.STOPPED)


def queue(workspace: Workspace, launcher: Scripted) -> SyntheticQueue:
    return SyntheticQueue(workspace, {"walk": "walk.yaml"}, SystemClock(), 0.05, launcher, name="w")


def test_the_command_line_names_the_job_and_its_holder(tmp_path: Path) -> None:
    launcher = SynthesisLauncher(tmp_path, {"walk": "/etc/walk.yaml"}, "host:1:x")
    assert launcher.command(job(tenant="other")) == [
        *(sys.executable, "-m", "everloop", "synth", "work", job().job_id),
        "--loop=/etc/walk.yaml",
        "--tenant=other",
        "--worker=host:1:x",
        f"--home={tmp_path}",
    ]
    with pytest.raises(ShouldNameKnownId, match="run"):
        launcher.command(job(loop="run"))


def test_a_hopeless_job_fails_with_its_last_words(workspace: Workspace) -> None:
    workspace.synthetic_jobs.request(job())
    launcher = Scripted(Ended(How.FAILED, error="the loop has changed", hopeless=True))
    running = queue(workspace, launcher)
    running.start()
    assert running.alive
    try:
        until(lambda: workspace.synthetic_jobs.job(job().job_id).state is JobState.FAILED)
    finally:
        running.close()
    found = workspace.synthetic_jobs.job(job().job_id)
    assert (found.error, found.outputs, found.attempts) == ("the loop has changed", (), 1)
    assert found.finished_at is not None


def test_a_job_that_failed_keeps_no_other_waiting(workspace: Workspace) -> None:
    """The pause before it is tried again is half a minute; the next job has long been done by then."""
    jobs = workspace.synthetic_jobs
    jobs.request(job(1))
    jobs.request(job(2, tenant="other"))
    running = queue(workspace, launcher := Scripted(Ended(How.FAILED, error="no such luck")))
    running.start()
    try:
        until(lambda: len(launcher.jobs) == 2)
        assert [one.tenant for one in launcher.jobs] == ["default", "other"]
        assert jobs.job(job(1).job_id).state is JobState.RUNNING, "its lease is kept"
    finally:
        running.close()
    found = jobs.job(job(1).job_id)
    assert (found.state, found.attempts, found.error) == (JobState.QUEUED, 1, "no such luck")
    assert jobs.job(job(2).job_id, "other").state is JobState.QUEUED


class Says(SynthesisLauncher):
    """Runs a line of Python instead of the command."""

    line = ""

    def command(self, job: SyntheticJob) -> list[str]:
        return [sys.executable, "-c", self.line]


@pytest.mark.parametrize(
    ("line", "code_says", "hopeless"),
    [
        ("import sys; print('No room. Free some.'); sys.exit(1)", "No room. Free some.", False),
        ("import sys; print('It has changed.'); sys.exit(2)", "It has changed.", True),
        ("raise OverflowError('/srv/secret/place.py')", "failed unexpectedly (exit code 1)", False),
        ("import os; os.kill(os.getpid(), 9)", "failed unexpectedly (killed by signal 9)", False),
    ],
)
def test_a_failure_is_told_in_our_words_and_logged_in_full(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    line: str,
    code_says: str,
    hopeless: bool,
) -> None:
    launcher = Says(tmp_path, {}, "w")
    launcher.line = line
    ended = launcher(job(), Event())
    assert (ended.how, ended.hopeless) == (How.FAILED, hopeless)
    assert code_says in ended.error
    assert "Traceback" not in ended.error
    assert "/srv" not in ended.error
    if "Overflow" in line:
        assert "/srv/secret/place.py" in caplog.text
        assert "OverflowError" in (tmp_path / "logs/synthetic" / f"{job().job_id}.log").read_text()


def test_a_service_that_closes_gives_its_job_back(workspace: Workspace) -> None:
    running = queue(workspace, launcher := Scripted())
    running.start()
    workspace.synthetic_jobs.request(job())
    running.look()
    assert launcher.started.wait(30)
    (held,) = launcher.jobs
    assert workspace.synthetic_jobs.progress(held.job_id, "w", 4, 10, SystemClock().now())
    running.close()
    found = workspace.synthetic_jobs.job(job().job_id)
    assert (found.state, found.attempts, found.done) == (JobState.QUEUED, 0, 4)


def test_an_end_that_the_process_stored_stands(workspace: Workspace) -> None:
    """The command stores the files itself; the worker knows none of them."""
    jobs = workspace.synthetic_jobs
    jobs.request(job())

    class Stores(Scripted):
        def __call__(self, one: SyntheticJob, stop: Event, /) -> Ended:
            done = replace(one, state=JobState.SUCCEEDED, outputs=(FILE,), done=10)
            assert jobs.finish(replace(done, finished_at=SystemClock().now()), "w")
            self.started.set()
            return Ended(How.SUCCEEDED)

    running = queue(workspace, launcher := Stores())
    running.start()
    assert launcher.started.wait(30)
    running.close()
    found = jobs.job(job().job_id)
    assert (found.state, found.outputs, found.done) == (JobState.SUCCEEDED, (FILE,), 10)
