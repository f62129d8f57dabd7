"""Restore a backup into an empty workspace, and teach it what happened since.

The order makes it safe to be killed anywhere: everything is read first; datasets and artefacts are put
back; the database comes last and whole; then people who were erased since are erased again, and what was
spent since is charged again. Until then no release is made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from everloop import settings
from everloop.contracts import documents
from everloop.contracts.backups import POSTGRESQL, BackupFile, BackupManifest, BackupPlace
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
)
from everloop.contracts.privacy import Recovered
from everloop.sdk.backups.making import require_room
from everloop.sdk.backups.verifying import verify_backup
from everloop.sdk.recovering import recover_ledger
from everloop.storage.local.folders import sync_folder
from everloop.storage.schema import model_checkpoints
from everloop.storage.sql.dumps import (
    is_empty_postgresql,
    require_empty_postgresql,
    restore_postgresql,
)
from everloop.storage.sql.engine import reading
from everloop.wiring import Workspace, open_workspace

Progress = Callable[[int, int, str], None]

_MARK = "restoring.json"
_ALLOWED = frozenset(
    {settings.SECRETS_FILE, settings.FINGERPRINT_FILE, settings.JOURNAL_FOLDER, _MARK}
)
"""What may stand in an empty workspace: its keys and its journal."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration did.

    Attributes:
        home: the workspace.
        backup_id: which backup.
        files: files that were put back, the database among them.
        recovered: what the ledger learned from its journal; None where it could not.
        refused: why releases are refused, and what to do; empty when they are not.
        erasures_waiting: people who were erased under another pseudonym key, and are still here.
        missing: artefacts that the restored rows name and that are not here, in words.
    """

    home: str
    backup_id: str
    files: int
    recovered: Recovered | None
    refused: str
    erasures_waiting: int
    missing: tuple[str, ...]


def restore_backup(
    place: BackupPlace,
    manifest: BackupManifest,
    home: Path,
    actor: str,
    on_progress: Progress,
) -> Restored:
    """Restore into a workspace that holds nothing but its keys and, perhaps, its journal.

    A restoration that was killed goes on when the same backup is restored into the same place again.

    Args:
        home: the workspace folder. Its keys are in secrets.env there, or in the environment, which also
            names the PostgreSQL database of a backup of one.

    Raises:
        ShouldFixArgument: the place is not empty, or the database is of another kind.
        ShouldProvideKey: keys are missing, or not those that the backup's rows were made with.
        ShouldRestoreArtefact: the backup is damaged; nothing was restored.
        ShouldFreeDisk: it does not fit.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        return _restored(place, manifest, home, actor, on_progress)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """``ShouldResolveConflict`` when another process restores into the folder."""
    handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ShouldResolveConflict(
            f"Another process restores into {home}.", "Wait for it, or stop it first."
        ) from None
    finally:
        os.close(handle)


def _restored(
    place: BackupPlace, manifest: BackupManifest, home: Path, actor: str, on_progress: Progress
) -> Restored:
    again = _require_empty(home, manifest)
    configured = settings.read(home)
    _require_keys(configured, manifest)
    _require_database(configured, manifest, again)
    require_room(home, manifest.size, shutil.disk_usage(home).free)
    checked = verify_backup(place, manifest, on_progress)
    if checked.problems:
        raise ShouldRestoreArtefact(
            f"Backup {manifest.backup_id} at {place.address} is damaged: {checked.problems[0]}",
            "Take another backup; nothing was restored.",
        )
    documents.write(manifest.backup_id, home / _MARK)
    done = 0
    for file in manifest.files[1:]:
        on_progress(done, manifest.size, file.path)
        _put_back(place, file, home / file.path)
        done += file.size
    on_progress(done, manifest.size, "database")
    _restore_database(place, manifest, home, configured.database_url, again)
    on_progress(manifest.size, manifest.size, "")
    workspace = open_workspace(home)
    recovered, refused = _recover(workspace, actor)
    (home / _MARK).unlink()
    workspace.audit.append(
        "default", actor, "backup.restore", manifest.backup_id, len(manifest.files)
    )
    return Restored(
        home=str(home),
        backup_id=manifest.backup_id,
        files=len(manifest.files),
        recovered=recovered,
        refused=refused,
        erasures_waiting=workspace.people.waiting(),
        missing=_missing(workspace),
    )


