"""Checksums of folders that hold a base model or an adapter.

A folder's checksum is the SHA-256 of the sorted lines ``<sha256 of the file>  <name>\\n`` of its files;
``manifest.json``, which may hold these lines, is left out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.speaking import AdapterFolder, BaseFolder

MANIFEST = "manifest.json"


def files_sha256(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of a folder's files, folders inside it included, without its manifest.

    Raises:
        ShouldRestoreArtefact: there is no such folder, or nothing is in it.
    """
    names = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    sums = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in names
        if path.relative_to(folder).as_posix() != MANIFEST
    }
    if not sums:
        raise ShouldRestoreArtefact(
            f"{folder} holds no model.", "Restore it, or rerun the stage that wrote it."
        )
    return sums


def folder_sha256(folder: Path) -> str:
    """The checksum that ``BaseFolder`` and ``AdapterFolder`` carry."""
    lines = sorted(f"{sha256}  {name}\n" for name, sha256 in files_sha256(folder).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def require_unchanged(folder: BaseFolder | AdapterFolder) -> None:
    """Read every file and compare.

    Raises:
        ShouldRestoreArtefact: the files are not those that the checksum was taken of.
    """
    found = folder_sha256(folder.path)
    if found != folder.sha256:
        raise ShouldRestoreArtefact(
            f"{folder.path} has the checksum {found}, and {folder.sha256} was expected.",
            "Restore the folder, or rerun the stage that wrote it.",
        )
