"""The restore drill: a workspace that works, is backed up, works on, and is lost; then it comes back.

What is proved on SQLite and on PostgreSQL: the service's rows, the registry and the ledger come back; what
was spent after the backup is known; nobody pays twice for a night, and the next night runs; who was erased
after the backup stays erased. ``make restore-drill`` adds whole daily runs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from everloop import sdk, settings
from everloop.contracts.backups import BackupManifest
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldKeepRelease,
    ShouldProvideKey,
    ShouldRepairLedger,
    ShouldRestoreArtefact,
)
from everloop.contracts.privacy import ReleaseRequest
from everloop.intake.example import import_example
from everloop.loops import load
from everloop.sdk.backups import making
from everloop.sdk.backups.making import create_backup, silent
from everloop.sdk.backups.places import chosen
from everloop.sdk.backups.restoring import Restored, restore_backup
from everloop.storage.local.backup_folder import FolderBackups
from everloop.storage.schema import training_episodes
from everloop.storage.sql.engine import reading
from everloop.storage.sql.ledger_store import SqlLedgerStore
from everloop.wiring import Workspace, open_workspace
from tests import log_records
from tests.e2e.whole_runs import EXAMPLE_DAY, SMALL_PEOPLE, small_plan
from tests.postgresql_server import PostgresqlServer

SPEC = load("companion")
DAY = date(2026, 3, 10)
PIPELINE = "companion/default"
PEOPLE = tuple(f"{number:064x}" for number in range(1, 41))
ANN = log_records.ANN


class Drill:
    """A workspace, its backups, and where it is restored.

    Args:
        new_database: gives the URL of another empty PostgreSQL database; None: SQLite.
    """

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        new_database: Callable[[], str] | None,
    ) -> None:
        self.folder, self.home = folder, folder / "home"
        self.journal = folder / "elsewhere" / "journal"
        self.place = FolderBackups(folder / "backups")
        self._patch, self._new_database = patch, new_database
        patch.setenv(settings.LEDGER_JOURNAL, str(self.journal))
        self.take_database()
        settings.initialise(self.home)

    def take_database(self) -> None:
        """From now on the workspace's rows are in another, empty database."""
        if self._new_database is not None:
            self._patch.setenv(settings.DATABASE_URL, self._new_database())

    def open(self) -> Workspace:
        return open_workspace(self.home)

    def live(self) -> None:
        """Rows of a service, before the backup."""
        place = self.open()
        place.log.append_episodes(
            [
                log_records.episode(number, user_id=person, loop="companion")
                for number, person in enumerate((ANN, log_records.BEN), 1)
            ]
        )
        self.night(0)

    def request(self, night: int) -> ReleaseRequest:
        on = DAY + timedelta(days=night)
        mechanism = self.open().ledger.night_mechanism(SPEC, PIPELINE, "user_model", on)
        return ReleaseRequest(PIPELINE, on, "user_model", "c" * 64, "d" * 64, mechanism)

    def night(self, night: int) -> str:
        """A release, made and stored; its address."""
        place = self.open()
        made = place.ledger.reserve(self.request(night), PEOPLE, SPEC, 2)
        if made.stored_url is not None:
            return made.stored_url
        file = self.folder / f"release-{night}"
        file.write_text(f"night {night}")
        url, sha256 = place.blobs.put(file)
        place.ledger.complete(made.release_id, url, sha256)
        return url

    def lose_everything(self) -> None:
        """The machine is gone; its keys and the journal were kept elsewhere."""
        keys = (self.home / settings.SECRETS_FILE).read_bytes()
        shutil.rmtree(self.home)
        self.home.mkdir()
        (self.home / settings.SECRETS_FILE).write_bytes(keys)
        self.take_database()

    def restore(self, manifest: BackupManifest | None = None) -> Restored:
        found = manifest or chosen(self.place, "")
        return restore_backup(self.place, found, self.home, "drill", silent)

    def spent(self) -> dict[str, float]:
        with SqlLedgerStore(self.open().engine).transaction() as ledger:
            return dict(ledger.spent(PEOPLE, date.min, date.max)[1])

    def episodes(self) -> dict[str, int]:
        query = select(training_episodes.c.user_id, func.count()).group_by(
            training_episodes.c.user_id
        )
        with reading(self.open().engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


@pytest.fixture(params=["sqlite", "postgresql"])
def drill(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drill:
    monkeypatch.delenv(settings.DATABASE_URL, raising=False)
    if request.param == "sqlite":
        return Drill(tmp_path, monkeypatch, None)
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return Drill(tmp_path, monkeypatch, lambda: server.new_database(migrated=False))


@pytest.fixture
def on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drill:
    monkeypatch.delenv(settings.DATABASE_URL, raising=False)
    return Drill(tmp_path, monkeypatch, None)


def test_a_lost_workspace_comes_back_and_the_next_night_runs(drill: Drill) -> None:
    drill.live()
    made = create_backup(drill.place, drill.home)
    assert made.manifest.ledger_rows == 2
    drill.night(1)
    drill.open().ledger.reserve(drill.request(2), PEOPLE, SPEC, 2)  # and the machine dies
    known, rows = drill.spent(), drill.open().ledger.history()
    drill.open().people.erase(ANN, "cli:test", datetime.now(UTC))
    drill.lose_everything()
    done = drill.restore()
    assert (done.refused, done.erasures_waiting, done.missing) == ("", 0, ())
    assert done.recovered is not None
    assert done.recovered.rows == 3
    assert len(done.recovered.lost_outputs) == 1
    assert drill.spent() == pytest.approx(known)
    assert drill.open().ledger.history() == rows
    assert drill.episodes() == {log_records.BEN: 1}
    for night in (1, 2):
        with pytest.raises(ShouldKeepRelease):
            drill.night(night)
    first = drill.night(0)
    assert drill.spent() == pytest.approx(known)
    latest = drill.open().ledger.latest_release(PIPELINE, "user_model", date.max)
    assert latest is not None
    assert drill.open().blobs.fetch(*latest[1:]).read_text() == "night 0"
    assert latest[1] == first
    drill.night(3)
    assert all(drill.spent()[person] > known[person] for person in PEOPLE)
    assert drill.open().ledger.verify() == len(rows) + 2
    actions = [entry.action for entry in drill.open().audit.entries("default")]
    assert actions.count("backup.restore") == 1
    assert "privacy.recover" in actions


def test_the_journal_is_lost_too(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    create_backup(drill.place, drill.home)
    drill.night(1)
    known = drill.spent()
    drill.lose_everything()
    shutil.rmtree(drill.journal)
    done = drill.restore()
    assert done.recovered is None
    assert "--charge-everyone-since" in done.refused
    with pytest.raises(ShouldRepairLedger):
        drill.night(2)
    until = DAY + timedelta(days=1)
    drill.open().ledger.charge_everyone({PIPELINE: SPEC}, DAY, until)
    assert all(drill.spent()[person] >= known[person] for person in PEOPLE)
    with pytest.raises(ShouldKeepRelease):
        drill.night(1)
    drill.night(2)


def test_a_backup_goes_over_nothing(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    create_backup(drill.place, drill.home)
    with pytest.raises(ShouldFixArgument, match="not empty"):
        drill.restore()
    drill.lose_everything()
    (drill.home / "notes.txt").write_text("mine")
    with pytest.raises(ShouldFixArgument, match=r"notes\.txt"):
        drill.restore()


def test_postgresql_is_not_restored_over_tables(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = Drill(tmp_path, monkeypatch, lambda: postgresql.new_database(migrated=False))
    drill.live()
    create_backup(drill.place, drill.home)
    drill.lose_everything()
    monkeypatch.setenv(settings.DATABASE_URL, postgresql.new_database(migrated=True))
    with pytest.raises(ShouldFixArgument, match="holds tables"):
        drill.restore()
    monkeypatch.delenv(settings.DATABASE_URL)
    with pytest.raises(ShouldFixArgument, match="EVERLOOP_DATABASE_URL"):
        drill.restore()


def test_other_keys_open_no_backup(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    create_backup(drill.place, drill.home)
    shutil.rmtree(drill.home)
    settings.initialise(drill.home)
    (drill.home / settings.FINGERPRINT_FILE).unlink()
    with pytest.raises(ShouldProvideKey, match="PSEUDONYM_KEY"):
        drill.restore()
    held = b"".join(p.read_bytes() for p in (drill.folder / "backups").rglob("*") if p.is_file())
    for line in (drill.home / settings.SECRETS_FILE).read_text().splitlines():
        assert line.partition("=")[2].encode() not in held


@pytest.mark.parametrize("harm", ["object", "lost object", "manifest"])
def test_a_damaged_backup_restores_nothing(on_sqlite: Drill, harm: str) -> None:
    drill = on_sqlite
    drill.live()
    manifest = create_backup(drill.place, drill.home).manifest
    blob = next(file for file in manifest.files if file.path.startswith("blobs/"))
    path = drill.folder / "backups" / "objects" / blob.sha256[:2] / blob.sha256
    if harm == "object":
        path.write_bytes(path.read_bytes()[::-1])
    elif harm == "lost object":
        path.unlink()
    else:
        file = drill.folder / "backups" / "backups" / f"{manifest.backup_id}.json"
        file.write_text(file.read_text().replace("blobs/", "blobz/", 1))
    drill.lose_everything()
    with pytest.raises(ShouldRestoreArtefact):
        drill.restore()
    assert {path.name for path in drill.home.iterdir()} == {settings.SECRETS_FILE}


def test_what_is_there_is_not_copied_again(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    first = create_backup(drill.place, drill.home)
    drill.night(1)
    second = create_backup(drill.place, drill.home)
    assert second.copied == 2  # the database and one release
    assert {f.path for f in first.manifest.files} < {f.path for f in second.manifest.files}


KILLED = """
import sys, os, signal
from everloop.sdk.backups import making, restoring
from everloop.sdk.backups.places import chosen, open_place
from pathlib import Path
verb, home, place, when = sys.argv[1:]
def die(done, total, path):
    if path.startswith(when):
        os.kill(os.getpid(), signal.SIGKILL)
opened = open_place(place)
if verb == "create":
    making.create_backup(opened, home, on_progress=die)
else:
    restoring.verify_backup = lambda *a: __import__("everloop.sdk.backups.verifying", fromlist=["x"]
        ).VerifiedBackup("", 0, 0, ())
    restoring.restore_backup(opened, chosen(opened, ""), Path(home), "drill", die)
"""


def killed(drill: Drill, verb: str, when: str) -> None:
    words = [sys.executable, "-c", KILLED, verb, str(drill.home), drill.place.address, when]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


def test_a_killed_backup_is_none_and_the_next_one_is_whole(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    killed(drill, "create", "blobs/")
    assert drill.place.manifests() == ()
    assert list(drill.place.objects())
    create_backup(drill.place, drill.home)
    assert len(drill.place.manifests()) == 1
    assert not list(drill.home.glob("state.db-*.tmp"))
    drill.lose_everything()
    assert drill.restore().refused == ""


@pytest.mark.parametrize("when", ["blobs/", "database"])
def test_a_killed_restoration_goes_on(on_sqlite: Drill, when: str) -> None:
    drill = on_sqlite
    drill.live()
    create_backup(drill.place, drill.home)
    drill.night(1)
    known = drill.spent()
    drill.lose_everything()
    killed(drill, "restore", when)
    with pytest.raises(EverloopError):
        restore_backup(
            drill.place,
            replace(chosen(drill.place, ""), backup_id="20200101T000000000000Z"),
            drill.home,
            "drill",
            silent,
        )
    assert drill.restore().refused == ""
    assert drill.spent() == pytest.approx(known)
    assert not (drill.home / "restoring.json").exists()


def test_a_backup_is_of_one_moment(on_sqlite: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that ends while files are copied is in none of the backup or in all of it."""
    drill = on_sqlite
    drill.live()
    real = making._copy

    def meanwhile(*arguments: object) -> tuple[int, int]:
        drill.night(1)
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(making, "_copy", meanwhile)
        manifest = create_backup(drill.place, drill.home).manifest
    assert manifest.ledger_rows == 2
    drill.lose_everything()
    done = drill.restore()
    assert done.recovered is not None
    assert (done.recovered.rows, len(done.recovered.lost_outputs)) == (2, 1)


def test_erased_people_stay_erased_however_the_database_came_back(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    older = drill.folder / "older.db"
    snapshot = create_backup(drill.place, drill.home).manifest.files[0]
    drill.place.get(snapshot.sha256, older)
    drill.open().people.erase(ANN, "cli:test", datetime.now(UTC))
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (drill.home / name).unlink(missing_ok=True)
    shutil.copy(older, drill.home / "state.db")
    assert drill.episodes() == {log_records.BEN: 1}
    told = b"".join(path.read_bytes() for path in (drill.journal / "erasures").iterdir())
    assert ANN.encode() in told
    assert b"mood" not in told


def test_an_erasure_under_a_newer_key_waits_for_it(on_sqlite: Drill) -> None:
    drill = on_sqlite
    drill.live()
    create_backup(drill.place, drill.home)
    drill.open().people.erase(ANN, "cli:test", datetime.now(UTC))
    (path,) = (drill.journal / "erasures").iterdir()
    key = drill.open().people._journal.key  # type: ignore[attr-defined]
    path.chmod(0o644)
    path.write_text(path.read_text().replace(key, "0123456789abcdef"))
    drill.lose_everything()
    assert drill.restore().erasures_waiting == 1
    assert drill.episodes() == {ANN: 1, log_records.BEN: 1}
    path.write_text(path.read_text().replace("0123456789abcdef", key))
    assert drill.episodes() == {log_records.BEN: 1}
    assert drill.open().people.waiting() == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_drill_with_whole_daily_runs(drill: Drill) -> None:
    place = drill.open()
    import_example(place.log, SPEC, place.pseudonyms.of, people=SMALL_PEOPLE)
    nights = [EXAMPLE_DAY - timedelta(days=back) for back in (2, 1, 0)]
    before = sdk.run_daily(small_plan(logical_date=nights[0]), home=drill.home)
    create_backup(drill.place, drill.home)
    lost = sdk.run_daily(small_plan(logical_date=nights[1]), home=drill.home)
    rows = drill.open().ledger.history()
    assert {row.logical_date for row in rows} >= set(nights[:2])
    checkpoint = before.checkpoint  # the files of both runs are about to go
    datasets = [run.manifest.dataset_id for run in (before, lost)]
    drill.lose_everything()
    done = drill.restore()
    assert done.refused == ""
    assert drill.open().ledger.history() == rows
    assert drill.open().registry.checkpoint(checkpoint.checkpoint_id) == checkpoint
    again = sdk.run_daily(small_plan(logical_date=nights[0]), home=drill.home)
    assert again.manifest.dataset_id == datasets[0]
    assert drill.open().ledger.history() == rows
    rerun = sdk.run_daily(small_plan(logical_date=nights[1]), home=drill.home)
    assert drill.open().ledger.history() == rows
    assert rerun.manifest.dataset_id == datasets[1]
    following = sdk.run_daily(small_plan(logical_date=nights[2]), home=drill.home)
    assert following.verdict is not None
    assert len(drill.open().ledger.history()) > len(rows)
    drill.open().ledger.verify()