def _require_empty(home: Path, manifest: BackupManifest) -> bool:
    """Whether an earlier restoration of this backup was begun here; refuse what is not empty."""
    mark = home / _MARK
    if mark.exists() and documents.read(str, mark) == manifest.backup_id:
        return True
    there = sorted(path.name for path in home.iterdir() if path.name not in _ALLOWED)
    there = [name for name in there if not name.startswith(".")]
    if there or mark.exists():
        raise ShouldFixArgument(
            f"{home} is not empty: {', '.join(there[:3]) or 'another backup was begun here'}.",
            "Restore into a new folder that holds secrets.env alone, never over a workspace.",
        )
    return False


def _require_keys(configured: settings.Settings, manifest: BackupManifest) -> None:
    replaced: Mapping[str, frozenset[str]] = configured.replaced
    for name, fingerprint in manifest.keys.items():
        ours = configured.fingerprints.get(name, "")
        if fingerprint != ours and fingerprint not in replaced.get(name, frozenset()):
            raise ShouldProvideKey(
                f"{name} here is {ours}, and the rows of backup {manifest.backup_id} were made with "
                f"{fingerprint}.",
                f"Put the key of that time into {settings.SECRETS_FILE} or the environment.",
            )


def _require_database(configured: settings.Settings, manifest: BackupManifest, again: bool) -> None:
    postgresql = manifest.database == "postgresql"
    if postgresql != bool(configured.database_url):
        raise ShouldFixArgument(
            f"Backup {manifest.backup_id} is of {manifest.database_version}.",
            f"Name an empty PostgreSQL database in {settings.DATABASE_URL}."
            if postgresql
            else f"Leave {settings.DATABASE_URL} empty.",
        )
    if postgresql and not again:
        require_empty_postgresql(configured.database_url)


def _put_back(place: BackupPlace, file: BackupFile, path: Path) -> None:
    if path.is_file() and documents.sha256_of(path) == file.sha256:
        return
    place.get(file.sha256, path)
    if file.path.startswith("blobs/"):
        path.chmod(0o444)


def _restore_database(
    place: BackupPlace, manifest: BackupManifest, home: Path, database_url: str, again: bool
) -> None:
    database = manifest.files[0]
    if database.path != POSTGRESQL:
        target = home / settings.DATABASE_FILE
        if not target.exists():
            place.get(database.sha256, target)
            target.chmod(0o644)
            sync_folder(home)
        return
    if again and not is_empty_postgresql(database_url):
        return  # a dump is restored in one transaction, and the database was empty before
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as folder:
        dump = Path(folder) / "dump"
        place.get(database.sha256, dump)
        restore_postgresql(database_url, dump)


def _recover(workspace: Workspace, actor: str) -> tuple[Recovered | None, str]:
    try:
        recovered = recover_ledger(workspace, actor)
        workspace.ledger.verify()
    except EverloopError as problem:
        return None, str(problem)
    if recovered.waits_for_key:
        return recovered, (
            f"The journal goes on under the pseudonym key {recovered.waits_for_key}. Put it into "
            f"{settings.PSEUDONYM_KEY_NEXT}, run `everloop keys rotate-pseudonyms`, then `everloop "
            "privacy recover`."
        )
    return recovered, ""


def _missing(workspace: Workspace) -> tuple[str, ...]:
    """Weights that a registered checkpoint names and that are not here."""
    table = model_checkpoints.c
    query = select(
        table.checkpoint_id, table.loop, table.tenant, table.weights_url, table.weights_sha256
    ).order_by(table.training_date)
    with reading(workspace.engine) as connection:
        rows = connection.execute(query).all()
    found = []
    for checkpoint_id, loop, tenant, url, sha256 in rows:
        try:
            workspace.blobs.fetch(url, sha256)
        except ShouldRestoreArtefact:
            found.append(f"weights of checkpoint {checkpoint_id} ({loop}, {tenant})")
    return tuple(found)
