"""``DatasetStore`` on one machine: Parquet folders named by their content."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import adbc_driver_manager as adbc
from sqlalchemy import Engine

from everloop.contracts import documents
from everloop.contracts.datasets import (
    EPISODES_FILE,
    MANIFEST_FILE,
    REVIEWS_FILE,
    SIGNALS_FILE,
    DatasetManifest,
    DatasetVersion,
    Exclusions,
)
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.contracts.ports import Clock, Extraction
from everloop.storage.local import extraction_query as query
from everloop.storage.local.clock import SystemClock
from everloop.storage.local.dataset_batches import SignalBatches, episode_batches, review_batches
from everloop.storage.local.dataset_files import (
    ROW_GROUP,
    dataset_id_of,
    entry_of,
    identity_of,
    verified,
    write_rows,
)
from everloop.storage.local.extraction_postgresql import postgresql_reader
from everloop.storage.local.extraction_sqlite import sqlite_reader
from everloop.storage.local.folders import sync_folder
from everloop.storage.sql.dataset_pins import pin, remember
from everloop.storage.sql.dataset_users import is_needed
from everloop.storage.sql.engine import database_name, database_path, is_postgresql, writing
from everloop.storage.sql.erasure_marks import (
    PersonErased,
    erasures_so_far,
    refuse_erased,
    unless_erased,
)
from everloop.storage.sql.postgresql_engine import libpq_url
from everloop.storage.sql.postgresql_errors import named_state
from everloop.storage.sql.sqlite_engine import named

_PARTIAL = ".partial-"
_ABANDONED_SECONDS = 86_400.0


class LocalDatasetStore:
    """Dataset versions of one workspace, under ``root/<dataset_id>/``.

    Args:
        engine: from ``open_workspace_database``.
        root: folder of the versions; made when it does not exist.
        clock: says whether a logical date has begun, and where one that has not ended is cut off.
    """

    def __init__(self, engine: Engine, root: Path | str, clock: Clock | None = None) -> None:
        self._engine = engine
        self._root = Path(root)
        self._clock = clock or SystemClock()

    def extract(self, extraction: Extraction) -> DatasetVersion:
        """See ``DatasetStore``.

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
                return self._extract(extraction, so_far)

    def _extract(self, extraction: Extraction, so_far: int) -> DatasetVersion:
        pinned = pin(self._engine, extraction, self._clock.now())
        made = pinned.made(extraction)
        if made is not None:
            try:
                return self.open(made)
            except ShouldRestoreArtefact:
                pass  # the pin makes the same version again
        with _remedies_named(self._root, self._engine):
            version = self._make(query.Bounds(extraction, pinned), so_far)
        refuse_erased(self._engine, version.manifest.dataset_id)
        remember(self._engine, extraction, pinned, version.manifest.dataset_id)
        return version

    def open(self, dataset_id: str) -> DatasetVersion:
        """See ``DatasetStore``."""
        _require_id(dataset_id)
        refuse_erased(self._engine, dataset_id)
        folder = self._root / dataset_id
        if not folder.is_dir():
            raise ShouldRestoreArtefact(
                f"There is no dataset {dataset_id} in {self._root}.", "Extract its date again."
            )
        return verified(folder, dataset_id)

    def discard(self, dataset_id: str) -> bool:
        """See ``DatasetStore``."""
        _require_id(dataset_id)
        folder = self._root / dataset_id
        if not folder.exists():
            return True
        leaving = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._root))
        try:
            with writing(self._engine) as connection:
                if is_needed(connection, dataset_id):
                    return False
                with suppress(FileNotFoundError):  # another process discards it too
                    folder.rename(leaving / dataset_id)
            sync_folder(self._root)
        finally:
            shutil.rmtree(leaving, ignore_errors=True)
        return True

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

    def _make(self, bounds: query.Bounds, so_far: int) -> DatasetVersion:
        self._root.mkdir(parents=True, exist_ok=True)
        _sweep(self._root)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._root))
        try:
            with _reader(self._engine, bounds) as reader:
                manifest = _write(partial, bounds, reader)
            return self._publish(partial, manifest, so_far)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _publish(self, partial: Path, manifest: DatasetManifest, so_far: int) -> DatasetVersion:
        """Give a whole folder its name; what another process published before is kept."""
        dataset_id = manifest.dataset_id
        folder = self._root / dataset_id
        if folder.exists():
            try:
                return verified(folder, dataset_id)
            except ShouldRestoreArtefact:
                shutil.rmtree(folder)
        partial.chmod(0o755)
        try:
            with unless_erased(self._engine, manifest.tenant, so_far):
                partial.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        sync_folder(self._root)
        return verified(folder, dataset_id)


