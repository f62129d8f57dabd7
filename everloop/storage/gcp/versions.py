"""Dataset versions in a bucket: files first, then the one object that makes them a version.

::

    datasets/<dataset_id>/<attempt>/episodes.parquet …   never changed
    datasets/<dataset_id>/manifest.json                  the manifest, and which attempt holds its files

An attempt has a name of its own, so that whoever gives up deletes nothing of another's. Without a manifest
that names it, it is no version: those that killed processes left go after an hour.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from everloop.contracts import documents
from everloop.contracts.datasets import MANIFEST_FILE, DatasetManifest, FileEntry
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.storage.gcp.objects import ABSENT, Objects, Stored, checksum_of

_FOLDER = "datasets/"
_ABANDONED = timedelta(hours=1)
_AGAIN = "Extract the dataset again: its date is pinned, so it comes out the same."


@dataclass(frozen=True, slots=True)
class Published:
    """What ``manifest.json`` of a version says."""

    attempt: str
    manifest: DatasetManifest

    def __post_init__(self) -> None:
        if re.fullmatch(r"[0-9a-f]{16}", self.attempt) is None:
            raise ShouldFixArgument(f"attempt={self.attempt!r} is not 16 hexadecimal digits.")


class BucketVersions:
    """Every method raises what ``client.named`` says, too.

    Args:
        objects: the bucket.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.url = f"{objects.url}/{_FOLDER}".rstrip("/")

    def ids(self) -> tuple[str, ...]:
        """Every published version, sorted."""
        return tuple(sorted(_by_version(self._objects.list(_FOLDER), published=True)))

    def published(self, dataset_id: str) -> tuple[Published, int] | None:
        """What a version is and the generation of its manifest; ``None`` where there is none.

        Raises:
            ShouldRestoreArtefact: its manifest is malformed, or another version's.
        """
        found = self._objects.read(_manifest(dataset_id))
        if found is None:
            return None
        where = f"{self.url}/{dataset_id}/{MANIFEST_FILE}"
        try:
            version = documents.from_json(Published, found[0])
        except ShouldRestoreArtefact as problem:
            raise ShouldRestoreArtefact(f"{where}: {problem.message}", _AGAIN) from problem
        if version.manifest.dataset_id != dataset_id:
            raise ShouldRestoreArtefact(
                f"{where} is the manifest of {version.manifest.dataset_id}.", _AGAIN
            )
        return version, found[1]

    def generation(self, dataset_id: str) -> int:
        """Of a version's manifest, whatever it says; 0 where there is none."""
        found = self._objects.about(_manifest(dataset_id))
        return ABSENT if found is None else found.generation

    def upload(self, folder: Path, manifest: DatasetManifest) -> str:
        """Upload a version's files; the attempt's name. Nothing names it yet."""
        attempt = secrets.token_hex(8)
        for file in manifest.files:
            path = folder / file.name
            name = _file(manifest.dataset_id, attempt, file.name)
            self._objects.upload(name, path, checksum_of(path))
        return attempt

    def is_intact(self, version: Published, folder: Path) -> bool:
        """Whether the bucket's files of a version are, by their checksums, those in a folder."""
        prefix = f"{_FOLDER}{version.manifest.dataset_id}/{version.attempt}/"
        there = {
            one.name.removeprefix(prefix): (one.size, one.crc32c)
            for one in self._objects.list(prefix)
        }
        here = {
            file.name: ((folder / file.name).stat().st_size, checksum_of(folder / file.name))
            for file in version.manifest.files
        }
        return there == here

    def publish(self, version: Published, replaces: int) -> int:
        """Make an attempt the version; the manifest's generation.

        Args:
            replaces: from ``generation``.

        Raises:
            Superseded: another process has published it since.
        """
        name = _manifest(version.manifest.dataset_id)
        return self._objects.write(name, documents.to_json(version), replaces)

    def fetch(self, version: Published, folder: Path) -> None:
        """Write a version's files and its manifest into an empty folder.

        Raises:
            ShouldRestoreArtefact: a file is missing, or not what the manifest says.
        """
        for file in version.manifest.files:
            path = folder / Path(file.name).name
            name = _file(version.manifest.dataset_id, version.attempt, path.name)
            self._objects.download(name, path)
            _require(file, path, f"{self._objects.url}/{name}")
        documents.write(version.manifest, folder / MANIFEST_FILE)

    def reader(self, version: Published, name: str) -> IO[bytes]:
        """A file of a version, of which only what is looked at is read."""
        return self._objects.reader(_file(version.manifest.dataset_id, version.attempt, name))

    def withdraw(self, dataset_id: str, attempt: str) -> None:
        """Delete an attempt that nothing names."""
        self._objects.purge(f"{_FOLDER}{dataset_id}/{attempt}/")

    def unpublish(self, dataset_id: str, generation: int) -> bool:
        """Make a version no version any longer, unless it was published anew; whether it was one."""
        return self._objects.delete(_manifest(dataset_id), generation)

    def remove(self, dataset_id: str) -> None:
        """Delete everything of a version, also what no manifest names, and older generations."""
        self._objects.delete(_manifest(dataset_id))
        self._objects.purge(f"{_FOLDER}{dataset_id}/")

    def sweep(self, now: datetime | None = None) -> int:
        """Delete the attempts that nothing has named for an hour; how many younger ones are left."""
        before = (now or datetime.now(UTC)) - _ABANDONED
        waiting = 0
        for dataset_id, objects in _by_version(self._objects.list(_FOLDER), published=None).items():
            attempts = _attempts(objects)
            named = any(one.name == _manifest(dataset_id) for one in objects)
            if named and len(attempts) == 1:
                continue
            for attempt, newest in attempts.items():
                # Asked for each: it may have been published since it was listed.
                if attempt == self._attempt(dataset_id):
                    continue
                if newest < before:
                    self.withdraw(dataset_id, attempt)
                else:
                    waiting += 1
        return waiting

    def _attempt(self, dataset_id: str) -> str | None:
        try:
            found = self.published(dataset_id)
        except ShouldRestoreArtefact:
            return None
        return None if found is None else found[0].attempt


def _by_version(objects: Iterable[Stored], published: bool | None) -> dict[str, list[Stored]]:
    """Objects of each version; ``published``: only of those that have a manifest."""
    found: dict[str, list[Stored]] = {}
    for one in objects:
        found.setdefault(one.name.split("/")[1], []).append(one)
    if published is None:
        return found
    return {
        name: some for name, some in found.items() if any(o.name == _manifest(name) for o in some)
    }


def _attempts(objects: Collection[Stored]) -> dict[str, datetime]:
    """When something was last written to each attempt."""
    newest: dict[str, datetime] = {}
    for one in objects:
        parts = one.name.split("/")
        if len(parts) == 4:
            newest[parts[2]] = max(one.created, newest.get(parts[2], one.created))
    return newest


def _require(file: FileEntry, path: Path, url: str) -> None:
    sha256 = documents.sha256_of(path)
    if sha256 != file.sha256:
        raise ShouldRestoreArtefact(
            f"{url} is not what was written: its SHA-256 is {sha256}, not {file.sha256}.", _AGAIN
        )


def _manifest(dataset_id: str) -> str:
    return f"{_FOLDER}{dataset_id}/{MANIFEST_FILE}"


def _file(dataset_id: str, attempt: str, name: str) -> str:
    return f"{_FOLDER}{dataset_id}/{attempt}/{name}"
