"""Backups of a workspace: what one holds, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from everloop.contracts.errors import ShouldFixArgument

SQLITE = "database/state.db"
POSTGRESQL = "database/postgresql.dump"

FORMAT = "everloop backup 1"

_FOLDERS = frozenset({"datasets", "blobs", "reports", "runs"})
"""Folders of a workspace that a backup may write into; keys and the journal are in none of them."""


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file of a backup.

    Attributes:
        path: where it belongs in the workspace, with ``/``; the database is under ``database/``.
        sha256: of its bytes, by which a backup place keeps it.
        size: bytes.
    """

    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if self.path.startswith("/") or any(part in {"", ".", ".."} for part in parts):
            raise ShouldFixArgument(f"{self.path!r} is no path within a workspace.")
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ShouldFixArgument(f"{self.sha256!r} is no SHA-256.")
        if self.size < 0:
            raise ShouldFixArgument(f"{self.path} cannot have {self.size} bytes.")


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a backup holds; it is written last, so that a backup is whole or absent.

    Attributes:
        backup_id: of the moment that it began, sortable.
        created_at: that moment, UTC.
        version: of everloop.
        schema: revision of the database's schema.
        database: its kind.
        database_version: of the server or the library that wrote the snapshot.
        keys: fingerprint by the name of the key; no key is in a backup.
        ledger_rows: rows of the privacy ledger in the snapshot.
        ledger_sha256: hash of the last of them.
        journal_id: of the ledger's journal; the journal itself is no part of a backup.
        artefacts: bucket where datasets and blobs are; empty: they are among the files.
        files: the database's snapshot first.
    """

    backup_id: str
    created_at: datetime
    version: str
    schema: str
    database: Literal["sqlite", "postgresql"]
    database_version: str
    keys: Mapping[str, str]
    ledger_rows: int
    ledger_sha256: str
    journal_id: str
    artefacts: str
    files: tuple[BackupFile, ...]
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ShouldFixArgument(
                f"The backup is of format {self.format!r}, which this everloop does not know.",
                "Install the everloop that made it.",
            )
        if not self.files or self.files[0].path not in {SQLITE, POSTGRESQL}:
            raise ShouldFixArgument(f"Backup {self.backup_id} does not begin with a database.")
        for file in self.files[1:]:
            folder, _, rest = file.path.partition("/")
            if folder not in _FOLDERS or not rest:
                raise ShouldFixArgument(
                    f"Backup {self.backup_id} would write {file.path}, which no backup holds."
                )

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


class BackupPlace(Protocol):
    """A folder or a bucket with backups: objects by checksum, shared between backups, and manifests.

    Constraints: everything is written whole or not at all; objects never change.
    """

    @property
    def address(self) -> str:
        """Where it is, for messages."""

    def has(self, sha256: str, size: int) -> bool:
        """Whether an object of that checksum and size is there; it is not read."""

    def put(self, sha256: str, path: Path) -> None:
        """Keep a file's bytes; ``ShouldRestoreArtefact`` when they are not of that checksum."""

    def get(self, sha256: str, path: Path) -> None:
        """Write an object to a file, which is there whole or not at all; ``ShouldRestoreArtefact`` when it
        is missing or damaged."""

    def check(self, sha256: str) -> None:
        """Read an object; ``ShouldRestoreArtefact`` when it is missing or damaged."""

    def objects(self) -> Iterator[str]:
        """Checksums of every object."""

    def delete(self, sha256: str) -> int:
        """Delete an object; the bytes that it had, 0 when it was not there."""

    def manifests(self) -> tuple[str, ...]:
        """Ids of the backups, oldest first."""

    def manifest(self, backup_id: str) -> bytes:
        """``ShouldRestoreArtefact`` when there is no such backup."""

    def put_manifest(self, backup_id: str, data: bytes) -> None: ...

    def delete_manifest(self, backup_id: str) -> None: ...

    def claim(self, backup_id: str) -> None:
        """Say that a backup is being made, or that somebody prunes; neither begins beside the other."""

    def claims(self) -> tuple[str, ...]:
        """Work that goes on, or was cut short."""

    def release(self, backup_id: str) -> None:
        """Take a claim back; idempotent."""
