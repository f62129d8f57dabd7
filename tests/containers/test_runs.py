"""The compiled daily graph in real containers: the same as in processes, without a network, and honest."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import ShouldGiveMemory
from tests.containers.conftest import SMALL, Caller, Image, copied, sha256

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

DATE = "2026-03-28"


@dataclass(frozen=True)
class Ran:
    home: Path
    record: Any

    def artefact(self, stage: str, name: str) -> Path:
        (found,) = [s for s in self.record["stages"] if s["stage"] == stage]
        return Path(found["artefacts"][name])

    @property
    def graph(self) -> Path:
        return self.home / "runs/companion/default" / DATE / "graph.yaml"


@pytest.fixture(scope="module")
def in_processes(caller: Caller, log: Path) -> Ran:
    home = copied(log, "processes")
    code, record, told = caller.daily(home)
    assert code == 0, told
    return Ran(home, record)


@pytest.fixture(scope="module")
def in_containers(caller: Caller, in_processes: Ran) -> Ran:
    """The same day in a copy of the workspace that has lost every result and every dataset.

    The noise of a private release is drawn once: the ledger gives both runs the same one.
    """
    home = copied(in_processes.home, "containers")
    shutil.rmtree(home / "runs")
    for dataset in (home / "datasets").iterdir():
        if dataset.is_dir():
            shutil.rmtree(dataset)
    code, record, told = caller.daily(home, "--in-containers")
    assert code == 0, told
    return Ran(home, record)


def test_one_file_by_checksum_ran_in_both(in_processes: Ran, in_containers: Ran) -> None:
    assert sha256(in_processes.graph) == sha256(in_containers.graph)
    stages = [
        [(stage["stage"], stage["outcome"]) for stage in run.record["stages"]]
        for run in (in_processes, in_containers)
    ]
    assert stages[0] == stages[1]
    assert {outcome for _, outcome in stages[0]} == {"succeeded"}
    assert len(stages[0]) > 10


def test_both_made_the_same_dataset_rewards_and_verdict(
    in_processes: Ran, in_containers: Ran
) -> None:
    datasets, rewards, verdicts, inputs = [], [], [], []
    for run in (in_processes, in_containers):
        datasets.append(json.loads(run.artefact("extract_episodes", "dataset").read_text()))
        rewards.append(sha256(run.artefact("aggregate_rewards", "rewards") / "rewards.parquet"))
        verdict = json.loads(run.artefact("gate", "verdict").read_text())
        inputs.append(verdict.pop("inputs"))
        verdicts.append(verdict)
    assert datasets[0] == datasets[1]
    assert rewards[0] == rewards[1]
    assert verdicts[0] == verdicts[1]
    assert len(verdicts[0]["checks"]) > 5
    # the note beside a release says what the night has cost by the time of the run
    assert {name for name in inputs[0] if inputs[0][name] != inputs[1][name]} <= {"user_model"}
    assert in_processes.record["verdict"] == in_containers.record["verdict"]
    assert in_processes.record["run_id"] == in_containers.record["run_id"]


def test_what_containers_wrote_is_the_callers(in_containers: Ran, caller: Caller) -> None:
    owners = {path.stat().st_uid for path in in_containers.home.rglob("*")}
    assert owners == {caller.user}


def test_no_container_is_left(in_containers: Ran, client: Any) -> None:
    assert client.containers.list(all=True, filters={"label": "everloop.step"}) == []


def test_a_step_that_fails_is_reported_with_its_own_words(
    caller: Caller, in_containers: Ran
) -> None:
    """The dataset is gone, and the step that made it is not repeated: the next one has to say so."""
    home = in_containers.home
    for dataset in (home / "datasets").iterdir():
        if dataset.is_dir():
            shutil.rmtree(dataset)
    code, record, told = caller.daily(home, "--in-containers", "--from-stage", "aggregate_rewards")
    assert code == 1, told
    assert record["status"] == "failed"
    assert record["verdict"].startswith("ShouldRestoreArtefact: ")
    (failed,) = [s for s in record["stages"] if s["outcome"] == "failed"]
    assert failed["stage"] == "aggregate_rewards"
    assert failed["summary"].startswith("ShouldRestoreArtefact: ")


def test_a_step_above_its_memory_is_reported_as_such(caller: Caller, log: Path) -> None:
    home = copied(log, "small-memory")
    code, record, told = caller.daily(home, "--in-containers", "--memory", "64m")
    assert code == 1, told
    assert record["status"] == "failed"
    assert "ShouldGiveMemory" in record["verdict"]
    assert "more memory than its limit of 64m" in record["verdict"]
    assert record["stages"][-1]["outcome"] == "failed"


class Step:
    """A container as the run's steps get one."""

    def __init__(self, client: Any, image: Image, folder: Path, **asked: str) -> None:
        from everloop.settings import Containers
        from pipelines.containers import Started

        self.started = Started(client, Containers(image=image.tag, **asked), folder)

    def __call__(self, *command: str) -> tuple[int, str]:
        with contextlib.redirect_stdout(io.StringIO()) as told:
            code = self.started.step(None, "", list(command), {})
        return code, told.getvalue()


