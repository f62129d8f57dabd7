"""Open the folder or the bucket that backups are kept in, and read what they say of themselves."""

from __future__ import annotations

import hashlib
import json

from everloop import settings
from everloop.contracts import documents
from everloop.contracts.backups import BackupManifest, BackupPlace
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRestoreArtefact
from everloop.storage.local.backup_folder import FolderBackups


def open_place(address: str) -> BackupPlace:
    """The place that an address names.

    Args:
        address: a folder, or ``gs://bucket/prefix``.

    Raises:
        ShouldFixArgument: it is neither.
    """
    if not address:
        raise ShouldFixArgument("No place is named.", "Give a folder or gs://bucket/prefix.")
    if "://" not in address:
        return FolderBackups(address)
    bucket = settings.bucket_of("The backup's address", address)
    from everloop.storage.gcp.backup_objects import BucketBackups
    from everloop.storage.gcp.objects import Objects

    return BucketBackups(Objects(bucket))


def encoded(manifest: BackupManifest) -> bytes:
    """A manifest's bytes, with a checksum of their own."""
    told = documents.to_json(manifest)
    sha256 = hashlib.sha256(told).hexdigest()
    return json.dumps({"sha256": sha256, "manifest": told.decode()}, indent=1).encode()


def manifest_of(place: BackupPlace, backup_id: str) -> BackupManifest:
    """Read a manifest.

    Raises:
        ShouldRestoreArtefact: it is missing or damaged, or of a version that this one does not know.
    """
    data = place.manifest(backup_id)
    where = f"The manifest of backup {backup_id} at {place.address}"
    try:
        found = json.loads(data)
        told = str(found["manifest"]).encode()
        sha256 = found["sha256"]
    except (ValueError, KeyError, TypeError) as problem:
        raise ShouldRestoreArtefact(
            f"{where} is damaged ({problem!r}).", "Take another backup."
        ) from problem
    if hashlib.sha256(told).hexdigest() != sha256:
        raise ShouldRestoreArtefact(
            f"{where} is not what its checksum says.", "Take another backup."
        )
    try:
        return documents.from_json(BackupManifest, told)
    except EverloopError as problem:
        raise ShouldRestoreArtefact(
            f"{where}: {problem.message}", "Take another backup, or the everloop that made it."
        ) from problem


def chosen(place: BackupPlace, backup_id: str) -> BackupManifest:
    """A backup by its id, or the newest one.

    Raises:
        ShouldRestoreArtefact: there is none, or it is damaged.
    """
    known = place.manifests()
    if not known:
        raise ShouldRestoreArtefact(
            f"There is no backup at {place.address}.", "Make one: everloop backup create --to …"
        )
    return manifest_of(place, backup_id or known[-1])