def _require_id(dataset_id: str) -> None:
    if len(dataset_id) != 64 or not set(dataset_id) <= set("0123456789abcdef"):
        raise ShouldRestoreArtefact(
            f"{dataset_id!r} is no dataset id.", "Give the 64 digits of a manifest."
        )


def _write(folder: Path, bounds: query.Bounds, reader: query.LogReader) -> DatasetManifest:
    """Write the files of a version, the manifest last."""
    extraction, pinned = bounds.extraction, bounds.pin
    days = {row["day"]: row for row in query.small_result(reader, reader.queries.days)}
    opted_out = query.small_result(reader, reader.queries.opted_out)[0]
    signals = SignalBatches(reader.batches(reader.queries.signals, ROW_GROUP[SIGNALS_FILE]))
    signal_rows = write_rows(folder, SIGNALS_FILE, signals)
    exclusions = Exclusions(
        opted_out_people=opted_out["people"],
        opted_out_episodes=opted_out["episodes"],
        disputed_signals=signals.disputed,
        late_signals=signals.late,
        open_episodes=sum(row["open"] for row in days.values()),
    )
    episodes = episode_batches(reader.batches(reader.queries.episodes, ROW_GROUP[EPISODES_FILE]))
    identity = identity_of(
        extraction.spec.name,
        extraction.tenant,
        extraction.logical_date,
        extraction.window_days,
        exclusions,
        pinned.cutoff,
    )
    episode_rows = write_rows(folder, EPISODES_FILE, episodes, identity)
    reviews = review_batches(reader.batches(reader.queries.reviews, ROW_GROUP[REVIEWS_FILE]))
    rows = {
        EPISODES_FILE: episode_rows,
        SIGNALS_FILE: signal_rows,
        REVIEWS_FILE: write_rows(folder, REVIEWS_FILE, reviews),
    }
    if not rows[REVIEWS_FILE]:  # a version that nobody reviewed keeps the id that it always had
        (folder / REVIEWS_FILE).unlink()
        del rows[REVIEWS_FILE]
    files = tuple(entry_of(folder, name, count) for name, count in rows.items())
    first = extraction.logical_date - timedelta(days=extraction.window_days - 1)
    manifest = DatasetManifest(
        dataset_id=dataset_id_of(files),
        loop=extraction.spec.name,
        tenant=extraction.tenant,
        logical_date=extraction.logical_date,
        window_days=extraction.window_days,
        episode_watermark=pinned.episode_watermark,
        signal_watermark=pinned.signal_watermark,
        consent_revision=pinned.consent_revision,
        spec_sha256=extraction.spec.checksum,
        files=files,
        exclusions=exclusions,
        episodes_per_day={
            (first + timedelta(days=day)).isoformat(): days[day]["logged"] if day in days else 0
            for day in range(extraction.window_days)
        },
        cutoff=pinned.cutoff,
        review_revision=pinned.review_revision,
    )
    documents.write(manifest, folder / MANIFEST_FILE)
    sync_folder(folder)
    return manifest


def _reader(engine: Engine, bounds: query.Bounds) -> AbstractContextManager[query.LogReader]:
    if is_postgresql(engine):
        return postgresql_reader(libpq_url(engine), bounds)
    return sqlite_reader(database_path(engine), bounds)


@contextmanager
def _remedies_named(root: Path, engine: Engine) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if not documents.is_full_disk(problem):
            raise
        raise _no_room(root, problem) from problem
    except (adbc.Error, sqlite3.Error) as problem:
        error = (
            _server_named(problem, engine)
            if isinstance(problem, adbc.Error)
            else _file_named(problem, root, engine)
        )
        if error is None:
            raise
        raise error from problem


def _server_named(problem: adbc.Error, engine: Engine) -> EverloopError | None:
    lost = problem.status_code == adbc.AdbcStatusCode.IO
    return named_state(problem.sqlstate, lost, problem, database_name(engine))


def _file_named(problem: sqlite3.Error, root: Path, engine: Engine) -> EverloopError | None:
    error = named(problem, database_path(engine))
    # A query that only reads fills the disk with what it sorts.
    return _no_room(root, problem) if isinstance(error, ShouldFreeDisk) else error


def _no_room(root: Path, problem: Exception) -> ShouldFreeDisk:
    return ShouldFreeDisk(
        f"No room for a dataset in {root} ({problem}).",
        "Free disk space there and in the temporary folder, or check the disk, and extract again.",
    )


def _sweep(root: Path) -> None:
    """Remove what killed extractions left behind."""
    for partial in root.glob(f"{_PARTIAL}*"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)
