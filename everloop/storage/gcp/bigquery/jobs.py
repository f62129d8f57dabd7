"""Jobs of BigQuery: statements, loads and reads, each with an id that was chosen before it was sent.

A request that was lost on the way is sent again under the same id, and BigQuery refuses a second job of
an id: whoever is told so waits for the first, unless it failed. Credentials are the environment's (workload
identity on a cluster); there are no key files. An emulator is asked anonymously.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
from google.api_core.client_info import ClientInfo
from google.api_core.exceptions import Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from everloop.contracts.errors import ShouldRetryLater
from everloop.settings.cloud import BigQueryTables
from everloop.storage.gcp.bigquery.failures import named, retrying
from everloop.storage.gcp.bigquery.streams import storage_client, stream_of
from everloop.storage.gcp.bigquery.tables import STAGE_HOURS, Kind, Table

Value = str | int | datetime | Sequence[int]
PATIENCE_SECONDS = 120.0
_LABEL = re.compile(r"[^a-z0-9_-]")
_LABEL_LENGTH = 63
_ATTEMPTS = 100


class Jobs:
    """The jobs of one dataset.

    Every method raises what ``failures.named`` says.

    Args:
        place: the dataset.
        patience: seconds for which a request is tried again.
    """

    def __init__(self, place: BigQueryTables, patience: float = PATIENCE_SECONDS) -> None:
        self.place = place
        self.name = f"{place.project}.{place.dataset}"
        self._retry = retrying(patience)
        self._storage: Any = None
        with self._named():
            self._client = _client(place)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()  # type: ignore[no-untyped-call]
        if self._storage is not None:
            self._storage.transport.close()

    def path(self, table: str) -> str:
        """A table as statements name it."""
        return f"`{self.name}.{table}`"

    def created(self, table: str) -> datetime | None:
        """When a table was made; ``None`` where there is none."""
        with self._named():
            try:
                found = self._client.get_table(f"{self.name}.{table}", retry=self._retry)
            except NotFound as problem:
                if "Dataset" in str(problem.message):
                    raise
                return None
        moment: datetime | None = found.created
        return moment

    def create(self, table: Table) -> None:
        """Make a mirrored table where there is none."""
        made = bigquery.Table(f"{self.name}.{table.name}", schema=_schema(table))
        if table.partition:
            made.time_partitioning = bigquery.TimePartitioning(field=table.partition)
        if table.clustering:
            made.clustering_fields = list(table.clustering)
        made.description = "Mirrored by everloop; its rows are replaced, never edited by hand."
        with self._named():
            self._client.create_table(made, exists_ok=True, retry=self._retry)

    def load(self, path: Path | None, stage: str, table: Table, labels: Mapping[str, str]) -> None:
        """Load a Parquet file into a new table that expires.

        Args:
            path: the file, whose columns are the table's; ``None`` leaves it empty.
            stage: name of the new table, never used before.
            table: what it is shaped like.
        """
        made = bigquery.Table(f"{self.name}.{stage}", schema=_schema(table))
        made.expires = datetime.now(UTC) + timedelta(hours=STAGE_HOURS)
        with self._named():
            self._client.create_table(made, exists_ok=True, retry=self._retry)
            if path is None:
                return
            config = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                schema=_schema(table),
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
                create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
                labels=tidy(labels),
            )
            job_id = job_id_of("load", self.name, stage)
            try:
                with path.open("rb") as stream:
                    job = self._client.load_table_from_file(
                        stream,
                        f"{self.name}.{stage}",
                        job_id=job_id,
                        job_config=config,
                        size=path.stat().st_size,
                        location=self.place.location,
                    )
            except Conflict:
                job = self._first(job_id)
            job.result(retry=self._retry)

    def run(
        self,
        statement: str,
        parameters: Mapping[str, Value],
        labels: Mapping[str, str],
        job_id: str = "",
    ) -> Any:
        """Run a statement once and wait for it; its rows.

        Args:
            job_id: names what the statement does, so that no process does it a second time; by default
                one of its own.
        """
        with self._named():
            job = self._begin(statement, parameters, labels, job_id)
            return job.result(retry=self._retry, job_retry=None)

    def batches(
        self, statement: str, parameters: Mapping[str, Value], labels: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """A statement's rows as Arrow, in its order, streamed."""
        with self._named():
            job = self._begin(statement, parameters, labels, "")
            rows = job.result(retry=self._retry, job_retry=None)
            if self.place.emulator and not self.place.storage_emulator:
                yield from rows.to_arrow_iterable(bqstorage_client=None)
            elif rows.total_rows:
                if self._storage is None:
                    self._storage = storage_client(self.place)
                yield from stream_of(self._storage, job.destination, self.place.project)

    def _begin(
        self,
        statement: str,
        parameters: Mapping[str, Value],
        labels: Mapping[str, str],
        job_id: str,
    ) -> Any:
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, value) for name, value in parameters.items()],
            maximum_bytes_billed=self.place.maximum_bytes,
            use_query_cache=False,
            labels=tidy(labels),
        )
        chosen = job_id or job_id_of("query", uuid.uuid4().hex)
        for attempt in range(_ATTEMPTS):
            numbered = f"{chosen}-{attempt}" if attempt else chosen
            try:
                return self._client.query(
                    statement,
                    job_config=config,
                    job_id=numbered,
                    location=self.place.location,
                    retry=self._retry,
                    job_retry=None,
                )
            except Conflict:
                first = self._first(numbered)
                # One that failed did nothing, and its id is spent: everybody goes on to the same next one.
                if not (first.done(retry=self._retry) and first.error_result):
                    return first
        raise ShouldRetryLater(
            f"Job {chosen} of {self.name} failed {_ATTEMPTS} times.",
            "Look at its errors in the console, and repeat.",
            60.0,
        )

    def stages(self, prefix: str) -> tuple[str, ...]:
        """Names of the tables that begin with a prefix."""
        with self._named():
            found = self._client.list_tables(self.name, retry=self._retry)
            return tuple(t.table_id for t in found if t.table_id.startswith(prefix))

    def drop(self, table: str) -> None:
        """Delete a table; idempotent."""
        with self._named():
            self._client.delete_table(f"{self.name}.{table}", not_found_ok=True, retry=self._retry)

    def _first(self, job_id: str) -> Any:
        """The job that has the id already."""
        return self._client.get_job(job_id, location=self.place.location, retry=self._retry)

    def _named(self) -> contextlib.AbstractContextManager[None]:
        return named(self.name, self.place.maximum_bytes)


