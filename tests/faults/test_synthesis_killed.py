"""Kill -9 while synthetic people are made: whoever comes next goes on, and the bytes are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop import sdk, settings
from everloop.contracts.models import ProfileSource
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import SyntheticJob
from everloop.loops import load
from everloop.sdk.synthetic.asking import ask_generate
from everloop.serving.synthetic.queue import SynthesisLauncher, SyntheticQueue
from everloop.storage.local.clock import SystemClock
from everloop.wiring import open_workspace
from synthetic.generation import chunks as generation
from tests.log_records import DAY
from tests.made_releases import release_people
from tests.two_tenants import LOOP

CHUNK = 25
N = 500
STALE_S = 3.0
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

COMMAND = f"""
import os, pathlib, sys, time
from synthetic.generation import chunks as generation
generation.CHUNK = {CHUNK}
real = generation.Generation.make
def slowly(of, chunk):
    time.sleep(0.1)
    return real(of, chunk)
generation.Generation.make = slowly
pathlib.Path(sys.argv.pop(1)).write_text(str(os.getpid()))
from everloop.cli import main
sys.argv[0] = "everloop"
main()
"""
"""The command line with small, slow chunks; it says its process id first."""

SERVICE = """
import sys, time
from tests.faults.test_synthesis_killed import queue
queue(sys.argv[1], sys.argv[2]).start()
time.sleep(600)
"""


class Slow(SynthesisLauncher):
    """Runs ``COMMAND`` in place of the command line."""

    def command(self, job: SyntheticJob) -> list[str]:
        line = super().command(job)
        return [sys.executable, "-c", COMMAND, str(self._home / "worker.pid"), *line[3:]]


def queue(home: str, loop: str) -> SyntheticQueue:
    workspace, sources, name = open_workspace(home), {"coach": loop}, f"test:{os.getpid()}"
    launcher = Slow(workspace.home, sources, name, busy_retry_s=0.2)
    return SyntheticQueue(workspace, sources, SystemClock(), 0.1, launcher, STALE_S, name)


def until(true: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whoever_comes_next_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, loop = tmp_path / "home", tmp_path / "coach.yaml"
    loop.write_text(LOOP)
    settings.initialise(home)
    workspace, spec = open_workspace(home), load(loop)
    release_people(workspace, spec, tmp_path / "made", day=DAY)
    jobs = workspace.synthetic_jobs

    # The command line, killed in the middle of a chunk, then repeated.
    asked = [f"--loop={loop}", f"--n={N}", "--seed=3", "--days=5", f"--home={home}"]
    line = [sys.executable, "-c", COMMAND, str(tmp_path / "cli.pid"), "synth", "generate", *asked]
    with subprocess.Popen(line, cwd=tmp_path, env=ENVIRONMENT) as made:
        until(lambda: any(3 * CHUNK <= job.done < N for job in jobs.jobs()), "nothing was made")
        os.kill(made.pid, signal.SIGKILL)
    (first,) = jobs.jobs()
    assert first.state is JobState.RUNNING
    rerun = subprocess.run(line, cwd=tmp_path, env=ENVIRONMENT, check=False)
    assert rerun.returncode == 0
    ended = jobs.job(first.job_id)
    assert (ended.state, ended.attempts, ended.done) == (JobState.SUCCEEDED, 2, N)

    # A service and its worker, both killed; another service takes the job over.
    job = ask_generate(workspace, spec, "default", "key:abc", N, seed=3, days=5)
    assert job.job_id != first.job_id
    pid = home / "worker.pid"
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(home), str(loop)], cwd=ROOT)
    until(lambda: 3 * CHUNK <= jobs.job(job.job_id).done < N, "the service made nothing")
    os.kill(service.pid, signal.SIGKILL)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    service.wait()
    killed_at = jobs.job(job.job_id).done
    folder = home / "synthetic" / job.job_id
    kept = {p.name: p.stat().st_mtime_ns for p in sorted(folder.glob("part-*.parquet"))[:3]}
    other = queue(str(home), str(loop))
    other.start()
    try:
        until(lambda: jobs.job(job.job_id).done > killed_at, "nobody went on")
        assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
        until(lambda: not jobs.job(job.job_id).open, "it did not end")
    finally:
        other.close()
    taken = jobs.job(job.job_id)
    assert (taken.state, taken.attempts, taken.error) == (JobState.SUCCEEDED, 2, "")

    # Nobody killed.
    monkeypatch.setattr(generation, "CHUNK", CHUNK)
    whole = sdk.generate_profiles(str(loop), N, seed=3, days=5, home=home)
    assert ended.outputs == taken.outputs == whole.job.outputs
    assert workspace.profiles.counts("coach") == {ProfileSource.GENERATED: N}
