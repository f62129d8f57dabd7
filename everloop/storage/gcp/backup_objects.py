"""``BackupPlace`` in a bucket: ``objects/<sha256>``, ``backups/<id>.json``, ``making/<id>``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.storage.gcp.client import Superseded
from everloop.storage.gcp.objects import Objects, checksum_of


class BucketBackups:
    """Backups under a prefix of a bucket. Every method raises what ``client.named`` says, too.

    Args:
        objects: the bucket.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @property
    def address(self) -> str:
        """The bucket and the prefix."""
        return self._objects.url

    def has(self, sha256: str, size: int) -> bool:
        """See ``BackupPlace``."""
        about = self._objects.about(f"objects/{sha256}")
        return about is not None and about.size == size

    def put(self, sha256: str, path: Path) -> None:
        """See ``BackupPlace``."""
        if documents.sha256_of(path) != sha256:
            raise ShouldRestoreArtefact(
                f"{path} is damaged: its SHA-256 is not {sha256}.",
                "Restore it from another backup.",
            )
        name, crc32c = f"objects/{sha256}", checksum_of(path)
        try:
            self._objects.upload(name, path, crc32c)
        except Superseded:  # what has its name is not what it says
            self._objects.delete(name)
            self._objects.upload(name, path, crc32c)

    def get(self, sha256: str, path: Path) -> None:
        """See ``BackupPlace``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".partial-{path.name}")
        try:
            self._objects.download(f"objects/{sha256}", partial)
            found = documents.sha256_of(partial)
            if found != sha256:
                raise ShouldRestoreArtefact(
                    f"{self.address}/objects/{sha256} is damaged: its SHA-256 is {found}.",
                    "Run `everloop backup create --repair` where the workspace has it still, or take "
                    "another copy.",
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def check(self, sha256: str) -> None:
        """See ``BackupPlace``."""
        with tempfile.TemporaryDirectory() as folder:
            self.get(sha256, Path(folder) / "object")

    def objects(self) -> Iterator[str]:
        """See ``BackupPlace``."""
        for stored in self._objects.list("objects/"):
            yield stored.name.removeprefix("objects/")

    def delete(self, sha256: str) -> int:
        """See ``BackupPlace``."""
        about = self._objects.about(f"objects/{sha256}")
        return about.size if about and self._objects.delete(about.name, about.generation) else 0

    def manifests(self) -> tuple[str, ...]:
        """See ``BackupPlace``."""
        return self._ids("backups/", ".json")

    def manifest(self, backup_id: str) -> bytes:
        """See ``BackupPlace``."""
        found = self._objects.read(f"backups/{backup_id}.json")
        if found is None:
            raise ShouldRestoreArtefact(
                f"There is no {self.address}/backups/{backup_id}.json.",
                "Take one that `everloop backup list` shows.",
            )
        return found[0]

    def put_manifest(self, backup_id: str, data: bytes) -> None:
        """See ``BackupPlace``."""
        self._objects.write(f"backups/{backup_id}.json", data)

    def delete_manifest(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        self._objects.delete(f"backups/{backup_id}.json")

    def claim(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        self._objects.write(f"making/{backup_id}", b"")

    def claims(self) -> tuple[str, ...]:
        """See ``BackupPlace``."""
        return self._ids("making/", "")

    def release(self, backup_id: str) -> None:
        """See ``BackupPlace``."""
        self._objects.delete(f"making/{backup_id}")

    def _ids(self, folder: str, ending: str) -> tuple[str, ...]:
        found = (one.name.removeprefix(folder) for one in self._objects.list(folder))
        return tuple(sorted(name.removesuffix(ending) for name in found if name.endswith(ending)))
