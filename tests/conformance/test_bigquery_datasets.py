"""``DatasetStore`` where the log is read from its mirror in BigQuery."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.ports import Clock, DatasetStore, EventLog
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.event_log import SqlEventLog
from tests.bigquery_emulator import Emulator, new_dataset
from tests.conformance.test_dataset_store import DatasetStoreSuite, Opener
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

pytestmark = [pytest.mark.gcp, pytest.mark.timeout(900)]
KEY = "EVERLOOP_PSEUDONYM_KEY"


class MirroredSuite(SqlSuite, DatasetStoreSuite):
    """Every ``extract`` brings the mirror up to date and reads it alone."""

    @pytest.fixture(autouse=True)
    def take_emulator(self, bigquery_emulator: Emulator) -> None:
        self._emulator = bigquery_emulator

    def opener(self, folder: Path) -> Opener:
        from everloop.storage.gcp.bigquery.jobs import Jobs
        from everloop.storage.gcp.bigquery.mirror import Mirror
        from everloop.storage.gcp.bigquery.reader import bigquery_readers

        engines, place = self.engines(folder), new_dataset(self._emulator)

        def open_both(clock: Clock) -> tuple[EventLog, DatasetStore]:
            engine, jobs = engines(), Jobs(place, patience=10.0)
            readers = bigquery_readers(Mirror(engine, jobs, KEY, folder), jobs)
            store = LocalDatasetStore(engine, folder / "datasets", clock, readers)
            return SqlEventLog(engine, clock), store

        return open_both


class TestMirroredFromSqlite(OnSqlite, MirroredSuite):
    pass


class TestMirroredFromPostgresql(OnPostgresql, MirroredSuite):
    pass
