"""``everloop synth``: a file, the jobs, the statistics, and what a service's worker calls."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from everloop import settings
from everloop.cli import app as cli
from everloop.cli import main
from everloop.cli.synth import AGAIN, BUSY
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import SyntheticJob
from everloop.loops import load
from everloop.sdk.synthetic.asking import ask_generate
from everloop.sdk.synthetic.work import working_on
from everloop.wiring import open_workspace
from tests.log_records import DAY
from tests.made_releases import release_people
from tests.two_tenants import LOOP


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    (folder / "coach.yaml").write_text(LOOP)
    settings.initialise(folder / "home")
    workspace = open_workspace(folder / "home")
    release_people(workspace, load(folder / "coach.yaml"), folder / "made", day=DAY)
    workspace.engine.dispose()
    return folder


@pytest.fixture
def folder(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workspace, in the folder that commands run in."""
    shutil.copytree(released, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> None:
    cli.app(["synth", *words, "--home", "home"], standalone_mode=False)


def ended(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command that ends the process."""
    monkeypatch.setattr(sys, "argv", ["everloop", "synth", *words, "--home", "home"])
    with pytest.raises(SystemExit) as told:
        main()
    return int(told.value.code or 0)


def test_people_are_made_told_listed_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--loop", "coach.yaml", "--n", "30", "--seed", "4", "--days", "3")
    run("generate", *asked, "--start", "2026-01-05")
    out = capsys.readouterr().out
    assert "30 people in profiles.parquet" in out
    assert len(pq.read_table(folder / "profiles.parquet")) == 30

    run("generate", *asked, "--format", "json", "--output", "there/p.jsonl", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["path"]) == (30, "there/p.jsonl")
    assert told["job"]["parameters"]["start"] == DAY.isoformat()
    assert len((folder / "there" / "p.jsonl").read_text().splitlines()) == 30

    run("jobs", "--loop", "coach")
    out = capsys.readouterr().out
    assert out.count("succeeded") == 2
    assert out.count("30 of 30") == 2
    run("jobs", told["job"]["job_id"], "--json")
    (one,) = json.loads(capsys.readouterr().out)
    assert one["requested_by"].startswith("cli:")

    run("stats", "--loop", "coach.yaml")
    out = capsys.readouterr().out
    assert "generated profiles  60" in out
    assert "left of 1 at" in out
    assert "No quality figure was published yet." in out
    run("stats", "--loop", "coach.yaml", "--json")
    assert json.loads(capsys.readouterr().out)["profiles"]["generated"] == 60


def test_what_cannot_be_done_is_told(folder: Path) -> None:
    with pytest.raises(ShouldFixArgument, match=r"n=1000001 is not within 1\.\.1,000,000"):
        run("generate", "--loop", "coach.yaml", "--n", "1000001")
    with pytest.raises(ShouldFixArgument, match="no date"):
        run("generate", "--loop", "coach.yaml", "--n", "5", "--start", "soon")
    with pytest.raises(ShouldCollectMoreData, match="no release of stage"):
        run("generate", "--loop", "coach.yaml", "--n", "5", "--tenant", "other")
    with pytest.raises(ShouldCollectMoreData, match="Nobody"):
        run("augment", "--loop", "coach.yaml", "--date", "2026-01-01")
    assert not (folder / "profiles.parquet").exists()


def test_what_is_out_of_range_is_told_before_anything_else(folder: Path) -> None:
    for option, value, told in (("--n", "10000000", "n=10000000"), ("--variance", "9", "variance")):
        asked = ["--loop", "coach.yaml", "--n", "5", option, value, "--tenant", "other"]
        with pytest.raises(ShouldFixArgument, match=told):
            run("generate", *asked)


def test_a_file_is_replaced_only_when_that_is_asked_for(folder: Path) -> None:
    asked = ("generate", "--loop", "coach.yaml", "--n", "5", "--days", "2")
    kept = folder / "profiles.parquet"
    kept.write_text("mine")
    with pytest.raises(ShouldFixArgument, match=r"profiles\.parquet exists.*--overwrite"):
        run(*asked)
    assert kept.read_text() == "mine"
    run(*asked, "--overwrite")
    assert len(pq.read_table(kept)) == 5


def test_a_place_that_cannot_be_written_is_told_before_the_work(folder: Path) -> None:
    (folder / "file").write_text("no folder")
    asked = ("generate", "--loop", "coach.yaml", "--n", "5", "--output")
    for place in ("file/p.parquet", "/proc/p.parquet"):
        with pytest.raises(ShouldFixArgument, match="cannot be written"):
            run(*asked, place)
    with pytest.raises(ShouldFixArgument, match="is a folder"):
        run(*asked, ".")
    assert open_workspace(folder / "home").synthetic_jobs.jobs() == ()


def test_a_place_that_fills_up_meanwhile_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("everloop.sdk.synthetic.output.shutil.copyfile", full)
    with pytest.raises(ShouldFreeDisk, match=r"No room to write p\.parquet"):
        run("generate", "--loop", "coach.yaml", "--n", "5", "--output", "p.parquet")
    assert not [path for path in folder.iterdir() if "p.parquet" in path.name]


def claimed(folder: Path) -> SyntheticJob:
    workspace = open_workspace(folder / "home")
    spec = load(folder / "coach.yaml")
    ask_generate(workspace, spec, "default", "key:abc", 10, days=2)
    job = workspace.synthetic_jobs.claim("w", datetime.now(UTC), 60.0)
    assert job is not None
    return job


def test_a_worker_s_job_is_carried_out_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = claimed(folder)
    asked = ("work", job.job_id, "--loop", "coach.yaml", "--worker", "w")
    workspace = open_workspace(folder / "home")
    with working_on(workspace, job.job_id):
        assert ended(monkeypatch, *asked) == BUSY
    wrong = ("work", job.job_id, "--loop", "coach.yaml", "--worker", "another")
    assert ended(monkeypatch, *wrong) == BUSY
    assert workspace.synthetic_jobs.job(job.job_id) == job
    run(*asked)
    assert workspace.synthetic_jobs.job(job.job_id).state is JobState.SUCCEEDED
    run(*asked)


def test_a_worker_s_refusal_is_told_on_standard_output_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise ShouldRestoreArtefact("It is damaged.", "Restore it.")

    job = claimed(folder)
    monkeypatch.setattr("synthetic.generation.files.PartFiles.write", damaged)
    assert ended(monkeypatch, "work", job.job_id, "--loop", "coach.yaml", "--worker", "w") == 2
    assert capsys.readouterr().out == "It is damaged. Restore it.\n"


def test_a_full_disk_may_be_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise ShouldFreeDisk("No room.", "Free some.")

    job = claimed(folder)
    monkeypatch.setattr("synthetic.generation.files.PartFiles.write", full)
    asked = ("work", job.job_id, "--loop", "coach.yaml", "--worker", "w")
    assert ended(monkeypatch, *asked) == AGAIN