def job_id_of(kind: str, *what: str | int) -> str:
    """The id of the one job that does something.

    Args:
        kind: letters and digits, shown in the console.
        what: everything that tells it from other jobs.
    """
    text = "\0".join(str(part) for part in what)
    return f"everloop-{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def tidy(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as BigQuery takes them: lower-case letters, digits, _ and -, 63 at most."""
    return {
        name: _LABEL.sub("_", value.lower())[:_LABEL_LENGTH]
        for name, value in labels.items()
        if value
    } | {"application": "everloop"}


def _client(place: BigQueryTables) -> bigquery.Client:
    options = {"api_endpoint": place.emulator} if place.emulator else None
    return bigquery.Client(
        project=place.project,
        location=place.location,
        credentials=AnonymousCredentials() if place.emulator else None,  # type: ignore[no-untyped-call]
        client_options=options,
        client_info=ClientInfo(user_agent=f"everloop/{version('everloop')}"),  # type: ignore[no-untyped-call]
    )


def _schema(table: Table) -> list[bigquery.SchemaField]:
    return [
        bigquery.SchemaField(c.name, c.kind.value, "NULLABLE" if c.nullable else "REQUIRED")
        for c in table.columns
    ]


def _parameter(name: str, value: Value) -> Any:
    if isinstance(value, str):
        return bigquery.ScalarQueryParameter(name, Kind.STRING.value, value)
    if isinstance(value, int):
        return bigquery.ScalarQueryParameter(name, Kind.INT64.value, value)
    if isinstance(value, datetime):
        return bigquery.ScalarQueryParameter(name, Kind.TIMESTAMP.value, value)
    return bigquery.ArrayQueryParameter(name, Kind.INT64.value, list(value))
