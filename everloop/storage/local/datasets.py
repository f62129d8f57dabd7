"""``DatasetStore`` on one machine: Parquet folders named by their content."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from everloop.contracts.datasets import DatasetManifest, DatasetVersion
from everloop.contracts.ports import Clock, Extraction
from everloop.storage.local.dataset_extraction import DatasetExtraction
from everloop.storage.local.dataset_folder import DatasetFolder, require_id
from everloop.storage.local.dataset_making import LogReaders
from everloop.storage.sql.dataset_users import is_needed
from everloop.storage.sql.engine import writing
from everloop.storage.sql.erasure_marks import refuse_erased, unless_erased


class LocalDatasetStore:
    """Dataset versions of one workspace, under ``root/<dataset_id>/``.

    Args:
        engine: from ``open_workspace_database``.
        root: folder of the versions; made when it does not exist.
        clock: says whether a logical date has begun, and where one that has not ended is cut off.
        readers: opens the log to be read; the workspace's database by default.
    """

    def __init__(
        self,
        engine: Engine,
        root: Path | str,
        clock: Clock | None = None,
        readers: LogReaders | None = None,
    ) -> None:
        self._engine = engine
        self._folder = DatasetFolder(Path(root))
        self._extraction = DatasetExtraction(engine, self._folder, clock, readers)

    def extract(self, extraction: Extraction) -> DatasetVersion:
        """See ``DatasetStore``, and ``DatasetExtraction.version`` for what it raises."""
        return self._extraction.version(extraction, self.open, self._publish)

    def open(self, dataset_id: str) -> DatasetVersion:
        """See ``DatasetStore``."""
        require_id(dataset_id)
        refuse_erased(self._engine, dataset_id)
        return self._folder.find(dataset_id)

    def discard(self, dataset_id: str) -> bool:
        """See ``DatasetStore``."""
        require_id(dataset_id)
        if not self._folder.has(dataset_id):
            return True
        with self._folder.workroom() as leaving, writing(self._engine) as connection:
            if is_needed(connection, dataset_id):
                return False
            self._folder.drop(dataset_id, leaving)
        return True

    def _publish(self, partial: Path, manifest: DatasetManifest, so_far: int) -> DatasetVersion:
        alone = unless_erased(self._engine, manifest.tenant, so_far)
        return self._folder.keep(partial, manifest.dataset_id, alone)
