"""Make a backup: the database as of one moment first, then the files that it may name.

Datasets and artefacts are immutable, so that those which a place has already are not copied again, and
whatever the snapshot names was there when it was taken or is copied after. The manifest is written last.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from everloop import settings
from everloop.contracts import documents
from everloop.contracts.backups import (
    POSTGRESQL,
    SQLITE,
    BackupFile,
    BackupManifest,
    BackupPlace,
)
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact, ShouldRetryLater
from everloop.sdk.backups.claims import backup_id_of, making, require_made
from everloop.sdk.backups.places import encoded, manifest_of
from everloop.storage.sql.dumps import Snapshot, snapshot
from everloop.storage.sql.engine import is_postgresql
from everloop.storage.sql.erasure_marks import erased_files
from everloop.wiring import open_workspace

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what is being copied."""

_ALWAYS = ("datasets", "blobs")
_IMMUTABLE = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{64}|datasets/[0-9a-f]{64}/.+")
_REPORTS = "reports"
_RUNS = "runs"


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """A backup and what it took.

    Attributes:
        manifest: what it holds.
        copied: files that the place did not have.
        copied_bytes: their bytes.
    """

    manifest: BackupManifest
    copied: int
    copied_bytes: int


def silent(done: int, total: int, path: str) -> None:
    """Tell nobody."""


def create_backup(
    place: BackupPlace,
    home: Path | str | None = None,
    *,
    reports: bool = False,
    repair: bool = False,
    on_progress: Progress = silent,
) -> MadeBackup:
    """Copy a workspace, which goes on working, to a place.

    One that is killed leaves objects that the next one finds, and no backup.

    Args:
        place: where to.
        reports: also reports and runs, which tell what was and are needed for nothing that follows.
        repair: read what the place has already, and write again what is damaged there.

    Raises:
        ShouldFreeDisk, ShouldRetryLater, ShouldFixArgument: as the database's snapshot and the place do.
        ShouldRestoreArtefact: a file of the workspace is damaged.
        ShouldWaitForWorker: somebody prunes there.
    """
    workspace = open_workspace(home)
    configured = settings.read(home)
    began = datetime.now(UTC)
    backup_id = backup_id_of(began)
    known = _known(place)
    postgresql = is_postgresql(workspace.engine)
    with (
        making(place, backup_id),
        tempfile.TemporaryDirectory(prefix=".backup-", dir=workspace.home) as folder,
    ):
        dump = Path(folder) / Path(POSTGRESQL if postgresql else SQLITE).name
        on_progress(0, 0, "database")
        taken = snapshot(workspace.engine, dump)
        database = _file(POSTGRESQL if postgresql else SQLITE, dump)
        # Whom the snapshot lacks may be in files yet: an erasure deletes them once it has committed.
        datasets, pages = erased_files(workspace.engine)
        parts = _ALWAYS + ((_REPORTS, _RUNS) if reports else ())
        files = _files(workspace.home, parts, known)
        found = [(database, dump)]
        found += [one for one in files if not _is_erased(one[0].path, datasets, pages)]
        copied, copied_bytes = _copy(place, found, repair, on_progress)
        _require_all(place, found)
        bucket = settings.storage()
        manifest = _manifest(
            backup_id,
            began,
            taken,
            postgresql,
            configured.fingerprints,
            "" if bucket is None else f"gs://{bucket.name}/{bucket.prefix}".rstrip("/"),
            tuple(file for file, _ in found),
        )
        place.put_manifest(backup_id, encoded(manifest))
        require_made(place, backup_id)
    return MadeBackup(manifest, copied, copied_bytes)


def _manifest(
    backup_id: str,
    began: datetime,
    taken: Snapshot,
    postgresql: bool,
    keys: Mapping[str, str],
    artefacts: str,
    files: tuple[BackupFile, ...],
) -> BackupManifest:
    return BackupManifest(
        backup_id=backup_id,
        created_at=began,
        version=version("everloop"),
        schema=taken.schema,
        database="postgresql" if postgresql else "sqlite",
        database_version=taken.version,
        keys=keys,
        ledger_rows=taken.ledger_rows,
        ledger_sha256=taken.ledger_sha256,
        journal_id=taken.journal_id,
        artefacts=artefacts,
        files=files,
    )


def _known(place: BackupPlace) -> dict[tuple[str, int], str]:
    """Checksums of immutable files that the newest backup read, by path and size."""
    ids = place.manifests()
    if not ids:
        return {}
    try:
        last = manifest_of(place, ids[-1])
    except ShouldRestoreArtefact:
        return {}
    return {
        (file.path, file.size): file.sha256
        for file in last.files
        if _IMMUTABLE.fullmatch(file.path)
    }


def _files(
    home: Path, parts: tuple[str, ...], known: Mapping[tuple[str, int], str]
) -> Iterator[tuple[BackupFile, Path]]:
    for part in parts:
        for path in sorted((home / part).rglob("*")):
            relative = path.relative_to(home)
            if path.is_symlink() or any(name.startswith(".") for name in relative.parts):
                continue
            try:
                if path.is_file():
                    yield _file(relative.as_posix(), path, known), path
            except FileNotFoundError:  # an erasure came between
                continue


def _file(name: str, path: Path, known: Mapping[tuple[str, int], str] | None = None) -> BackupFile:
    size = path.stat().st_size
    sha256 = (known or {}).get((name, size)) or documents.sha256_of(path)
    return BackupFile(name, sha256, size)


def _is_erased(path: str, datasets: frozenset[str], pages: frozenset[str]) -> bool:
    folder, _, rest = path.partition("/")
    return (folder == "datasets" and rest.partition("/")[0] in datasets) or (
        folder == _REPORTS and rest in pages
    )


def _copy(
    place: BackupPlace,
    found: list[tuple[BackupFile, Path]],
    repair: bool,
    on_progress: Progress,
) -> tuple[int, int]:
    total = sum(file.size for file, _ in found)
    done = copied = copied_bytes = 0
    gone = []
    for pair in found:
        file, path = pair
        on_progress(done, total, file.path)
        if not place.has(file.sha256, file.size) or (repair and not _reads(place, file.sha256)):
            if not path.exists():  # an erasure came between
                gone.append(pair)
                continue
            place.put(file.sha256, path)
            copied, copied_bytes = copied + 1, copied_bytes + file.size
        done += file.size
    for pair in gone:
        found.remove(pair)
    on_progress(total, total, "")
    return copied, copied_bytes


def _reads(place: BackupPlace, sha256: str) -> bool:
    try:
        place.check(sha256)
    except ShouldRestoreArtefact:
        return False
    return True


def _require_all(place: BackupPlace, found: list[tuple[BackupFile, Path]]) -> None:
    """``ShouldRetryLater`` when something that was there, or was put there, is gone."""
    there = set(place.objects())
    for file, _ in found:
        if file.sha256 not in there:
            raise ShouldRetryLater(
                f"{file.path} was deleted at {place.address} while the backup was made.",
                "Find out who deletes there, and repeat.",
            )


def require_room(home: Path, needed: int, free: int) -> None:
    """``ShouldFreeDisk`` unless so many bytes fit."""
    if needed > free:
        raise ShouldFreeDisk(
            f"{home} has room for {free:,} bytes, and the backup has {needed:,}.",
            "Free disk space, or restore elsewhere.",
        )
