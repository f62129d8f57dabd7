"""``SpendJournal`` in a folder: one read-only file a record, made whole or not at all."""

from __future__ import annotations

import errno
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
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


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
            ShouldFixArgument: the file system has no hard links.
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

    def require_links(self) -> None:
        """Check that the file system has the hard links by which a record is made whole or not at all.

        Raises:
            ShouldFixArgument: it has none.
            OSError: the folder cannot be written.
        """
        place = self._root
        while not place.exists():
            place = place.parent
        handle, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=place)
        os.close(handle)
        try:
            self._link(partial, Path(f"{partial}-linked"))
        finally:
            Path(partial).unlink(missing_ok=True)
            Path(f"{partial}-linked").unlink(missing_ok=True)

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
            self._link(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
        sync_folder(path.parent)
        sync_folder(self._root)

    def _link(self, partial: str, path: Path) -> None:
        try:
            os.link(partial, path)  # unlike a rename, it never replaces
        except OSError as problem:
            if problem.errno not in _NO_LINKS:
                raise
            raise ShouldFixArgument(
                f"The file system of {self._root} makes no hard links ({problem.strerror}), as gcsfuse, "
                "SMB and FAT do not.",
                "Keep the journal in a folder of a disk that does, or name the bucket itself: "
                "EVERLOOP_LEDGER_JOURNAL=gs://bucket/prefix.",
            ) from problem
