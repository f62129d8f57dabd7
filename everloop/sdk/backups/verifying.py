"""Read what backups hold: all of it, or what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from everloop.contracts.backups import BackupManifest, BackupPlace
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.sdk.backups.places import manifest_of

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class VerifiedBackup:
    """What reading a backup found.

    Attributes:
        files: that were read.
        size: bytes of them.
        problems: what is missing or damaged, in words; a backup without any can be restored.
    """

    backup_id: str
    files: int
    size: int
    problems: tuple[str, ...]


def list_backups(place: BackupPlace) -> tuple[BackupManifest, ...]:
    """Every backup whose manifest reads, oldest first."""
    found = []
    for backup_id in place.manifests():
        try:
            found.append(manifest_of(place, backup_id))
        except ShouldRestoreArtefact:
            continue
    return tuple(found)


def verify_backup(
    place: BackupPlace, manifest: BackupManifest, on_progress: Progress
) -> VerifiedBackup:
    """Read every object of a backup and compare its checksum."""
    done, problems, read = 0, [], set()
    for file in manifest.files:
        on_progress(done, manifest.size, file.path)
        if file.sha256 not in read:
            try:
                place.check(file.sha256)
            except ShouldRestoreArtefact as problem:
                problems.append(f"{file.path}: {problem.message}")
            read.add(file.sha256)
        done += file.size
    on_progress(done, manifest.size, "")
    return VerifiedBackup(manifest.backup_id, len(manifest.files), done, tuple(problems))
