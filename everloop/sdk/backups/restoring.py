"""Restore a backup into an empty workspace, and teach it what happened since.

The order makes it safe to be killed anywhere: everything is read first; datasets and artefacts are put
back; the database comes last and whole, and it is noted that it did; then people who were erased since are
erased again, and what was spent since is charged again. Until then nobody else opens the workspace.
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
from everloop.storage.local.erased_artefacts import ErasedArtefacts
from everloop.storage.local.folders import sync_folder
from everloop.storage.schema import model_checkpoints
from everloop.storage.sql.dumps import holds_ledger_row, is_empty_postgresql, restore_postgresql
from everloop.storage.sql.engine import reading
from everloop.storage.sql.erasure_marks import erased_files
from everloop.storage.sql.postgresql_engine import name_of, parsed
from everloop.wiring import Workspace, open_workspace

Progress = Callable[[int, int, str], None]

_ALLOWED = frozenset(
    {
        settings.SECRETS_FILE,
        settings.FINGERPRINT_FILE,
        settings.JOURNAL_FOLDER,
        settings.RESTORING_FILE,
    }
)
"""What may stand in an empty workspace: its keys and its journal."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A restoration that has not ended.

    Attributes:
        backup_id: of which backup.
        database: where the database is, once it is restored whole; empty before.
    """

    backup_id: str
    database: str = ""


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
        ShouldFixArgument: the place is not empty, the database is of another kind, or somebody made
            another one while a restoration that was killed waited to be repeated.
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
    begun = _require_empty(home, manifest)
    configured = settings.read(home, restoring=True)
    _require_keys(configured, manifest)
    _require_kind(configured, manifest)
    _is_restored(configured, manifest, begun)
    require_room(home, manifest.size, shutil.disk_usage(home).free)
    checked = verify_backup(place, manifest, on_progress)
    if checked.problems:
        raise ShouldRestoreArtefact(
            f"Backup {manifest.backup_id} at {place.address} is damaged: {checked.problems[0]}",
            "Restore another one (--backup), or repair it where the workspace still is: everloop "
            "backup create --repair. Nothing was restored.",
        )
    if begun is None:
        begun = _Begun(manifest.backup_id)
        documents.write(begun, home / settings.RESTORING_FILE)
    done = 0
    for file in manifest.files[1:]:
        on_progress(done, manifest.size, file.path)
        _put_back(place, file, home / file.path)
        done += file.size
    on_progress(done, manifest.size, "database")
    if not _is_restored(configured, manifest, begun):
        _restore_database(place, manifest.files[0], configured)
    documents.write(
        _Begun(manifest.backup_id, _database_of(configured)), home / settings.RESTORING_FILE
    )
    on_progress(manifest.size, manifest.size, "")
    workspace = open_workspace(home, restoring=True)
    ErasedArtefacts(home).remove_made_from(*erased_files(workspace.engine))
    recovered, refused = _recover(workspace, actor)
    (home / settings.RESTORING_FILE).unlink()
    sync_folder(home)
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


def _require_empty(home: Path, manifest: BackupManifest) -> _Begun | None:
    """How far an earlier restoration of this backup came here; refuse what is not empty."""
    begun = _begun(home / settings.RESTORING_FILE)
    if begun is not None and begun.backup_id == manifest.backup_id:
        return begun
    there = sorted(path.name for path in home.iterdir() if path.name not in _ALLOWED)
    there = [name for name in there if not name.startswith(".")]
    if there or begun is not None:
        raise ShouldFixArgument(
            f"{home} is not empty: {', '.join(there[:3]) or 'another backup was begun here'}.",
            "Restore into a new folder that holds secrets.env alone, never over a workspace.",
        )
    return None


def _begun(path: Path) -> _Begun | None:
    if not path.exists():
        return None
    try:
        return documents.read(_Begun, path)
    except ShouldRestoreArtefact as problem:
        raise ShouldFixArgument(
            f"{path} does not say which backup was begun here.",
            "Restore into a new folder that holds secrets.env alone, never over a workspace.",
        ) from problem


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


def _require_kind(configured: settings.Settings, manifest: BackupManifest) -> None:
    postgresql = manifest.database == "postgresql"
    if postgresql != bool(configured.database_url):
        raise ShouldFixArgument(
            f"Backup {manifest.backup_id} is of {manifest.database_version}.",
            f"Name an empty PostgreSQL database in {settings.DATABASE_URL}."
            if postgresql
            else f"Leave {settings.DATABASE_URL} empty.",
        )


def _database_of(configured: settings.Settings) -> str:
    """Where the database is, without a password."""
    if configured.database_url:
        return name_of(parsed(configured.database_url))
    return settings.DATABASE_FILE


def _is_restored(
    configured: settings.Settings, manifest: BackupManifest, begun: _Begun | None
) -> bool:
    """Whether the database is restored already; ``ShouldFixArgument`` when it is somebody else's.

    That it is there proves nothing: whatever opens a workspace makes an empty one. It counts when it was
    noted, or, where a process was killed before it noted it, when it is what the backup makes.
    """
    target, url = configured.home / settings.DATABASE_FILE, configured.database_url
    noted = begun is not None and begun.database == _database_of(configured)
    if not (is_empty_postgresql(url) if url else not target.exists()):
        if noted or (begun is not None and _is_of(manifest, url, target)):
            return True
        raise ShouldFixArgument(
            f"{_database_of(configured)} holds tables, and no restoration into {configured.home} made "
            "them.",
            "Restore into an empty database, and never over one that may know more than the backup."
            if url
            else f"Move {target} away, and repeat.",
        )
    return False


def _is_of(manifest: BackupManifest, url: str, target: Path) -> bool:
    if url:
        return holds_ledger_row(url, manifest.ledger_rows, manifest.ledger_sha256)
    return documents.sha256_of(target) == manifest.files[0].sha256


def _put_back(place: BackupPlace, file: BackupFile, path: Path) -> None:
    if path.is_file() and documents.sha256_of(path) == file.sha256:
        return
    place.get(file.sha256, path)
    if file.path.startswith("blobs/"):
        path.chmod(0o444)


def _restore_database(
    place: BackupPlace, database: BackupFile, configured: settings.Settings
) -> None:
    """In one step or one transaction."""
    home = configured.home
    if database.path != POSTGRESQL:
        target = home / settings.DATABASE_FILE
        place.get(database.sha256, target)
        target.chmod(0o644)
        sync_folder(home)
        return
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as folder:
        dump = Path(folder) / "dump"
        place.get(database.sha256, dump)
        restore_postgresql(configured.database_url, dump)


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
