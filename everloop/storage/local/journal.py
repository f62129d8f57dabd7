"""``SpendJournal`` in a folder: one read-only file a record, made whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.storage.local.folders import sync_folder

_NAME = re.compile(r"(?:[a-z0-9-]+/)*[a-z0-9-]+\.[a-z]+")
_PARTIAL = ".partial-"


class FolderJournal:
    """Records under a folder; another disk than the database's is the better place.

    Args:
        root: the folder; made when something is first written.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._root)

    def write(self, name: str, data: bytes) -> None:
        """See ``SpendJournal``.

        Raises:
            ShouldResolveConflict: other bytes have this name.
            ShouldFreeDisk: the disk is full; nothing of it is left.
            ShouldRetryLater: the folder can't be written.
        """
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._place(path, data)
        except FileExistsError:
            if path.read_bytes() != data:
                raise ShouldResolveConflict(
                    f"{path} is there with another content.", "Records are never changed."
                ) from None
            sync_folder(path.parent)
        except OSError as problem:
            if documents.is_full_disk(problem):
                raise ShouldFreeDisk(
                    f"No room to write {path}.", "Free disk space and repeat."
                ) from problem
            raise ShouldRetryLater(
                f"{path} can't be written ({problem.strerror}).",
                "Let this user write the journal's folder, and repeat.",
                10.0,
            ) from problem

    def read(self, name: str) -> bytes:
        """See ``SpendJournal``."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except OSError as problem:
            raise ShouldRestoreArtefact(
                f"{path} cannot be read ({problem.strerror}).", "Put it back from a copy."
            ) from problem

    def names(self, prefix: str) -> Sequence[str]:
        """See ``SpendJournal``."""
        folder = (
            self._root / Path(prefix).parent if not prefix.endswith("/") else self._root / prefix
        )
        try:
            found = [path.relative_to(self._root).as_posix() for path in folder.iterdir()]
        except FileNotFoundError:
            return ()
        except OSError as problem:
            raise ShouldRetryLater(
                f"{folder} cannot be read ({problem.strerror}).",
                "Let this user read the journal's folder, and repeat.",
                10.0,
            ) from problem
        return sorted(name for name in found if name.startswith(prefix) and _NAME.fullmatch(name))

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise ShouldFixArgument(f"{name!r} is no name of a record.", "Use a-z, 0-9 and -.")
        return self._root / name

    def _place(self, path: Path, data: bytes) -> None:
        handle, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(partial).chmod(0o444)
            os.link(partial, path)  # unlike a rename, it never replaces
        finally:
            Path(partial).unlink(missing_ok=True)
        sync_folder(path.parent)
        sync_folder(self._root)
