"""``BlobStore`` on one machine: immutable files named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.storage.local.folders import sync_folder

_SCHEME = "blob:sha256/"
_PARTIAL = ".partial-"
_PIECE = 1 << 20


def address_of(sha256: str) -> str:
    """The address of a blob, the same in every store."""
    return f"{_SCHEME}{sha256}"


def require_address(url: str, sha256: str) -> None:
    """Refuse an address that is not the checksum's; ``ShouldRestoreArtefact``."""
    found = re.fullmatch(rf"{_SCHEME}([0-9a-f]{{64}})", url)
    if found is None or found[1] != sha256:
        raise ShouldRestoreArtefact(
            f"{url!r} is not the address of a blob with SHA-256 {sha256!r}.",
            "Take both from the same record.",
        )


class LocalBlobStore:
    """Blobs under ``root/<first two digits>/<sha256>``.

    Addresses are ``blob:sha256/<sha256>``: they name no folder, so that a workspace can be moved.

    Args:
        root: folder of the blobs; made when it does not exist.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)

    def put(self, path: Path) -> tuple[str, str]:
        """See ``BlobStore``.

        Raises:
            ShouldRestoreArtefact: there is no such file.
            ShouldFreeDisk: it did not fit; nothing of it is left.
        """
        if not Path(path).is_file():
            raise ShouldRestoreArtefact(f"There is no file {path}.", "Rerun what writes it.")
        try:
            sha256 = self._store(Path(path))
        except OSError as problem:
            if not documents.is_full_disk(problem):
                raise
            raise ShouldFreeDisk(
                f"No room to store {path} in {self._root}.", "Free disk space and repeat."
            ) from problem
        return address_of(sha256), sha256

    def fetch(self, url: str, sha256: str) -> Path:
        """See ``BlobStore``."""
        require_address(url, sha256)
        path = self._path(sha256)
        try:
            actual = documents.sha256_of(path)
        except OSError as problem:
            raise ShouldRestoreArtefact(
                f"Blob {sha256} cannot be read from {path} ({problem.strerror}).",
                "Restore it from a backup: a private release is never made a second time.",
            ) from problem
        if actual != sha256:
            raise ShouldRestoreArtefact(
                f"Blob {path} is damaged: its SHA-256 is {actual}.",
                "Restore it from a backup: a private release is never made a second time.",
            )
        return path

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def _store(self, source: Path) -> str:
        self._root.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=self._root)
        partial = Path(name)
        try:
            digest = hashlib.sha256()
            with source.open("rb") as original, os.fdopen(handle, "wb") as copy:
                while piece := original.read(_PIECE):
                    digest.update(piece)
                    copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
            sha256 = digest.hexdigest()
            target = self._path(sha256)
            if not (target.is_file() and documents.sha256_of(target) == sha256):
                target.parent.mkdir(exist_ok=True)
                partial.chmod(0o444)
                partial.replace(target)
                sync_folder(target.parent)
                sync_folder(self._root)
            return sha256
        finally:
            partial.unlink(missing_ok=True)