@pytest.fixture
def step(client: Any, image: Image, tmp_path: Path) -> Step:
    return Step(client, image, tmp_path)


def test_steps_have_no_network(step: Step) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, told = step(
            "python3",
            "-c",
            "import os, socket\n"
            "print(sorted(os.listdir('/sys/class/net')))\n"
            "print(open('/proc/net/route').read().splitlines()[1:])\n"
            f"for place in (('127.0.0.1', {server.getsockname()[1]}), ('192.0.2.1', 80)):\n"
            "    try: socket.create_connection(place, 3); print('reached')\n"
            "    except OSError as problem: print(type(problem).__name__)",
        )
    assert code == 0, told
    assert told.split("\n")[:4] == ["['lo']", "[]", "ConnectionRefusedError", "OSError"]


@pytest.mark.parametrize("code", [0, 1, 3, 7])
def test_an_exit_code_is_read_however_quick_the_step_is(step: Step, code: int) -> None:
    assert [step("sh", "-c", f"exit {code}")[0] for _ in range(5)] == [code] * 5


def test_a_step_may_gain_nothing(step: Step) -> None:
    _, told = step("sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    assert told.split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


def test_secrets_come_by_environment_and_stay_out_of_the_image(
    step: Step, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_LEDGER_KEY", "ab" * 32)
    _, told = step("sh", "-c", "echo $EVERLOOP_LEDGER_KEY; echo $EVERLOOP_HOME")
    assert told.split() == ["ab" * 32, str(step.started.folder)]
    assert "ab" * 32 not in json.dumps(dict(image.attributes))


def test_memory_is_told_where_a_process_within_the_step_was_killed(
    client: Any, image: Image, tmp_path: Path
) -> None:
    bounded = Step(client, image, tmp_path, memory="64m")
    code, told = bounded("sh", "-c", "python3 -c 'x = bytearray(300_000_000)'; exit $?")
    assert code == 1
    assert f"\n{ShouldGiveMemory.__name__}: " in told


def refusal(caller: Caller, home: Path, *arguments: str, **given: Any) -> str:
    done = caller.run(
        *("run", "daily", "--loop", "companion", "--date", DATE, "--set", SMALL[0]),
        *("--in-containers", *arguments, "--home", str(home)),
        **given,
    )
    assert done.returncode == 2, done.stderr
    return str(done.stderr)


def test_what_is_missing_is_named_before_anything_starts(
    caller: Caller, log: Path, client: Any, image: Image
) -> None:
    home = copied(log, "refused")
    absent = refusal(caller, home, "--image", "everloop-python:9.9")
    assert "has no image everloop-python:9.9" in absent
    assert "make image" in absent
    assert "No container engine answers" in refusal(
        caller, home, DOCKER_HOST="unix:///nowhere.sock"
    )
    told = refusal(caller, home, EVERLOOP_DATABASE_URL="postgresql://u:p@db:5432/x")
    assert "p@db" not in told
    bare = image.attributes["Config"]
    assert bare
    foreign = refusal(caller, home, "--image", "python:3.11-slim-bookworm")
    assert "python:3.11-slim-bookworm is no image of everloop" in foreign


def test_an_image_of_other_code_is_refused(
    caller: Caller, log: Path, client: Any, image: Image
) -> None:
    older = client.images.get(image.before["Id"])
    older.tag("everloop-python", "older")
    told = refusal(caller, copied(log, "older"), "--image", "everloop-python:older")
    assert "holds other code" in told


def test_an_engine_that_lets_the_caller_not_in_is_named(caller: Caller, log: Path) -> None:
    if caller.user == 0:
        pytest.skip("root is let in everywhere")
    home = copied(log, "locked")
    import subprocess

    subprocess.run(["chown", "-R", "12345:12345", str(home)], check=True)
    told = refusal(caller, home, user=12345)
    assert "does not let user 12345 in" in told
