"""A whole run whose rows are on PostgreSQL and whose datasets and models are in a bucket."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

from everloop import sdk, settings
from everloop.intake.example import import_example
from everloop.loops import load
from everloop.settings import Bucket
from everloop.wiring import Workspace, open_workspace
from pipelines.daily_learning import STAGES
from tests.e2e.whole_runs import EXAMPLE_DAY, SMALL, SMALL_PEOPLE, small_plan

pytestmark = [pytest.mark.gcp, pytest.mark.timeout(1200)]
KILLED_AFTER = "aggregate_rewards"


@pytest.fixture
def in_cloud(
    small_log: Path,
    tmp_path: Path,
    postgresql_url: str,
    bucket: Bucket,
    gcs_client: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with the laptop's keys, whose rows and files are elsewhere."""
    home = tmp_path / "cloud"
    home.mkdir()
    for name in (settings.SECRETS_FILE, settings.FINGERPRINT_FILE):
        (home / name).write_bytes((small_log / name).read_bytes())
    monkeypatch.setenv(settings.DATABASE_URL, postgresql_url)
    monkeypatch.setenv(settings.STORAGE_URL, f"gs://{bucket.name}/{bucket.prefix}")
    place = open_workspace(home)
    import_example(place.log, load("companion"), place.pseudonyms.of, people=SMALL_PEOPLE)
    return home


def _killed(home: Path) -> None:
    """Run the graph, and kill every process of it once rewards are aggregated."""
    command_line = [
        *(sys.executable, "-c", "from everloop.cli import main; main()", "run", "daily"),
        *("--loop", "companion", "--date", EXAMPLE_DAY.isoformat(), "--home", str(home)),
        *(word for setting in SMALL for word in ("--set", setting)),
    ]
    with subprocess.Popen(
        command_line, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        seen = []
        for line in run.stderr:
            seen.append(line)
            if KILLED_AFTER in line:
                time.sleep(3)  # the next stage is fitting by now
                os.killpg(run.pid, signals.SIGKILL)
                break
    assert run.returncode == -signals.SIGKILL, seen


def test_a_killed_run_goes_on_and_equals_the_laptops(
    in_cloud: Path, workspace: Path, bucket: Bucket, gcs_client: Any
) -> None:
    _killed(in_cloud)
    run = sdk.run_daily(small_plan(), home=in_cloud)
    cloud = open_workspace(in_cloud)
    kept = {stage.stage: stage.outcome for stage in run.record.stages}
    assert list(kept) == list(STAGES)
    assert kept["extract_episodes"] == kept[KILLED_AFTER] == "cached"
    assert cloud.ledger.verify() > 0
    _nothing_stayed(in_cloud, cloud, run, bucket, gcs_client)
    with pytest.MonkeyPatch.context() as laptop:
        laptop.delenv(settings.DATABASE_URL)
        laptop.delenv(settings.STORAGE_URL)
        here = sdk.run_daily(small_plan(), home=workspace)
    assert run.manifest.dataset_id == here.manifest.dataset_id
    assert _rewards(run).equals(_rewards(here))
    # Sums may end in other last digits, in whichever order threads add; a day without rewards is NaN.
    for there, day in zip(run.rewards.daily, here.rewards.daily, strict=True):
        assert (there.date, there.episodes) == (day.date, day.episodes)
        assert_allclose(
            (there.mean, there.low, there.high),
            (day.mean, day.low, day.high),
            rtol=1e-12,
            atol=1e-12,
        )
    assert replace(run.rewards, daily=()) == replace(here.rewards, daily=())
    # Privacy's noise is nobody's to repeat: what of the verdict comes of the log alone is equal.
    assert run.verdict.decision == here.verdict.decision
    assert [c.name for c in run.verdict.checks] == [c.name for c in here.verdict.checks]


def _nothing_stayed(
    home: Path, cloud: Workspace, run: sdk.OpenedRun, bucket: Bucket, client: Any
) -> None:
    """The folder holds copies and the run; what counts is elsewhere."""
    assert not (home / settings.DATABASE_FILE).exists()
    assert not (home / "blobs").exists()
    assert [p.name for p in (home / "datasets").iterdir()] == ["pseudonym-key.json"]
    names = [one.name for one in client.list_blobs(bucket.name)]
    dataset_id = run.manifest.dataset_id
    assert f"{bucket.prefix}/datasets/{dataset_id}/manifest.json" in names
    model = cloud.registry.checkpoint(run.checkpoint.checkpoint_id)
    sha256 = model.weights_sha256
    assert f"{bucket.prefix}/blobs/{sha256[:2]}/{sha256}" in names


def _rewards(run: sdk.OpenedRun) -> Any:
    path = run.artefact(KILLED_AFTER, "rewards") / "rewards.parquet"
    return pq.read_table(path).sort_by("episode_id")
