"""Extraction of a logical date: pinned, made in a folder, then published by whoever keeps versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from everloop.contracts.datasets import DatasetManifest, DatasetVersion
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.ports import Clock, Extraction
from everloop.storage.local import extraction_query as query
from everloop.storage.local.clock import SystemClock
from everloop.storage.local.dataset_folder import DatasetFolder
from everloop.storage.local.dataset_making import (
    LogReaders,
    log_readers,
    remedies_named,
    write_version,
)
from everloop.storage.sql.dataset_pins import pin, remember
from everloop.storage.sql.erasure_marks import PersonErased, erasures_so_far, refuse_erased

Open = Callable[[str], DatasetVersion]
"""A published version by its id; ``ShouldRestoreArtefact`` when there is none."""
Publish = Callable[[Path, DatasetManifest, int], DatasetVersion]
"""Publish what a folder holds, whole or not at all, unless the tenant has had more erasures than so many
by then (``PersonErased``, which has it made anew)."""


class DatasetExtraction:
    """Makes the version of a date, the same one for ever.

    Args:
        engine: of the workspace's database; it holds the pins.
        folder: where versions are made before they are published.
        clock: says whether a logical date has begun, and where one that has not ended is cut off.
        readers: opens the log to be read; the workspace's database by default.
    """

    def __init__(
        self,
        engine: Engine,
        folder: DatasetFolder,
        clock: Clock | None = None,
        readers: LogReaders | None = None,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._clock = clock or SystemClock()
        self._readers = readers or log_readers(engine)

    def version(self, extraction: Extraction, opened: Open, publish: Publish) -> DatasetVersion:
        """The published version of a date.

        Raises:
            ShouldFixArgument: the window is empty, or the logical date has not begun yet.
            ShouldFreeDisk: the version did not fit; nothing of it is left.
            ShouldRestoreArtefact: the database is damaged.
        """
        self._check(extraction)
        while True:
            so_far = erasures_so_far(self._engine, extraction.tenant)
            # Whoever is erased while the log is read must not be in what is published.
            with suppress(PersonErased):
                return self._version(extraction, so_far, opened, publish)

    def _version(
        self, extraction: Extraction, so_far: int, opened: Open, publish: Publish
    ) -> DatasetVersion:
        pinned = pin(self._engine, extraction, self._clock.now())
        made = pinned.made(extraction)
        if made is not None:
            try:
                return opened(made)
            except ShouldRestoreArtefact:
                pass  # the pin makes the same version again
        with remedies_named(self._folder.root, self._engine):
            bounds = query.Bounds(extraction, pinned)
            with self._folder.workroom() as partial:
                with self._readers(bounds) as reader:
                    manifest = write_version(partial, bounds, reader)
                version = publish(partial, manifest, so_far)
        refuse_erased(self._engine, version.manifest.dataset_id)
        remember(self._engine, extraction, pinned, version.manifest.dataset_id)
        return version

    def _check(self, extraction: Extraction) -> None:
        if extraction.window_days < 1:
            raise ShouldFixArgument(
                f"window_days={extraction.window_days} is not at least 1.", "Give a longer window."
            )
        now = self._clock.now()
        if now < extraction.starts_at:
            raise ShouldFixArgument(
                f"logical_date={extraction.logical_date} has not begun (UTC): it is "
                f"{now.isoformat()}.",
                "Choose a date that is not ahead.",
            )
