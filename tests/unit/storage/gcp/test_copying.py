"""A workspace that moves into a bucket, and the check of the bucket."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop import settings, wiring
from everloop.contracts.errors import (
    ShouldAskForScope,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.settings import Bucket
from everloop.storage.gcp.checking import look_at
from everloop.storage.gcp.objects import Objects
from tests.log_records import episode, extraction, signal

ROOT = Path(__file__).parents[4]


@pytest.fixture
def url(bucket: Bucket) -> str:
    return f"gs://{bucket.name}/{bucket.prefix}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laptop's workspace with two versions and a blob."""
    for name in (settings.STORAGE_URL, settings.DATABASE_URL, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    settings.initialise(folder)
    place = wiring.open_workspace(folder)
    place.log.append_batch([episode(1), episode(2)], [signal(1), signal(2, of=2)])
    place.datasets.extract(extraction())
    place.datasets.extract(extraction(window_days=2))
    weights = tmp_path / "weights"
    weights.write_bytes(b"w" * 1000)
    place.blobs.put(weights)
    place.engine.dispose()
    return folder


def silent(_: int, __: int) -> None:
    pass


def test_a_workspace_with_files_of_its_own_is_copied_first(
    home: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.STORAGE_URL, url)
    with pytest.raises(ShouldFixArgument, match="2 datasets and 1 blobs") as refused:
        wiring.open_workspace(home)
    assert f"everloop storage copy --to {url}" in refused.value.remedy
    told: list[tuple[int, int]] = []
    copied = wiring.copy_to_bucket(home, "", lambda done, total: told.append((done, total)))
    assert (copied.url, len(copied.datasets), len(copied.blobs)) == (url, 2, 1)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    place = wiring.open_workspace(home)
    for dataset_id in copied.datasets:
        version = place.datasets.open(dataset_id)
        assert version.root.parent == home / "cache" / "datasets"
    (sha256,) = copied.blobs
    assert place.blobs.fetch(f"blob:sha256/{sha256}", sha256).read_bytes() == b"w" * 1000


def test_a_new_workspace_needs_nothing_of_its_own(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.STORAGE_URL, url)
    settings.initialise(tmp_path / "new")
    place = wiring.open_workspace(tmp_path / "new")
    place.log.append_episodes([episode(1)])
    made = place.datasets.extract(extraction())
    assert made.root.parent == tmp_path / "new" / "cache" / "datasets"
    assert not (tmp_path / "new" / "blobs").exists()


@pytest.mark.gcp
def test_copying_again_sends_nothing_again(home: Path, url: str, gcs_client: Any) -> None:
    def generations() -> dict[str, int]:
        found = gcs_client.list_blobs(url.split("/")[2])
        return {one.name: one.generation for one in found}

    wiring.copy_to_bucket(home, url, silent)
    before = generations()
    wiring.copy_to_bucket(home, url, silent)
    assert generations() == before


KILLED = """
import os, signal, sys
from everloop import wiring
def told(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
wiring.copy_to_bucket(sys.argv[1], sys.argv[2], told)
"""


@pytest.mark.gcp
def test_a_killed_copy_is_taken_up(home: Path, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signals.SIGKILL
    assert len(wiring.copy_to_bucket(home, url, silent).datasets) == 2


def test_a_damaged_version_is_not_copied(home: Path, url: str) -> None:
    path = next((home / "datasets").glob("*/signals.parquet"))
    path.chmod(0o644)
    path.write_bytes(b"torn")
    with pytest.raises(ShouldRestoreArtefact, match=r"signals\.parquet"):
        wiring.copy_to_bucket(home, url, silent)


@pytest.mark.gcp
def test_a_damaged_blob_is_not_copied(home: Path, url: str) -> None:
    path = next((home / "blobs").glob("??/*"))
    path.chmod(0o644)
    path.write_bytes(b"torn")
    with pytest.raises(ShouldRestoreArtefact, match="is damaged"):
        wiring.copy_to_bucket(home, url, silent)


def test_no_bucket_and_no_such_bucket_are_named(home: Path, gcs_client: Any) -> None:
    with pytest.raises(ShouldFixArgument, match="No bucket is named"):
        wiring.copy_to_bucket(home, "", silent)
    with pytest.raises(ShouldFixArgument, match="There is no gs://absent-bucket"):
        wiring.copy_to_bucket(home, "gs://absent-bucket/x", silent)


def test_a_folder_needs_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.STORAGE_URL, raising=False)
    assert wiring.look_at_storage() == "the workspace folder"


def test_a_bucket_is_looked_at_and_left_as_it_was(bucket: Bucket, gcs_client: Any) -> None:
    objects = Objects(bucket, gcs_client)
    seen = look_at(objects)
    assert "created, read, listed and deleted" in seen
    assert "no retention" in seen
    assert list(objects.list()) == []


def test_retention_is_refused_and_what_lingers_is_said(
    bucket: Bucket, gcs_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects(bucket, gcs_client)
    told: dict[str, Any] = {"softDeletePolicy": {"retentionDurationSeconds": 604800}}
    monkeypatch.setattr(
        "google.cloud.storage.bucket.Bucket.reload",
        lambda self, **_: self._set_properties(told | {"name": bucket.name}),
    )
    assert "can be restored for 7 days" in look_at(objects)
    told["versioning"] = {"enabled": True}
    assert "older generations are kept" in look_at(objects)
    told["retentionPolicy"] = {"retentionPeriod": "86400"}
    with pytest.raises(ShouldAskForScope, match="keeps every object for 86400 s"):
        look_at(objects)
    assert list(objects.list()) == []
