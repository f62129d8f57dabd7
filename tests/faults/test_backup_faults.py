"""Backups and restorations that others get in the way of: openers, pruners, erasures, rotten disks."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts import documents
from everloop.contracts.backups import BackupFile, BackupManifest
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldInitWorkspace,
    ShouldRestoreArtefact,
    ShouldRetryLater,
    ShouldWaitForWorker,
)
from everloop.contracts.ports import Extraction
from everloop.intake.example import import_example
from everloop.sdk.backups import claims, making, restoring
from everloop.sdk.backups.making import create_backup, silent
from everloop.sdk.backups.places import chosen, encoded
from everloop.sdk.backups.pruning import Kept, prune_backups
from everloop.sdk.backups.verifying import verify_backup
from everloop.storage.local.backup_folder import FolderBackups
from everloop.storage.local.erased_artefacts import ErasedArtefacts
from everloop.storage.sql.engine import open_database
from everloop.wiring import open_workspace
from tests import log_records
from tests.e2e.whole_runs import EXAMPLE_DAY, SMALL_PEOPLE
from tests.faults.test_restore_drill import SPEC, Drill
from tests.postgresql_server import PostgresqlServer


class Stopped(Exception):
    """In the place of a kill."""


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drill:
    monkeypatch.delenv(settings.DATABASE_URL, raising=False)
    return Drill(tmp_path, monkeypatch, None)


def stopped_restoring(drill: Drill, before: str) -> None:
    def stop(done: int, total: int, path: str) -> None:
        if path.startswith(before) and (drill.home / "restoring.json").exists():
            raise Stopped

    with pytest.raises(Stopped):
        restoring.restore_backup(drill.place, chosen(drill.place, ""), drill.home, "drill", stop)


def is_whole(drill: Drill) -> bool:
    return not verify_backup(drill.place, chosen(drill.place, ""), silent).problems


def object_of(drill: Drill, file: BackupFile) -> Path:
    return drill.folder / "backups" / "objects" / file.sha256[:2] / file.sha256


def test_nobody_opens_what_is_half_restored(drill: Drill) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    drill.lose_everything()
    stopped_restoring(drill, "database")
    before = sorted(path.name for path in drill.home.iterdir())
    for command in ("init", "migrate"):
        done = CliRunner().invoke(app, [command, "--home", str(drill.home)])
        assert done.exit_code != 0
    for opened in (drill.open, lambda: create_backup(drill.place, drill.home)):
        with pytest.raises(ShouldInitWorkspace, match="half restored"):
            opened()
    assert sorted(path.name for path in drill.home.iterdir()) == before
    assert drill.restore().refused == ""
    assert drill.episodes() == {log_records.ANN: 1, log_records.BEN: 1}


def test_another_database_made_meanwhile_is_not_the_backups(drill: Drill) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    drill.lose_everything()
    stopped_restoring(drill, "database")
    other = drill.home / "state.db"
    open_database("", other).dispose()
    with pytest.raises(ShouldFixArgument, match="no restoration"):
        drill.restore()
    for path in drill.home.glob("state.db*"):
        path.unlink()
    assert drill.restore().refused == ""
    assert len(drill.episodes()) == 2


@pytest.mark.parametrize("noted", [False, True])
def test_a_database_that_was_restored_is_not_restored_again(
    drill: Drill, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    drill.lose_everything()

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    at = "open_workspace" if noted else "sync_folder"
    with monkeypatch.context() as patch:
        patch.setattr(restoring, at, stop)
        with pytest.raises(Stopped):
            drill.restore()
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_restore_database", stop)
        assert drill.restore().refused == ""
    assert len(drill.episodes()) == 2


def test_tables_that_another_made_in_postgresql_are_not_the_backups(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = Drill(tmp_path, monkeypatch, lambda: postgresql.new_database(migrated=False))
    drill.live()
    create_backup(drill.place, drill.home)
    drill.lose_everything()
    stopped_restoring(drill, "database")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(drill.home / settings.SECRETS_FILE, other)
    open_workspace(other)  # what `everloop migrate` of a container does
    with pytest.raises(ShouldFixArgument, match="no restoration"):
        drill.restore()
    drill.take_database()

    real = restoring._restore_database

    def and_stop(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_restore_database", and_stop)
        with pytest.raises(Stopped):
            drill.restore()
    assert drill.restore().refused == ""
    assert len(drill.episodes()) == 2


def test_of_a_backup_and_a_pruning_at_once_one_waits(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    drill.night(1)
    real = drill.place.manifests

    def meanwhile() -> tuple[str, ...]:
        with pytest.raises(ShouldWaitForWorker, match="pruned"):
            create_backup(FolderBackups(drill.place.address), drill.home)
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(drill.place, "manifests", meanwhile)
        prune_backups(drill.place, Kept(daily=1))
    assert drill.place.claims() == ()
    create_backup(drill.place, drill.home)
    assert is_whole(drill)


def test_a_pruning_that_lasts_looks_again(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    stray = drill.folder / "stray"
    stray.write_text("nobody's")
    drill.place.put(documents.sha256_of(stray), stray)
    looks, real = [0], drill.place.manifests

    def slowly() -> tuple[str, ...]:
        looks[0] += 1
        monkeypatch.setattr(claims, "_LOOK", timedelta(minutes=30))  # of the next look
        return real()

    monkeypatch.setattr(claims, "_LOOK", timedelta(0))
    monkeypatch.setattr(drill.place, "manifests", slowly)
    done = prune_backups(drill.place, Kept(daily=1))
    assert (done.backups, done.objects, looks) == ((), 1, [2])
    assert is_whole(drill)


def test_a_backup_that_was_taken_for_dead_is_none(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill.live()
    create_backup(drill.place, drill.home)
    drill.night(1)
    real = making._require_all

    def after_a_day(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        with monkeypatch.context() as patch:
            patch.setattr(claims, "_MAKING_STALE", timedelta(0))
            prune_backups(drill.place, Kept(daily=1))

    with monkeypatch.context() as patch:
        patch.setattr(making, "_require_all", after_a_day)
        with pytest.raises(ShouldRetryLater, match="hours"):
            create_backup(drill.place, drill.home)
    assert len(drill.place.manifests()) == 1
    assert is_whole(drill)


def test_what_is_deleted_while_a_backup_is_made_makes_none(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill.live()
    first = create_backup(drill.place, drill.home).manifest
    real = making._copy

    def meanwhile(*arguments: object) -> tuple[int, int]:
        done = real(*arguments)  # type: ignore[arg-type]
        drill.place.delete(first.files[1].sha256)
        return done

    monkeypatch.setattr(making, "_copy", meanwhile)
    with pytest.raises(ShouldRetryLater, match="deleted"):
        create_backup(drill.place, drill.home)
    assert drill.place.manifests() == (first.backup_id,)
    assert drill.place.claims() == ()


def test_a_backup_that_failed_holds_up_no_pruning(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill.live()

    def full(*_: object) -> None:
        raise ShouldRetryLater("No answer.", "Repeat.")

    monkeypatch.setattr(drill.place, "put", full)
    with pytest.raises(ShouldRetryLater, match="No answer"):
        create_backup(drill.place, drill.home)
    assert drill.place.claims() == ()


def extracted(drill: Drill) -> Path:
    """The folder of a dataset version that somebody is in."""
    place = drill.open()
    import_example(place.log, SPEC, place.pseudonyms.of, people=SMALL_PEOPLE)
    made = place.datasets.extract(Extraction(SPEC, EXAMPLE_DAY, 28))
    return drill.home / "datasets" / made.manifest.dataset_id


def erased_without_its_files(drill: Drill, patch: pytest.MonkeyPatch) -> None:
    """An erasure has committed, and has deleted no file yet."""
    place = drill.open()
    person = next(iter(drill.episodes()))
    with patch.context() as patched:
        patched.setattr(ErasedArtefacts, "finish", lambda *_: None)
        place.people.erase(person, "cli:test", datetime.now(UTC))


def test_a_dataset_of_somebody_erased_is_in_no_backup(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = extracted(drill)
    real = making.snapshot

    def meanwhile(*arguments: object) -> object:
        erased_without_its_files(drill, monkeypatch)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "snapshot", meanwhile)
    manifest = create_backup(drill.place, drill.home).manifest
    assert folder.is_dir()
    assert not [file for file in manifest.files if folder.name in file.path]


def test_a_dataset_of_somebody_erased_does_not_come_back(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = extracted(drill)
    (drill.home / "reports").mkdir()
    page = drill.home / "reports" / "of-that-night.html"
    page.write_text(f"made from {folder.name}")
    erased_without_its_files(drill, monkeypatch)
    monkeypatch.setattr(making, "erased_files", lambda _: (frozenset(), frozenset()))
    # An older everloop made such backups.
    with monkeypatch.context() as patch:
        patch.setattr(ErasedArtefacts, "finish", lambda *_: None)
        manifest = create_backup(drill.place, drill.home, reports=True).manifest
    assert {file.path.split("/")[0] for file in manifest.files} >= {"datasets", "reports"}
    drill.lose_everything()
    assert drill.restore().refused == ""
    assert not folder.exists()
    assert not page.exists()


def test_a_damaged_object_is_repaired_from_the_workspace(drill: Drill) -> None:
    drill.live()
    manifest = create_backup(drill.place, drill.home).manifest
    blob = next(file for file in manifest.files if file.path.startswith("blobs/"))
    path = object_of(drill, blob)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[::-1])
    problems = verify_backup(drill.place, manifest, silent).problems
    assert len(problems) == 1
    with pytest.raises(ShouldRestoreArtefact) as caught:
        drill.place.check(blob.sha256)
    assert "--repair" in caught.value.remedy
    done = CliRunner().invoke(
        app,
        ["backup", "create", "--to", drill.place.address, "--home", str(drill.home), "--repair"],
    )
    assert done.exit_code == 0, done.output
    for backup_id in drill.place.manifests():
        assert not verify_backup(drill.place, chosen(drill.place, backup_id), silent).problems


@pytest.mark.parametrize(
    "path",
    [
        "secrets.env",
        "keys.sha256",
        "state.db",
        "restoring.json",
        "ledger-journal/spending/0000000002.json",
        "database/state.db",
        "datasets",
        "erasing/note.json",
    ],
)
def test_a_manifest_writes_into_datasets_and_artefacts_alone(drill: Drill, path: str) -> None:
    drill.live()
    manifest = create_backup(drill.place, drill.home).manifest
    with pytest.raises(ShouldFixArgument, match="no backup holds"):
        replace(manifest, files=(*manifest.files, replace(manifest.files[1], path=path)))
    forged = encoded(manifest).replace(manifest.files[1].path.encode(), path.encode())
    drill.place.put_manifest(manifest.backup_id, resealed(forged, manifest))
    with pytest.raises(ShouldRestoreArtefact):
        chosen(drill.place, "")


def resealed(forged: bytes, manifest: BackupManifest) -> bytes:
    """The forged manifest with the checksum of what it says now."""
    told = json.loads(forged)["manifest"]
    assert told != encoded(manifest)
    return json.dumps(
        {"sha256": hashlib.sha256(told.encode()).hexdigest(), "manifest": told}
    ).encode()
