"""``BackupPlace`` in a folder: ``objects/<two digits>/<sha256>``, ``backups/<id>.json``."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact, ShouldRetryLater
from everloop.storage.local.folders import sync_folder

_PARTIAL = ".partial-"
_PIECE = 1 << 20
_RESTORE = "Restore it from another backup."
_REPAIR = (
    "Run `everloop backup create --repair` where the workspace has it still, or take another copy."
)


class FolderBackups:
    """Backups under a folder, best on another machine's disk.

    Args:
        root: the folder; made when something is first written.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root).absolute()

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._root)

    def has(self, sha256: str, size: int) -> bool:
        """See ``BackupPlace``."""
        path = self._object(sha256)
        return path.is_file() and path.stat().st_size == size

    def put(self, sha256: str, path: Path) -> None:
        """See ``BackupPlace``; ``ShouldFreeDisk`` when it does not fit."""
        target = self._object(sha256)
        with _named(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _copied(path, target, sha256, _RESTORE)

    def get(self, sha256: str, path: Path) -> None:
        """See ``BackupPlace``; ``ShouldFreeDisk`` when it does not fit."""
        source = self._object(sha256)
        self._require(source)
        with _named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _copied(source, path, sha256, _REPAIR)

    def check(self, sha256: str) -> None:
        """See ``BackupPlace``."""
        path = self._object(sha256)
        self._require(path)
        with _named(path):
            found = documents.sha256_of(path)
        if found != sha256:
            raise _damaged(path, found, _REPAIR)

    def objects(self) -> Iterator[str]:
        """See ``BackupPlace``."""
        for path in (self._root / "objects").glob("??/*"):
            if not path.name.startswith(_PARTIAL):
                yield path.name

    def delete(self, sha256: str) -> int:
        """See ``BackupPlace``."""
        path = self._object(sha256)
        if not path.is_file():
            return 0
        size = path.stat().st_size
        path.unlink(missing_ok=True)
        return size

    def manifests(self) -> tuple[str, ...]:
        """See ``BackupPlace``."""
        return tuple(sorted(path.stem for path in (self._root / "backups").glob("[0-9]*.json")))

    def manifest(self, backup_id: str) -> bytes:
        """See ``BackupPlace``."""
        path = self._root / "backups" / f"{backup_id}.json"
        try:
            return path.read_bytes()
        except OSError as problem:
            raise ShouldRestoreArtefact(
                f"Backup {path} cannot be read ({problem.strerror}).",
                "Take one that `everloop backup list` shows.",
            ) from problem

    def put_manifest(self, backup_id: str, data: bytes) -> None:
        """See ``BackupPlace``."""
        path = self._root / "backups" / f"{backup_id}.json"
        with _named(path):
            documents.write_atomically(data, path)
            sync_folder(path.parent)

    def delete_manifest(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        (self._root / "backups" / f"{backup_id}.json").unlink(missing_ok=True)

    def claim(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        path = self._root / "making" / backup_id
        with _named(path):
            documents.write_atomically(b"", path)

    def claims(self) -> tuple[str, ...]:
        """See ``BackupPlace``."""
        return tuple(sorted(path.name for path in (self._root / "making").glob("[0-9p]*")))

    def release(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        (self._root / "making" / backup_id).unlink(missing_ok=True)

    def _object(self, sha256: str) -> Path:
        return self._root / "objects" / sha256[:2] / sha256

    def _require(self, path: Path) -> None:
        if not path.is_file():
            raise ShouldRestoreArtefact(f"The backup's object {path} is missing.", _REPAIR)


def _copied(source: Path, target: Path, sha256: str, remedy: str) -> None:
    """Copy a file durably; nothing is at the target until it is whole and of its checksum."""
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
    try:
        digest = hashlib.sha256()
        with source.open("rb") as original, os.fdopen(handle, "wb") as copy:
            while piece := original.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if digest.hexdigest() != sha256:
            raise _damaged(source, digest.hexdigest(), remedy)
        Path(name).replace(target)
        sync_folder(target.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def _damaged(path: Path, found: str, remedy: str) -> ShouldRestoreArtefact:
    return ShouldRestoreArtefact(f"{path} is damaged: its SHA-256 is {found}.", remedy)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if documents.is_full_disk(problem):
            raise ShouldFreeDisk(
                f"No room to write {path}.", "Free disk space and repeat."
            ) from problem
        raise ShouldRetryLater(
            f"{path} can't be read or written ({problem.strerror}).",
            "Let this user use that folder, and repeat.",
            10.0,
        ) from problem
