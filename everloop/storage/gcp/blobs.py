"""``BlobStore`` in a bucket: immutable objects named by their SHA-256, kept in the workspace once read."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFreeDisk, ShouldResolveConflict, ShouldRestoreArtefact
from everloop.storage.gcp.client import Superseded
from everloop.storage.gcp.immutable import ImmutableObjects
from everloop.storage.gcp.objects import ABSENT, Objects
from everloop.storage.local.blobs import LocalBlobStore, address_of, require_address

__all__ = ["GcsBlobStore", "ImmutableObjects", "blob_name"]

_PIECE = 1 << 20
_TRIES = 5
_PARTIAL = ".partial-"
_ABANDONED_SECONDS = 86_400.0
_RESTORE = "Restore it from a backup: a private release is never made a second time."


def blob_name(sha256: str) -> str:
    """The object that holds a blob: ``blobs/<first two digits>/<sha256>``."""
    return f"blobs/{sha256[:2]}/{sha256}"


class GcsBlobStore:
    """Blobs of a bucket, at the addresses that they have in every store.

    What was fetched is kept in the workspace, and its checksum is verified each time. Nothing is evicted:
    models are small beside datasets, and whoever needs the room deletes the folder.

    Args:
        objects: the bucket.
        cache: folder of the workspace for what was fetched; made when it is needed.
    """

    def __init__(self, objects: Objects, cache: Path | str) -> None:
        self._objects = objects
        self._folder = Path(cache)
        self._cache = LocalBlobStore(cache)

    def put(self, path: Path) -> tuple[str, str]:
        """See ``BlobStore``. A large file goes piece by piece; a cut upload leaves no blob.

        Raises:
            ShouldRestoreArtefact: there is no such file, or it changed while it was stored.
            ShouldResolveConflict: others wrote it again and again meanwhile.
            ShouldProvideKey, ShouldAskForScope, ShouldFixArgument, ShouldSlowDown, ShouldRetryLater:
                as ``client.named`` says.
        """
        path = Path(path)
        if not path.is_file():
            raise ShouldRestoreArtefact(f"There is no file {path}.", "Rerun what writes it.")
        sha256, crc32c = _digests(path)
        size = path.stat().st_size
        for _ in range(_TRIES):
            there = self._objects.about(blob_name(sha256))
            if there is not None and (there.size, there.crc32c) == (size, crc32c):
                return address_of(sha256), sha256
            replaced = ABSENT if there is None else there.generation
            with suppress(Superseded):
                self._objects.upload(blob_name(sha256), path, crc32c, replaced)
                return address_of(sha256), sha256
        raise ShouldResolveConflict(
            f"{self._objects.url}/{blob_name(sha256)} was written by others {_TRIES} times meanwhile.",
            "Repeat it, and find out who writes there.",
        )

    def fetch(self, url: str, sha256: str) -> Path:
        """See ``BlobStore``.

        Raises:
            ShouldFreeDisk: it does not fit into the workspace.
            ShouldProvideKey, ShouldAskForScope, ShouldFixArgument, ShouldSlowDown, ShouldRetryLater:
                as ``client.named`` says.
        """
        require_address(url, sha256)
        with suppress(ShouldRestoreArtefact):
            return self._cache.fetch(url, sha256)
        try:
            self._bring(sha256)
        except OSError as problem:
            if not documents.is_full_disk(problem):
                raise
            raise ShouldFreeDisk(
                f"No room for blob {sha256} in {self._folder}.", "Free disk space and repeat."
            ) from problem
        return self._cache.fetch(url, sha256)

    def adopt(self, path: Path, url: str) -> None:
        """Put a file that is to have an address; ``ShouldRestoreArtefact`` when it has another."""
        if url != address_of(documents.sha256_of(path)):
            raise ShouldRestoreArtefact(f"{path} is damaged: it is not {url}.", _RESTORE)
        self.put(path)

    def _bring(self, sha256: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _sweep(self._folder)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=self._folder)
        os.close(handle)
        partial = Path(name)
        where = f"{self._objects.url}/{blob_name(sha256)}"
        try:
            try:
                self._objects.download(blob_name(sha256), partial)
            except ShouldRestoreArtefact as problem:
                raise ShouldRestoreArtefact(problem.message, _RESTORE) from problem
            actual = documents.sha256_of(partial)
            if actual != sha256:
                raise ShouldRestoreArtefact(
                    f"Blob {where} is damaged: its SHA-256 is {actual}.", _RESTORE
                )
            self._cache.put(partial)
        finally:
            partial.unlink(missing_ok=True)


def _digests(path: Path) -> tuple[str, str]:
    """SHA-256 in hexadecimal and CRC32C as buckets write it, of the same bytes."""
    strong = hashlib.sha256()
    weak: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            strong.update(piece)
            weak.update(piece)
    return strong.hexdigest(), base64.b64encode(weak.digest()).decode()


def _sweep(folder: Path) -> None:
    """Remove what killed downloads left behind."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                partial.unlink()
