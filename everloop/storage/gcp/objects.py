"""Objects of a bucket under a prefix: every write says which generation it replaces."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import google_crc32c
from google.api_core.exceptions import NotFound

from everloop.contracts.errors import ShouldRestoreArtefact, ShouldRetryLater
from everloop.settings import Bucket
from everloop.storage.gcp.client import REQUEST_SECONDS, RETRY, Superseded, named, open_client

_PIECE = 8 << 20
"""Bytes a request of a large upload; one that fails is repeated from where it was."""
_TRIES = 3
_READS = 20
ABSENT = 0
"""The generation of an object that is not there."""
_WRITE = "everloop-write"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the bucket says of an object.

    Attributes:
        name: relative to the prefix.
        generation: changes with every write; > 0.
        crc32c: base64 of the big-endian checksum, as the bucket computed it.
        created: when it was written, UTC.
    """

    name: str
    size: int
    generation: int
    crc32c: str
    created: datetime


class Objects:
    """A bucket's objects whose names begin with a prefix.

    Every method raises what ``client.named`` says.

    Args:
        place: bucket and prefix.
        client: of Google's library; one with the environment's credentials by default.
        patience: in seconds, how long a small object's request is tried again, and how long one try may
            wait; for whoever holds what others wait for.
    """

    def __init__(self, place: Bucket, client: Any = None, patience: float | None = None) -> None:
        self._retry = RETRY if patience is None else RETRY.with_timeout(patience)
        self._timeout = REQUEST_SECONDS if patience is None else (patience, patience)
        self.url = f"gs://{place.name}" + (f"/{place.prefix}" if place.prefix else "")
        self.bucket_name = place.name
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        self._client = client or open_client()
        self._bucket = self._client.bucket(place.name)

    def about(self, name: str) -> Stored | None:
        """What the bucket says of an object; ``None`` where there is none."""
        with named(self._bucket_url):
            try:
                blob = self._blob(name)
                blob.reload(retry=self._retry, timeout=self._timeout)
            except NotFound as problem:
                _require_bucket(problem)
                return None
        return self._stored(blob)

    def list(self, prefix: str = "", every_generation: bool = False) -> Iterator[Stored]:
        """Objects whose names begin so, in the order of their names.

        Args:
            every_generation: with those that were replaced or deleted, where the bucket keeps such.
        """
        with named(self._bucket_url):
            found = self._client.list_blobs(
                self._bucket,
                prefix=self._prefix + prefix,
                versions=every_generation,
                retry=self._retry,
                timeout=self._timeout,
            )
            for blob in found:
                yield self._stored(blob)

    def read(self, name: str) -> tuple[bytes, int] | None:
        """A small object's bytes and their generation; ``None`` where there is none.

        Raises:
            ShouldRetryLater: it was replaced again and again while it was read.
        """
        for _ in range(_READS):
            about = self.about(name)
            if about is None:
                return None
            with named(f"{self.url}/{name}"), suppress(NotFound):  # replaced or deleted meanwhile
                blob = self._blob(name, about.generation)
                data = blob.download_as_bytes(retry=self._retry, timeout=self._timeout)
                return data, about.generation
        raise ShouldRetryLater(
            f"{self.url}/{name} was replaced {_READS} times while it was read.", "Read it again."
        )

    def download(self, name: str, path: Path) -> None:
        """Write an object into a file, its checksum verified.

        Raises:
            ShouldRestoreArtefact: there is none, or it arrived damaged three times.
        """
        for left in reversed(range(_TRIES)):
            try:
                self._download(name, path)
            except ShouldRestoreArtefact:
                path.unlink(missing_ok=True)
                if not left:
                    raise
            else:
                return

    def reader(self, name: str) -> IO[bytes]:
        """An object as a seekable file that asks for the parts that are read."""
        with named(f"{self.url}/{name}"):
            return self._blob(name).open("rb", retry=RETRY, timeout=REQUEST_SECONDS)  # type: ignore[no-any-return]

    def write(self, name: str, data: bytes, replaces: int = ABSENT) -> int:
        """Write a small object in one step; its new generation.

        Args:
            replaces: the generation that it must have; ``ABSENT``: it must not be there.

        Raises:
            Superseded: it has another one.
        """
        blob = self._blob(name)
        blob.metadata = {_WRITE: secrets.token_hex(16)}
        try:
            with named(self._bucket_url):
                blob.upload_from_string(
                    data,
                    content_type="application/octet-stream",
                    if_generation_match=replaces,
                    checksum="crc32c",
                    retry=self._retry,
                    timeout=self._timeout,
                )
        except Superseded:
            # A request that was repeated for want of an answer meets what it wrote the first time.
            return self._own(name, blob.metadata[_WRITE])
        return int(blob.generation)

    def upload(self, name: str, path: Path, crc32c: str, replaces: int = ABSENT) -> int:
        """Write a file; its new generation. Large ones go piece by piece, and are there once whole.

        Whoever is killed within leaves nothing under the name.

        Args:
            crc32c: the file's, by ``checksum_of``.
            replaces: as ``write``.

        Raises:
            Superseded: it has another one and other content.
        """
        blob = self._blob(name)
        blob.chunk_size = _PIECE
        size = path.stat().st_size
        try:
            with named(self._bucket_url):
                blob.upload_from_filename(
                    str(path),
                    content_type="application/octet-stream",
                    if_generation_match=replaces,
                    checksum="crc32c",
                    retry=RETRY,
                    timeout=REQUEST_SECONDS,
                )
        except Superseded:
            return self._equal(name, size, crc32c)
        if (blob.size, blob.crc32c) != (size, crc32c):
            self.delete(name, int(blob.generation))
            raise ShouldRestoreArtefact(
                f"{self.url}/{name} arrived with {blob.size} bytes and checksum {blob.crc32c}, not with "
                f"{size} and {crc32c}.",
                "Repeat it: nothing of it was kept.",
            )
        return int(blob.generation)

    def delete(self, name: str, generation: int | None = None) -> bool:
        """Delete an object, or one generation of it; whether it was there."""
        with named(self._bucket_url):
            try:
                blob = self._blob(name, generation)
                blob.delete(retry=RETRY, timeout=REQUEST_SECONDS)
            except NotFound as problem:
                _require_bucket(problem)
                return False
        return True

    def purge(self, prefix: str) -> int:
        """Delete every generation of every object whose name begins so; how many there were."""
        found = list(self.list(prefix, every_generation=True))
        return sum(self.delete(one.name, one.generation) for one in found)

    @property
    def bucket(self) -> Any:
        """The library's bucket, for what only a check of its settings asks."""
        return self._bucket

    @property
    def _bucket_url(self) -> str:
        return f"gs://{self.bucket_name}"

    def _blob(self, name: str, generation: int | None = None) -> Any:
        return self._bucket.blob(self._prefix + name, generation=generation)

    def _stored(self, blob: Any) -> Stored:
        return Stored(
            name=blob.name.removeprefix(self._prefix),
            size=int(blob.size),
            generation=int(blob.generation),
            crc32c=blob.crc32c,
            created=blob.time_created,
        )

    def _download(self, name: str, path: Path) -> None:
        with named(f"{self.url}/{name}"):
            try:
                self._blob(name).download_to_filename(
                    str(path), checksum="crc32c", retry=RETRY, timeout=REQUEST_SECONDS
                )
            except NotFound as problem:
                _require_bucket(problem)
                raise ShouldRestoreArtefact(
                    f"There is no {self.url}/{name}.", "Restore it from a backup."
                ) from problem

    def _own(self, name: str, write: str) -> int:
        with named(self._bucket_url):
            there = self._bucket.get_blob(
                self._prefix + name, retry=self._retry, timeout=self._timeout
            )
        if there is None or (there.metadata or {}).get(_WRITE) != write:
            raise Superseded(f"{self.url}/{name}")
        return int(there.generation)

    def _equal(self, name: str, size: int, crc32c: str) -> int:
        there = self.about(name)
        if there is None or (there.size, there.crc32c) != (size, crc32c):
            raise Superseded(f"{self.url}/{name}")
        return there.generation


def _require_bucket(problem: NotFound) -> None:
    """An object that is not there is an answer; a bucket that is not there is an error."""
    if "specified bucket" in str(problem.message).lower():
        raise problem


def checksum_of(path: Path) -> str:
    """A file's CRC32C as buckets write it: base64 of four bytes, the highest first."""
    total: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            total.update(piece)
    return base64.b64encode(total.digest()).decode()
