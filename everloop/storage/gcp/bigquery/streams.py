"""Rows of a finished query as Arrow, by the Storage Read API, in the order that the query gave them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import pyarrow as pa
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

from everloop.settings.cloud import BigQueryTables


def storage_client(place: BigQueryTables) -> Any:
    """A client with the environment's credentials, or an emulator's."""
    if not place.storage_emulator:
        return BigQueryReadClient()  # type: ignore[no-untyped-call]
    # As the service's own client: an answer may be of any size.
    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(place.storage_emulator, options=options)
    transport = BigQueryReadGrpcTransport(channel=channel)
    return BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]


def stream_of(client: Any, table: Any, project: str) -> Iterator[pa.RecordBatch]:
    """A query's destination table in one stream, which keeps the order; a lost connection is resumed.

    Args:
        client: from ``storage_client``.
        table: the query's destination, not empty.
        project: whose quota the read counts against.
    """
    session = client.create_read_session(
        parent=f"projects/{project}",
        read_session=ReadSession(
            table=f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}",
            data_format=DataFormat.ARROW,
        ),
        max_stream_count=1,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    for stream in session.streams:
        for answer in client.read_rows(stream.name):
            data = answer.arrow_record_batch.serialized_record_batch
            if data:
                yield pa.ipc.read_record_batch(pa.py_buffer(data), schema)
