"""``everloop train policy --on …``: what is written, what is submitted, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from everloop.cli import app as cli
from everloop.cli import placing
from everloop.contracts.errors import ShouldFixArgument, ShouldFixPlatform
from everloop.sdk.placements import training
from everloop.sdk.placements.progress import JobState
from everloop.sdk.placements.training import PlacedTraining, ReturnedPolicy
from tests.unit.sdk.placements.terms import a_cloud_run, a_kuberay
from tests.unit.sdk.placements.test_kuberay import SCHEMA

EXAMPLES = Path(__file__).parents[3] / "infra" / "ray"
POLICY = "companion-ppo-0123456789ab"
JOB = f"everloop-{POLICY}"
COMMAND = ("everloop", "train", "policy", "--from", "run-1", "--address", "{ADDRESS}")
START = ("train", "policy", "--from", "run-1", "--on")


@pytest.fixture(autouse=True)
def placed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be asked of the SDK, without a workspace."""
    asked: list[Any] = []

    def place(named: str, placement: Any, **more: Any) -> PlacedTraining:
        asked.append((named, placement, more))
        return PlacedTraining(placement, JOB, POLICY, COMMAND)

    monkeypatch.setattr(training, "place_training", place)
    return asked


def command(*words: str) -> None:
    cli.app(list(words), standalone_mode=False)


def test_a_rayjob_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    terms = str(EXAMPLES / "kuberay.yaml")
    command(*START, "kuberay", "--placement", terms, "--write", str(file))
    document = YAML(typ="safe").load(file.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["metadata"]["name"] == JOB
    shown = capsys.readouterr().out
    assert f"kubectl apply -f {file}" in shown
    command(*START, "kuberay", "--placement", terms, "--write", "-")
    assert YAML(typ="safe").load(capsys.readouterr().out) == document


def test_a_cloud_run_job_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    terms = str(EXAMPLES / "cloud_run.yaml")
    command(*START, "cloud_run", "--placement", terms, "--write", str(file))
    document = YAML(typ="safe").load(file.read_text())
    assert document["kind"] == "Job"
    shown = " ".join(capsys.readouterr().out.split())
    assert f"gcloud run jobs replace --region europe-west4 --project your-project {file}" in shown


def test_a_submission_is_told_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[Any] = []

    def submit(placed: Any, jobs: Any, patience: Any, **more: Any) -> ReturnedPolicy:
        asked.append((placed, jobs, patience.timeout_s, more["delete_if_interrupted"]))
        for state in (JobState("waiting"), JobState("running", "3 of 4"), JobState("succeeded")):
            more["heard"](state)
        return ReturnedPolicy("companion-1234", tmp_path / POLICY, JOB)

    monkeypatch.setattr(training, "submit_training", submit)
    monkeypatch.setattr(placing, "_jobs", lambda *given: SimpleNamespace(given=given))
    terms = ("--placement", str(EXAMPLES / "kuberay.yaml"), "--submit", "--wait", "0.5")
    command(*START, "kuberay", *terms, "--context", "here")
    shown = capsys.readouterr()
    assert f"companion-1234 in {tmp_path / POLICY}" in shown.out
    assert f"{JOB} · running · 3 of 4" in shown.err
    ((_, jobs, seconds, delete),) = asked
    assert (seconds, delete, jobs.given[2]) == (1800.0, False, "here")
    command(*START, "kuberay", *terms, "--delete-if-interrupted", "--json")
    assert json.loads(capsys.readouterr().out)["version"] == "companion-1234"
    assert asked[1][3] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kuberay",), "--on kuberay needs terms"),
        (("kuberay", "--placement", "K"), "Give one of --write and --submit"),
        (("kuberay", "--placement", "K", "--write", "-", "--submit"), "one of --write"),
        (("cloud_run", "--placement", "K", "--write", "-"), "is of kind kuberay, not cloud_run"),
        (("kuberay", "--placement", "K", "--write", "-", "--runners", "2"), "--runners is of a"),
        (("kuberay", "--placement", "K", "--write", "-", "--out", "x"), "--out is of a training"),
        (("here", "--write", "-"), "are of a training elsewhere"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: tuple[str, ...], said: str, placed: list[Any]
) -> None:
    given = [str(EXAMPLES / "kuberay.yaml") if word == "K" else word for word in words]
    with pytest.raises(ShouldFixArgument, match=said):
        command(*START, *given)
    assert placed == []


def test_a_bad_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "terms.yaml"
    file.write_text("kind: kuberay\nnamespace: Everloop\n")
    with pytest.raises(ShouldFixPlatform, match=r"terms.yaml:2: namespace: "):
        command(*START, "kuberay", "--placement", str(file), "--write", "-")


def test_each_kind_has_its_own_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from everloop.sdk.placements import google
    from everloop.sdk.placements.kubernetes import RayJobs
    from tests.unit.sdk.placements.test_kubernetes import written

    config = written(tmp_path, "http://127.0.0.1:9")
    made = placing._jobs(PlacedTraining(a_kuberay(), JOB, POLICY, COMMAND), config, "c")
    assert isinstance(made, RayJobs)
    monkeypatch.setattr(google, "_session", lambda: None)
    there = PlacedTraining(a_cloud_run(), JOB, POLICY, COMMAND)
    assert isinstance(placing._jobs(there, None, ""), google.CloudRunJobs)
