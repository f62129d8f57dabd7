"""A job's process: its command line, its end, its stop, and who waits for whom."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from everloop.cli.running import BUSY as CLI_BUSY
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import TrainingJob
from everloop.serving.training.runner import BUSY, NICENESS, Ended, How, RunLauncher
from everloop.settings import initialise
from tests.conformance.test_job_store import job
from tests.log_records import DAY, NOON
from tests.unit.serving.training.test_trigger import until


class Scripted(RunLauncher):
    """Runs a Python script in place of the command line."""

    def __init__(self, home: Path, script: str, grace_s: float = 5.0) -> None:
        super().__init__(home, {"walk": "walk.yaml"}, busy_retry_s=0.05, grace_s=grace_s)
        self.script = script

    def command(self, job: TrainingJob) -> list[str]:
        return [sys.executable, "-c", self.script, str(self._home)]


def run(home: Path, script: str) -> Ended:
    return Scripted(home, script)(job(), Event())


def answer(**record: str) -> str:
    return f"print({json.dumps([record])!r})"


def log_of(home: Path) -> str:
    return (home / "training" / f"{job().job_id}.log").read_text()


def test_the_command_line_is_the_same_for_the_same_job(tmp_path: Path) -> None:
    launcher = RunLauncher(tmp_path, {"walk": "/etc/walk.yaml"})
    today = job(logical_date=DAY, created_at=NOON, tenant="other")
    line = launcher.command(today)
    assert line == launcher.command(today)
    assert line[0] == sys.executable
    assert line[1:6] == ["-m", "everloop", "run", "daily", "--json"]
    assert line[6:] == [
        "--loop=/etc/walk.yaml",
        "--date=2026-03-10",
        "--tenant=other",
        f"--reading={today.job_id}",
        f"--home={tmp_path}",
        "--intraday",
    ]
    assert "--intraday" not in launcher.command(job(created_at=NOON + timedelta(days=1)))
    with pytest.raises(ShouldNameKnownId, match="no loop 'run'"):
        launcher.command(job(loop="run"))


def test_a_success_names_its_run(tmp_path: Path) -> None:
    script = f"import sys; sys.stderr.write('on it\\n'); {answer(status='succeeded', run_id='r1')}"
    assert run(tmp_path, script) == Ended(How.SUCCEEDED, "r1")
    assert log_of(tmp_path) == "on it\n"
    assert list((tmp_path / "training").iterdir()) == [
        tmp_path / "training" / f"{job().job_id}.log"
    ]


def test_a_failed_run_says_what_its_record_says(tmp_path: Path) -> None:
    script = answer(status="failed", run_id="r1", verdict="ShouldFixLoopSpec: no")
    assert run(tmp_path, f"{script}; exit(1)") == Ended(How.FAILED, "r1", "ShouldFixLoopSpec: no")
    assert run(tmp_path, script).how is How.FAILED


def test_a_run_that_could_not_start_says_its_last_words(tmp_path: Path) -> None:
    script = "import sys; sys.stderr.write('\\n'.join(map(str, range(9999)))); exit(3)"
    ended = run(tmp_path, script)
    assert ended == Ended(How.FAILED, "", "exit code 3\n9994\n9995\n9996\n9997\n9998")
    killed = run(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert killed.error.splitlines()[0] == "killed by signal 9"
    assert run(tmp_path, "print('{')").how is How.FAILED


def test_a_run_that_was_refused_is_hopeless(tmp_path: Path) -> None:
    line = ["run", "daily", "--loop=companion", "--date=0001-01-01", f"--home={tmp_path}"]
    script = f"import sys; sys.argv[1:] = {line!r}; from everloop.cli.app import main; main()"
    initialise(tmp_path)
    ended = run(tmp_path, script)
    assert (ended.how, ended.hopeless) == (How.FAILED, True)
    assert ended.error.splitlines()[0] == "exit code 2"
    assert "0001-01-01 is before 2000-01-01." in ended.error
    assert "Traceback" not in log_of(tmp_path)
    assert not run(tmp_path, "raise OverflowError").hopeless


def test_a_date_that_another_process_runs_is_waited_for(tmp_path: Path) -> None:
    assert BUSY == CLI_BUSY
    script = f"""
import pathlib, sys
tries = pathlib.Path(sys.argv[1]) / "tries"
before = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (before + 1))
if before < 2:
    sys.exit({BUSY})
{answer(status="succeeded", run_id="r1")}
"""
    assert run(tmp_path, script) == Ended(How.SUCCEEDED, "r1")
    stop = Event()
    stop.set()
    assert Scripted(tmp_path, f"exit({BUSY})")(job(), stop) == Ended(How.STOPPED)


def test_a_run_leaves_the_cores_to_those_who_serve(tmp_path: Path) -> None:
    script = f"""
import json, os, time
while os.nice(0) == {os.nice(0)}:
    time.sleep(0.01)
print(json.dumps([dict(status="succeeded", run_id=str(os.nice(0)))]))
"""
    assert int(run(tmp_path, script).run_id) == min(19, os.nice(0) + NICENESS)


STAGED = """
import pathlib, signal, subprocess, sys, time
home = pathlib.Path(sys.argv[1])
if {deaf}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
stage = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(home / "stage.new").write_text(str(stage.pid))
(home / "stage.new").rename(home / "stage")
try:
    time.sleep(600)
except KeyboardInterrupt:
    (home / "interrupted").touch()
"""


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stop_ends_the_run_and_its_stages(tmp_path: Path, deaf: bool) -> None:
    stop, ends = Event(), []
    launcher = Scripted(tmp_path, STAGED.format(deaf=deaf), grace_s=0.5)
    thread = threading.Thread(target=lambda: ends.append(launcher(job(), stop)))
    thread.start()
    until((tmp_path / "stage").exists)
    started = time.monotonic()
    stop.set()
    thread.join(20)
    assert ends == [Ended(How.STOPPED)]
    assert time.monotonic() - started < 10
    assert (tmp_path / "interrupted").exists() is not deaf
    stage = int((tmp_path / "stage").read_text())
    until(lambda: not _runs(stage))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
