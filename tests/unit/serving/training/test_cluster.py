"""A job as a run on Kubeflow: its command line, its end, and that a restart finds the same run."""

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import TrainingJob
from everloop.serving.training.cluster import ClusterLauncher
from everloop.serving.training.runner import Ended, How, RunLauncher
from everloop.serving.training.trigger import _launcher
from everloop.settings import PLATFORM, platform_file
from tests.conformance.test_job_store import job
from tests.fake_kubeflow import kubeflow
from tests.log_records import DAY, NOON
from tests.unit.serving.training.test_trigger import until


class Scripted(ClusterLauncher):
    """Runs a Python script in place of the command line."""

    def __init__(self, home: Path, script: str) -> None:
        super().__init__(home, {"walk": "walk"}, home / "p.yaml", busy_retry_s=0.05)
        self.script = script

    def command(self, job: TrainingJob) -> list[str]:
        return [sys.executable, "-c", self.script]


def ended(home: Path, code: int, **record: str) -> Ended:
    told = f"print({json.dumps(record)!r})" if record else "pass"
    return Scripted(home, f"{told}\nraise SystemExit({code})")(job(), Event())


def test_the_command_line_names_the_run_after_the_job(tmp_path: Path) -> None:
    launcher = ClusterLauncher(tmp_path, {"walk": "/etc/walk.yaml"}, Path("/etc/p.yaml"), 20.0)
    asked = job(logical_date=DAY, created_at=NOON, tenant="other")
    line = launcher.command(asked)
    assert line == launcher.command(asked)
    assert line[1:] == [
        *("-m", "everloop", "submit", "--wait", "--json"),
        "--platform=/etc/p.yaml",
        "--loop=/etc/walk.yaml",
        "--date=2026-03-10",
        "--tenant=other",
        f"--parameter=refresh={asked.job_id}",
        f"--job={asked.job_id}",
        "--poll=20.0",
        "--intraday",  # it was asked for within its day
    ]
    assert launcher.command(job(logical_date=DAY, created_at=NOON + timedelta(days=1)))[-1] == (
        "--poll=20.0"
    )
    with pytest.raises(ShouldNameKnownId, match="walk"):
        launcher.command(job(loop="swim"))


def test_the_state_of_the_run_is_the_end_of_the_job(tmp_path: Path) -> None:
    assert ended(tmp_path, 0, run_id="r", state="SUCCEEDED") == Ended(How.SUCCEEDED, "r")
    failed = ended(tmp_path, 1, run_id="r", state="FAILED", error="out of memory")
    assert failed == Ended(How.FAILED, "r", "failed: out of memory")
    cancelled = ended(tmp_path, 1, run_id="r", state="CANCELED", url="http://look")
    # somebody ended it, and starting it again would undo that
    assert cancelled == Ended(How.FAILED, "r", "canceled: http://look", hopeless=True)


def test_a_silent_cluster_is_tried_again_and_a_refusal_is_not(tmp_path: Path) -> None:
    assert (ended(tmp_path, 5).how, ended(tmp_path, 5).hopeless) == (How.FAILED, False)
    assert ended(tmp_path, 2).hopeless


def test_the_environment_chooses_where_trainings_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PLATFORM, raising=False)
    assert isinstance(_launcher(tmp_path, {}, platform_file()), RunLauncher)
    monkeypatch.setenv(PLATFORM, "/etc/p.yaml")
    assert isinstance(_launcher(tmp_path, {}, platform_file()), ClusterLauncher)


def test_a_run_that_was_submitted_is_followed_again_when_nothing_is_heard_of_it(
    tmp_path: Path,
) -> None:
    seen = tmp_path / "seen"
    script = f"""
import json, pathlib, sys
seen = pathlib.Path({str(seen)!r})
looks = len(seen.read_text()) if seen.exists() else 0
seen.write_text("x" * (looks + 1))
if looks == 0:
    print(json.dumps({{"run_id": "r", "state": "PENDING"}}))
if looks < 4:
    sys.exit(5)
print(json.dumps({{"run_id": "r", "state": "SUCCEEDED"}}))
"""
    assert Scripted(tmp_path, script)(job(), Event()) == Ended(How.SUCCEEDED, "r")
    assert len(seen.read_text()) == 5


@pytest.mark.slow
def test_a_service_that_starts_again_follows_the_run_that_is_under_way(tmp_path: Path) -> None:
    with kubeflow() as fake:
        file = tmp_path / "platform.yaml"
        file.write_text(f"host: {fake.url}\nimage: everloop-python:7\n")
        asked = job(loop="companion", logical_date=DAY)

        def launch(stop: Event) -> list[Ended]:
            found: list[Ended] = []
            launcher = ClusterLauncher(tmp_path, {"companion": "companion"}, file, poll_s=0.1)
            thread = threading.Thread(target=lambda: found.append(launcher(asked, stop)))
            thread.start()
            threads.append(thread)
            return found

        threads: list[threading.Thread] = []
        stop = Event()
        first = launch(stop)
        until(lambda: len(fake.runs) == 1, 200)
        stop.set()
        threads[0].join()
        assert first == [Ended(How.STOPPED)]
        assert fake.seen("POST", ":terminate") == []
        run_id = fake.runs[0]["run_id"]
        looked = len(fake.seen("GET", f"/runs/{run_id}"))
        second = launch(Event())
        until(lambda: len(fake.seen("GET", f"/runs/{run_id}")) > looked, 200)
        fake.move(run_id, "SUCCEEDED")
        threads[1].join()
        assert second == [Ended(How.SUCCEEDED, run_id)]
        assert len(fake.runs) == 1
        given = fake.runs[0]["runtime_config"]["parameters"]
        assert given["refresh"].endswith(asked.job_id)
