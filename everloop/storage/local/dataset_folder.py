"""A folder of dataset versions, ``root/<dataset_id>/``: each is there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.storage.local.dataset_files import verified
from everloop.storage.local.folders import sync_folder

_PARTIAL = ".partial-"
_ABANDONED_SECONDS = 86_400.0


def require_id(dataset_id: str) -> None:
    """Refuse what is no dataset's id, and so might lead elsewhere; ``ShouldRestoreArtefact``."""
    if len(dataset_id) != 64 or not set(dataset_id) <= set("0123456789abcdef"):
        raise ShouldRestoreArtefact(
            f"{dataset_id!r} is no dataset id.", "Give the 64 digits of a manifest."
        )


class DatasetFolder:
    """Versions of one folder of this machine.

    Args:
        root: the folder; made when something is written into it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, dataset_id: str) -> bool:
        """Whether something lies under the version's name."""
        return (self.root / dataset_id).exists()

    def find(self, dataset_id: str) -> DatasetVersion:
        """A version, every checksum of it verified; ``ShouldRestoreArtefact`` otherwise."""
        folder = self.root / dataset_id
        if not folder.is_dir():
            raise ShouldRestoreArtefact(
                f"There is no dataset {dataset_id} in {self.root}.", "Extract its date again."
            )
        return verified(folder, dataset_id)

    @contextmanager
    def workroom(self) -> Iterator[Path]:
        """An empty folder to make a version in; nobody takes it for one. It leaves with the context.

        What killed processes left in theirs a day ago leaves, too.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.root))
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def keep(
        self,
        partial: Path,
        dataset_id: str,
        alone: AbstractContextManager[object] | None = None,
    ) -> DatasetVersion:
        """Give a whole folder its name; what another process kept before is left as it is.

        Args:
            partial: from ``workroom``, with every file of the version.
            alone: entered around the one step that makes it a version; what it raises, is raised.
        """
        folder = self.root / dataset_id
        if folder.exists():
            try:
                return verified(folder, dataset_id)
            except ShouldRestoreArtefact:
                shutil.rmtree(folder)
        partial.chmod(0o755)
        try:
            with alone or nullcontext():
                partial.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        sync_folder(self.root)
        return verified(folder, dataset_id)

    def drop(self, dataset_id: str, leaving: Path) -> None:
        """Take a version's name away in one step; what is left of it goes with ``leaving``."""
        with suppress(FileNotFoundError):  # another process drops it too
            (self.root / dataset_id).rename(leaving / dataset_id)
        sync_folder(self.root)

    def _sweep(self) -> None:
        """Remove what killed processes left behind."""
        for partial in self.root.glob(f"{_PARTIAL}*"):
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(partial, ignore_errors=True)
