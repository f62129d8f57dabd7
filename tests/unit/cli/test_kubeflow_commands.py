"""``everloop submit``, ``schedule`` and ``compile --platform``: every command line of docs/kubeflow.md."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from everloop.cli.app import app
from everloop.contracts.errors import EverloopError
from tests.fake_kubeflow import FakeKubeflow, kubeflow
from tests.unit.sdk.kubeflow.conftest import small_files

__all__ = ["small_files"]
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "kubeflow.md"


def invoke(*line: str) -> Result:
    return CliRunner().invoke(app, list(line))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubeflow]:
    monkeypatch.delenv("EVERLOOP_KUBEFLOW_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    with kubeflow() as fake:
        file = tmp_path / "platform.yaml"
        text = (ROOT / "infra" / "kubeflow" / "platform.yaml").read_text()
        text = re.sub(r"^host: .*$", f"host: {fake.url}", text, flags=re.MULTILINE)
        file.write_text(text)
        monkeypatch.setenv("EVERLOOP_PLATFORM", str(file))
        yield fake


@pytest.mark.usefixtures("small_files")
def test_submit_says_what_runs_and_where_to_look(cluster: FakeKubeflow) -> None:
    told = invoke("submit", "--loop", "companion", "--date", "2026-03-28")
    assert told.exit_code == 0
    (run,) = cluster.runs
    assert told.stdout.startswith("companion-daily-learning-2026-03-28-")
    assert f"look  {cluster.url}/#/runs/details/{run['run_id']}" in told.stdout
    again = invoke("submit", "--loop", "companion", "--date", "2026-03-28")
    assert "(submitted before)" in again.stdout
    document = json.loads(
        invoke("submit", "--loop", "companion", "--date", "2026-03-28", "--json").stdout
    )
    assert (document["run_id"], document["new"]) == (run["run_id"], False)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1)])
def test_waiting_ends_as_the_run_does(cluster: FakeKubeflow, state: str, code: int) -> None:
    cluster.moves += [
        {"state": "RUNNING", "extract_episodes": "SUCCEEDED"},
        {"state": state, "extract_episodes": "SUCCEEDED", "train_policy": "FAILED"},
    ]
    line = ("submit", "--loop", "companion", "--date", "2026-03-28", "--wait", "--poll", "0.05")
    told = invoke(*line)
    assert told.exit_code == code
    assert "extract_episodes" in told.stderr
    assert state.lower() in told.stdout


@pytest.mark.usefixtures("small_files")
def test_a_cluster_that_is_away_has_an_exit_code_of_its_own(
    cluster: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.sdk.kubeflow.failures.Attempts.pause", lambda *_: None)
    cluster.fail("GET", ".", 503, times=99)
    told = invoke("submit", "--loop", "companion", "--date", "2026-03-28")
    assert told.exit_code == 5
    assert "fix:" in told.stderr


@pytest.mark.usefixtures("small_files")
def test_a_token_that_ran_out_leaves_the_run_and_names_it(
    cluster: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.sdk.kubeflow.failures.Attempts.pause", lambda *_: None)
    line = ("submit", "--loop", "companion", "--date", "2026-03-28", "--wait", "--poll", "0.05")
    cluster.fail("GET", "/runs/.+", 401, times=99)
    told = invoke(*line, "--json")
    (run,) = cluster.runs
    assert told.exit_code == 5
    assert json.loads(told.stdout)["run_id"] == run["run_id"]
    assert run["run_id"] in told.stderr
    assert "EVERLOOP_KUBEFLOW_TOKEN" in told.stderr
    cluster.fail("GET", "/experiments", 401)
    assert invoke(*line).exit_code == 5


@pytest.mark.usefixtures("small_files")
def test_a_dry_run_contacts_nobody(cluster: FakeKubeflow, tmp_path: Path) -> None:
    told = invoke("submit", "--loop", "companion", "--date", "2026-03-28", "--dry-run")
    asked = json.loads(told.stdout)
    assert (asked["pipeline"], asked["host"]) == ("daily-learning", cluster.url)
    assert (tmp_path / asked["package"]).exists()
    told = invoke(
        "schedule", "create", "--loop", "companion", "--zone", "Europe/Berlin", "--dry-run"
    )
    assert json.loads(told.stdout)["no_catchup"] is True
    assert "Europe/Berlin; repeat this command then." in told.stderr
    assert cluster.requests == []


@pytest.mark.usefixtures("small_files")
def test_a_schedule_from_its_making_to_its_end(cluster: FakeKubeflow) -> None:
    made = invoke("schedule", "create", "--loop", "companion", "--at", "04:00")
    assert "everloop daily-learning companion default: set" in made.stdout
    assert "learns for" in made.stdout
    same = invoke("schedule", "create", "--loop", "companion", "--at", "04:00")
    assert "unchanged" in same.stdout
    assert "04:00 UTC" in invoke("schedule", "list").stdout
    assert "disabled" in invoke("schedule", "pause", "--loop", "companion").stdout
    shown = json.loads(invoke("schedule", "show", "--loop", "companion", "--json").stdout)
    assert (shown["state"], shown["at"], shown["cron"]) == ("DISABLED", "04:00", "0 0 4 * * *")
    assert "enabled" in invoke("schedule", "resume", "--loop", "companion").stdout
    assert "deleted" in invoke("schedule", "delete", "--loop", "companion").stdout
    assert "was not there" in invoke("schedule", "delete", "--loop", "companion").stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("submit --loop companion --parameter refresh", "names nothing"),
        ("submit --loop companion --date 2026-03-28 --platform none.yaml", "cannot be read"),
        ("schedule create --loop companion --at 25:00", "no time of day"),
        ("schedule create --loop companion --zone Europe/Berln", "no time zone"),
        ("schedule show --loop elsewhere", "no schedule"),
    ],
)
@pytest.mark.usefixtures("cluster", "small_files")
def test_what_cannot_be_done_says_why(line: str, says: str) -> None:
    told = invoke(*shlex.split(line))
    assert isinstance(told.exception, EverloopError)
    assert says in str(told.exception)


def documented() -> list[str]:
    lines = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        joined = block.replace("\\\n", " ")
        lines += [text.removeprefix("$ ") for text in joined.splitlines() if text.startswith("$ ")]
    return [line for line in lines if line.startswith("everloop ")]


@pytest.mark.usefixtures("small_files")
def test_every_command_line_of_the_page_works(
    cluster: FakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[Any, ...]] = []

    def note(name: str, path: Path, *rest: Any) -> Path:
        compiled.append((name, *rest))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        return path

    monkeypatch.setattr("pipelines.compile.compile_graph", note)
    lines = documented()
    assert len(lines) >= 10
    for line in lines:
        cluster.moves[:] = [{"state": "SUCCEEDED"}]
        told = invoke(*shlex.split(line, comments=True)[1:])
        assert told.exit_code == 0, (line, told.output, told.exception)
    assert {kind[0] for kind in compiled} >= {"daily-learning"}


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    words: dict[tuple[str, ...], tuple[str, ...]] = {
        ("submit",): ("--dry-run", "--wait", "EVERLOOP_KUBEFLOW_TOKEN"),
        ("schedule", "create"): ("--catchup", "cron_zone", "2.17"),
    }
    for line, expected in words.items():
        told = " ".join(invoke(*line, "--help").output.split())
        for word in expected:
            assert word in told
