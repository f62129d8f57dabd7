"""What of a bucket and of the workspace holds a person, for erasures.

The note of what an erasure will delete is in the bucket before the erasure's transaction ends: a process
that dies between may never come back on the same disk, and whoever opens any workspace of the same database
finishes it. A note that this database knows nothing of may be of an erasure that another database has
committed: only the workspace that wrote it, on the database that it wrote it for, takes it for one that
failed. One whose workspace is gone stays; it names versions and nobody.

Each workspace also follows the erasures that others carried out: copies, runs and reports of its own that
were made from what was erased leave when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.api_core.exceptions import NotFound
from sqlalchemy import Engine, select

from everloop.contracts import documents
from everloop.contracts.datasets import EPISODES_FILE, SIGNALS_FILE
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.storage.gcp.blobs import blob_name
from everloop.storage.gcp.client import Superseded, named
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.versions import BucketVersions, Published
from everloop.storage.local.erased_artefacts import (
    ErasedArtefacts,
    HeldFiles,
    Traces,
    is_in,
    taught,
)
from everloop.storage.service_tables import erasure_marks
from everloop.storage.sql.engine import database_name, reading
from everloop.storage.sql.erasure_marks import DATASET

FOLLOWED = "cache/erased.json"
"""Which erased versions the workspace has followed; losing it costs another look."""
_NOTES = "erasing/"
_OWN = ".database"
"""Beside the workspace's own note: for which database the note in the bucket was written."""
_ABANDONED = timedelta(days=7)
"""Longer than any transaction lasts."""


class GcsErasedArtefacts:
    """``HeldArtefacts`` of a workspace whose datasets are in a bucket.

    Every method raises what ``client.named`` says, too: a bucket that does not answer holds up an erasure.

    Args:
        engine: of the workspace's database.
        home: the workspace folder.
        objects: the bucket.
    """

    def __init__(self, engine: Engine, home: Path | str, objects: Objects) -> None:
        self._engine = engine
        self._home = Path(home)
        self._local = ErasedArtefacts(home)
        self._objects = objects
        self._versions = BucketVersions(objects)
        self._database = database_name(engine)

    def present(self) -> HeldFiles:
        """Every dataset version, of the bucket and of the workspace, and the workspace's reports."""
        return self._local.present() + HeldFiles(self._versions.ids())

    def holding(self, traces: Traces, but: HeldFiles | None = None) -> HeldFiles:
        """Look through them; of the bucket's files only the columns that name people are read."""
        looked = {*(but or HeldFiles()).datasets, *self._local.present().datasets}
        there = [name for name in self._versions.ids() if name not in looked]
        found = self._local.holding(traces, but)
        return found + HeldFiles(tuple(name for name in there if self._holds(name, traces)))

    def note(self, erasure_id: str, held: HeldFiles) -> None:
        """Write it down in the bucket and in the workspace; ``ShouldFreeDisk`` when it can't."""
        documents.write(self._database, self._owned(erasure_id))
        try:
            self._objects.write(f"{_NOTES}{erasure_id}.json", documents.to_json(held))
        except Superseded:
            raise ShouldRestoreArtefact(
                f"{self._objects.url}/{_NOTES}{erasure_id}.json is there already.", "Erase again."
            ) from None
        self._local.note(erasure_id, held)

    def forget(self, erasure_id: str) -> None:
        """Drop a note; idempotent."""
        self._local.forget(erasure_id)
        self._objects.delete(f"{_NOTES}{erasure_id}.json")
        self._owned(erasure_id).unlink(missing_ok=True)

    def finish(self, committed: Callable[[str], bool]) -> None:
        """Delete what committed erasures noted, here and by others; drop old notes of those that failed."""
        own = self._local.noted(committed)
        self._local.finish(committed)
        for note in list(self._objects.list(_NOTES)):
            erasure_id = note.name.removeprefix(_NOTES).removesuffix(".json")
            if committed(erasure_id):
                self._follow(note.name)
            elif self._is_own(erasure_id) and note.created < datetime.now(UTC) - _ABANDONED:
                self._objects.delete(note.name)
                self._owned(erasure_id).unlink(missing_ok=True)
        self._follow_others(own)

    def remove_datasets(self) -> int:
        """Delete every dataset version and what runs of this workspace made of it; how many there were."""
        removed = self._versions.ids()
        for dataset_id in removed:
            self._versions.remove(dataset_id)
        self._local.remove_datasets()
        return len(removed)

    def _owned(self, erasure_id: str) -> Path:
        return self._home / _NOTES / f"{erasure_id}{_OWN}"

    def _is_own(self, erasure_id: str) -> bool:
        path = self._owned(erasure_id)
        return path.exists() and documents.read(str, path) == self._database

    def _follow(self, note: str) -> None:
        found = self._objects.read(note)
        if found is None:
            return  # another process has followed it
        held = documents.from_json(HeldFiles, found[0])
        for dataset_id in held.datasets:
            self._versions.remove(dataset_id)
        for sha256 in held.blobs:
            self._objects.delete(blob_name(sha256))
        # What a killed extraction had uploaded may hold them, too: the note stays until none is in doubt.
        if not self._versions.sweep():
            self._objects.delete(note)
            self._owned(note.removeprefix(_NOTES).removesuffix(".json")).unlink(missing_ok=True)

    def _follow_others(self, own: frozenset[str]) -> None:
        """``own``: versions whose erasure this workspace has followed by its own note just now."""
        path = self._home / FOLLOWED
        known = set(documents.read(tuple[str, ...], path)) if path.exists() else set()
        query = select(erasure_marks.c.artefact_id).where(erasure_marks.c.kind == DATASET)
        with reading(self._engine) as connection:
            marked = set(connection.scalars(query))
        if marked - known:
            self._local.remove_made_from(sorted(marked - known - own))
            documents.write(tuple(sorted(marked)), path, tuple[str, ...])

    def _holds(self, dataset_id: str, traces: Traces) -> bool:
        """Whether a version of the bucket holds them; one that cannot be read counts."""
        try:
            found = self._versions.published(dataset_id)
        except ShouldRestoreArtefact:
            return True
        if found is None:
            return False
        try:
            return self._read(found[0], traces)
        except NotFound:  # discarded meanwhile, or damaged
            return bool(self._versions.generation(dataset_id))

    def _read(self, version: Published, traces: Traces) -> bool:
        with named(f"{self._versions.url}/{version.manifest.dataset_id}", but=NotFound):
            try:
                with self._versions.reader(version, EPISODES_FILE) as episodes:
                    if is_in(episodes, traces.person):
                        return True
                with self._versions.reader(version, SIGNALS_FILE) as signals:
                    return taught(signals, traces.signal_ids)
            except ValueError:  # not the file that it was
                return True
