"""``everloop backup``: what is kept, what is pruned, and what the commands say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.backups import SQLITE, BackupFile, BackupManifest
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldRestoreArtefact,
    ShouldWaitForWorker,
)
from everloop.sdk.backups.places import encoded, manifest_of, open_place
from everloop.sdk.backups.pruning import Kept, prune_backups, to_keep
from everloop.storage.local.backup_folder import FolderBackups

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def made(hours: Sequence[int]) -> list[tuple[str, datetime]]:
    return [(f"b{h}", NOON - timedelta(hours=h)) for h in hours]


@pytest.mark.parametrize(
    ("hours", "keep", "kept"),
    [
        ([0, 1, 2], Kept(daily=1), {"b0"}),
        ([0, 1, 13, 24, 37], Kept(daily=2), {"b0", "b13"}),
        ([0, 13, 37, 61], Kept(daily=9), {"b0", "b13", "b37", "b61"}),
        # Friday 20 November 2026 at noon: Sunday the 15th ended the week before.
        ([0, 24, 121, 145, 289], Kept(weekly=2), {"b0", "b121"}),
        ([0, 24, 24 * 20, 24 * 21, 24 * 51], Kept(monthly=2), {"b0", "b480"}),
        ([0, 24, 24 * 20], Kept(daily=1, monthly=2), {"b0", "b480"}),
    ],
)
def test_the_newest_of_each_period_is_kept(hours: list[int], keep: Kept, kept: set[str]) -> None:
    assert to_keep(made(hours), keep) == kept


@given(st.sets(st.integers(0, 2000)), st.integers(0, 5), st.integers(0, 5), st.integers(1, 5))
def test_pruning_twice_drops_nothing_more(
    hours: set[int], daily: int, weekly: int, monthly: int
) -> None:
    everything, keep = made(sorted(hours)), Kept(daily, weekly, monthly)
    kept = to_keep(everything, keep)
    assert len(kept) <= daily + weekly + monthly + 1
    assert to_keep([one for one in everything if one[0] in kept], keep) == kept
    assert not hours or f"b{min(hours)}" in kept


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="keeps none"):
        Kept()


def stored(place: FolderBackups, folder: Path, backup_id: str, *texts: str) -> None:
    """A backup of some files, made by hand."""
    files = []
    for number, text in enumerate(texts):
        path = folder / "file"
        path.write_text(text)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        place.put(sha256, path)
        files.append(BackupFile(SQLITE if not number else f"blobs/{text}", sha256, len(text)))
    created = datetime.strptime(backup_id, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
    manifest = BackupManifest(
        backup_id, created, "0", "0", "sqlite", "", {}, 0, "0" * 64, "", "", tuple(files)
    )
    place.put_manifest(backup_id, encoded(manifest))


OLD, NEW = "20261101T000000000000Z", "20261102T000000000000Z"


def test_what_another_backup_needs_stays(tmp_path: Path) -> None:
    place = FolderBackups(tmp_path / "backups")
    stored(place, tmp_path, OLD, "first", "shared", "dropped")
    stored(place, tmp_path, NEW, "second", "shared")
    done = prune_backups(place, Kept(daily=1))
    assert (done.backups, done.objects, done.size) == ((OLD,), 2, len("first") + len("dropped"))
    assert place.manifests() == (NEW,)
    assert sum(1 for _ in place.objects()) == 2
    for file in manifest_of(place, NEW).files:
        place.check(file.sha256)


def test_nothing_is_pruned_while_a_backup_is_made(tmp_path: Path) -> None:
    place = FolderBackups(tmp_path / "backups")
    stored(place, tmp_path, OLD, "first")
    stored(place, tmp_path, NEW, "second")
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z"
    place.claim(now)
    with pytest.raises(ShouldWaitForWorker, match=now):
        prune_backups(place, Kept(daily=1))
    assert place.manifests() == (OLD, NEW)
    place.release(now)
    place.claim(OLD)  # cut short long ago
    assert prune_backups(place, Kept(daily=1)).backups == (OLD,)
    assert place.claims() == ()


def test_a_damaged_manifest_prunes_nothing(tmp_path: Path) -> None:
    place = FolderBackups(tmp_path / "backups")
    stored(place, tmp_path, OLD, "first")
    stored(place, tmp_path, NEW, "second")
    path = tmp_path / "backups" / "backups" / f"{NEW}.json"
    path.write_text(path.read_text().replace("second", "other").replace("0.", "1."))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ShouldRestoreArtefact, match=NEW):
        prune_backups(place, Kept(daily=1))
    assert sum(1 for _ in place.objects()) == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a//b", "", "a/./b"])
def test_a_backup_writes_nothing_outside(path: str) -> None:
    with pytest.raises(ShouldFixArgument, match="no path"):
        BackupFile(path, "0" * 64, 0)


def test_objects_are_what_their_name_says(tmp_path: Path) -> None:
    place = FolderBackups(tmp_path / "backups")
    (tmp_path / "file").write_text("content")
    with pytest.raises(ShouldRestoreArtefact, match="damaged"):
        place.put("0" * 64, tmp_path / "file")
    assert list(place.objects()) == []
    assert not place.has("0" * 64, 7)


def test_places_are_folders_or_buckets() -> None:
    with pytest.raises(ShouldFixArgument, match="no bucket"):
        open_place("s3://somewhere")
    with pytest.raises(ShouldFixArgument, match="No place"):
        open_place("")


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_commands_tell_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.LEDGER_JOURNAL, str(tmp_path / "journal"))
    home, place, other = (str(tmp_path / name) for name in ("home", "backups", "other"))
    run("init", "--home", home)
    told = json.loads(run("backup", "create", "--to", place, "--home", home, "--json"))
    assert told["database"] == "sqlite"
    assert told["copied"] == 2
    assert set(told["keys"]) == set(settings.KEYS)
    assert told["backup_id"] in run("backup", "list", "--from", place)
    assert "is whole" in run("backup", "verify", "--from", place)
    Path(other).mkdir()
    (Path(other) / "secrets.env").write_bytes((Path(home) / "secrets.env").read_bytes())
    restored = json.loads(run("backup", "restore", "--from", place, "--into", other, "--json"))
    assert (restored["refused"], restored["missing"]) == ("", [])
    assert "has everything" in run("privacy", "recover", "--home", other)
    assert "0 backups are gone" in run("backup", "prune", "--from", place, "--keep-daily", "3")
    database = next((tmp_path / "backups" / "objects").rglob("*"))
    for path in (tmp_path / "backups" / "objects").rglob("*"):
        database = path if path.is_file() else database
    database.write_bytes(b"")
    run("backup", "verify", "--from", place, code=1)
