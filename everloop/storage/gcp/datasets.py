"""``DatasetStore`` whose versions are in a bucket; a workspace keeps copies of those that it read or made.

Versions are made in the workspace, exactly as on a laptop, and have the same ids. Copies are verified each
time and never evicted; an erasure reaches them (``erased_artefacts``).
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from everloop.contracts import documents
from everloop.contracts.datasets import MANIFEST_FILE, DatasetManifest, DatasetVersion
from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.contracts.ports import Clock, Extraction
from everloop.storage.gcp.client import Superseded
from everloop.storage.gcp.objects import ABSENT
from everloop.storage.gcp.versions import BucketVersions, Published
from everloop.storage.local.dataset_extraction import DatasetExtraction
from everloop.storage.local.dataset_files import verified
from everloop.storage.local.dataset_folder import DatasetFolder, require_id
from everloop.storage.local.dataset_making import LogReaders, remedies_named
from everloop.storage.sql.dataset_users import is_needed
from everloop.storage.sql.engine import writing
from everloop.storage.sql.erasure_marks import (
    PersonErased,
    erasures_so_far,
    is_erased,
    refuse_erased,
    unless_erased,
)

_TRIES = 5


class GcsDatasetStore:
    """Dataset versions of a bucket.

    Every method raises what ``client.named`` says, too.

    Args:
        engine: of the workspace's database.
        versions: of the bucket.
        cache: folder of the workspace for copies (``erased_artefacts.CACHED``).
        clock: says whether a logical date has begun, and where one that has not ended is cut off.
        readers: opens the log to be read; the workspace's database by default.
    """

    def __init__(
        self,
        engine: Engine,
        versions: BucketVersions,
        cache: Path | str,
        clock: Clock | None = None,
        readers: LogReaders | None = None,
    ) -> None:
        self._engine = engine
        self._versions = versions
        self._cache = DatasetFolder(Path(cache))
        self._extraction = DatasetExtraction(engine, self._cache, clock, readers)

    def extract(self, extraction: Extraction) -> DatasetVersion:
        """See ``DatasetStore``, and ``DatasetExtraction.version`` for what it raises."""
        return self._extraction.version(extraction, self._open_published, self._publish)

    def open(self, dataset_id: str) -> DatasetVersion:
        """See ``DatasetStore``. The copy of the workspace, if it has one that is whole.

        Raises:
            ShouldFreeDisk: the copy does not fit.
        """
        require_id(dataset_id)
        while True:
            with suppress(PersonErased), remedies_named(self._cache.root, self._engine):
                return self._open(dataset_id)

    def discard(self, dataset_id: str) -> bool:
        """See ``DatasetStore``."""
        require_id(dataset_id)
        before, generation = self._published(dataset_id)
        if not generation and not self._cache.has(dataset_id):
            return True
        with self._cache.workroom() as leaving, writing(self._engine) as connection:
            if is_needed(connection, dataset_id):
                return False
            if generation:
                self._versions.unpublish(dataset_id, generation)
            self._cache.drop(dataset_id, leaving)
        if before is not None:
            self._versions.withdraw(dataset_id, before.attempt)
        return True

    def adopt(self, folder: Path) -> bool:
        """Publish a version that lies in a folder of this machine; False where it was erased.

        Raises:
            ShouldRestoreArtefact: the folder is damaged.
            ShouldResolveConflict: others replaced it again and again meanwhile.
        """
        require_id(folder.name)
        while True:
            with suppress(PersonErased):
                manifest = verified(folder, folder.name).manifest
                so_far = erasures_so_far(self._engine, manifest.tenant)
                if is_erased(self._engine, folder.name):
                    return False
                self._put(folder, manifest, so_far)
                return True

    def _open_published(self, dataset_id: str) -> DatasetVersion:
        """A version that the bucket has, so that other workspaces find it, too: a copy is not enough."""
        if not self._versions.generation(dataset_id):
            raise self._absent(dataset_id)
        return self.open(dataset_id)

    def _absent(self, dataset_id: str) -> ShouldRestoreArtefact:
        return ShouldRestoreArtefact(
            f"There is no dataset {dataset_id} in {self._versions.url}: no {MANIFEST_FILE}.",
            "Extract its date again.",
        )

    def _open(self, dataset_id: str) -> DatasetVersion:
        refuse_erased(self._engine, dataset_id)
        if self._cache.has(dataset_id):
            with suppress(ShouldRestoreArtefact):
                return self._cache.find(dataset_id)
        found = self._versions.published(dataset_id)
        if found is None:
            raise self._absent(dataset_id)
        version = found[0]
        tenant = version.manifest.tenant
        so_far = erasures_so_far(self._engine, tenant)
        refuse_erased(self._engine, dataset_id)
        with self._cache.workroom() as partial:
            self._versions.fetch(version, partial)
            # No copy of what was erased while it came may stay.
            return self._cache.keep(
                partial, dataset_id, unless_erased(self._engine, tenant, so_far)
            )

    def _publish(self, partial: Path, manifest: DatasetManifest, so_far: int) -> DatasetVersion:
        """What another process published before is kept, unless it is damaged."""
        self._versions.sweep()
        published = self._put(partial, manifest, so_far)
        documents.write(published.manifest, partial / MANIFEST_FILE)
        alone = unless_erased(self._engine, manifest.tenant, so_far)
        return self._cache.keep(partial, manifest.dataset_id, alone)

    def _put(self, partial: Path, manifest: DatasetManifest, so_far: int) -> Published:
        for _ in range(_TRIES):
            before, generation = self._published(manifest.dataset_id)
            if before is not None and self._is_whole(before, partial, manifest):
                return before
            with suppress(Superseded):
                self._replace(partial, manifest, so_far, generation)
                if before is not None:
                    self._versions.withdraw(manifest.dataset_id, before.attempt)
        raise ShouldResolveConflict(
            f"{self._versions.url}/{manifest.dataset_id} was replaced by others {_TRIES} times meanwhile.",
            "Repeat it, and find out who writes there.",
        )

    def _is_whole(self, before: Published, partial: Path, manifest: DatasetManifest) -> bool:
        """Whether what is published are the same files, and its manifest tells the story they tell.

        What was read of the log may differ where the rows do not.
        """
        told = dataclasses.replace(
            before.manifest,
            episode_watermark=manifest.episode_watermark,
            signal_watermark=manifest.signal_watermark,
            consent_revision=manifest.consent_revision,
            review_revision=manifest.review_revision,
            spec_sha256=manifest.spec_sha256,
        )
        return told == manifest and self._versions.is_intact(before, partial)

    def _replace(
        self, partial: Path, manifest: DatasetManifest, so_far: int, replaces: int
    ) -> None:
        version = Published(self._versions.upload(partial, manifest), manifest)
        try:
            with unless_erased(self._engine, manifest.tenant, so_far):
                self._versions.publish(version, replaces)
        except BaseException:
            self._versions.withdraw(manifest.dataset_id, version.attempt)
            raise

    def _published(self, dataset_id: str) -> tuple[Published | None, int]:
        """What is published, ``None`` where nothing readable is, and the generation of its manifest."""
        try:
            found = self._versions.published(dataset_id)
        except ShouldRestoreArtefact:
            return None, self._versions.generation(dataset_id)
        return (None, ABSENT) if found is None else found
