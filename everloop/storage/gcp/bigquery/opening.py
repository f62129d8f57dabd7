"""Everything of one workspace that is in BigQuery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from everloop.settings.cloud import BigQueryTables
from everloop.storage.gcp.bigquery.jobs import Jobs
from everloop.storage.gcp.bigquery.mirror import Mirror
from everloop.storage.gcp.bigquery.reader import bigquery_readers
from everloop.storage.gcp.bigquery.tables import MIRRORED, STATE
from everloop.storage.gcp.bigquery.warehouse import BigQueryWarehouse
from everloop.storage.local.dataset_making import LogReaders


@dataclass(frozen=True, slots=True)
class OpenedMirror:
    """The mirror, whom it answers and what it computes."""

    jobs: Jobs
    mirror: Mirror
    readers: LogReaders
    warehouse: BigQueryWarehouse


def open_mirror(place: BigQueryTables, engine: Engine, key: str, home: Path) -> OpenedMirror:
    """The mirror of a workspace's log.

    Args:
        key: name of the key that people's pseudonyms are made with.
        home: the workspace folder.

    Raises:
        ShouldProvideKey: there are no credentials.
    """
    jobs = Jobs(place)
    mirror = Mirror(engine, jobs, key, home)
    return OpenedMirror(jobs, mirror, bigquery_readers(mirror, jobs), BigQueryWarehouse(jobs))


def look_at_dataset(place: BigQueryTables) -> str:
    """Whether this process may read, write and run statements there; in words.

    Raises:
        ShouldAskForScope, ShouldFixArgument, ShouldProvideKey, ShouldSlowDown, ShouldRetryLater: as
            ``failures.named`` says.
    """
    jobs = Jobs(place, patience=20.0)
    try:
        jobs.run("SELECT 1", {}, {"stage": "doctor"})
        there = sum(jobs.created(table.name) is not None for table in (*MIRRORED, STATE))
        with_limit = f"a statement may read {place.maximum_bytes / 2**30:,.0f} GiB"
        mirrored = "mirrored" if there else "nothing mirrored yet: run everloop bigquery sync"
        return f"{jobs.name} answers, {mirrored}; {with_limit}"
    finally:
        jobs.close()
