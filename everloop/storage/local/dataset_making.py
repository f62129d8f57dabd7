"""Making the files of a dataset version from the log; where they are published is another matter.

Whoever reads the log is chosen by the caller: every ``LogReader`` that answers with the rows that
``extraction_query`` describes, in their order, gives the same files, byte for byte, and the same id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    Exclusions,
)
from everloop.contracts.errors import EverloopError, ShouldFreeDisk
from everloop.storage.local import extraction_query as query
from everloop.storage.local.dataset_batches import SignalBatches, episode_batches, review_batches
from everloop.storage.local.dataset_files import (
    ROW_GROUP,
    dataset_id_of,
    entry_of,
    identity_of,
    write_rows,
)
from everloop.storage.local.extraction_postgresql import postgresql_reader
from everloop.storage.local.extraction_sqlite import sqlite_reader
from everloop.storage.local.folders import sync_folder
from everloop.storage.sql.engine import database_name, database_path, is_postgresql
from everloop.storage.sql.postgresql_engine import libpq_url
from everloop.storage.sql.postgresql_errors import named_state
from everloop.storage.sql.sqlite_engine import named

LogReaders = Callable[[query.Bounds], AbstractContextManager[query.LogReader]]
"""Opens a reader of one state of the log for an extraction's window and pin."""


def log_readers(engine: Engine) -> LogReaders:
    """Readers of the workspace's own database, by the Arrow driver or SQLite's library."""

    def open_reader(bounds: query.Bounds) -> AbstractContextManager[query.LogReader]:
        if is_postgresql(engine):
            return postgresql_reader(libpq_url(engine), bounds)
        return sqlite_reader(database_path(engine), bounds)

    return open_reader


def write_version(folder: Path, bounds: query.Bounds, reader: query.LogReader) -> DatasetManifest:
    """Write the files of a version into an empty folder, the manifest last."""
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


@contextmanager
def remedies_named(root: Path, engine: Engine) -> Iterator[None]:
    """Name what to do about a full disk, a damaged database or a lost server.

    Args:
        root: where the version is written.
        engine: of the database that is read.
    """
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
