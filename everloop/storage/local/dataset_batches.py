"""Query results of an extraction, batch by batch, in the columns of a dataset version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from everloop.contracts.datasets import EPISODES_FILE, REVIEWS_FILE, SIGNALS_FILE
from everloop.storage.local.dataset_files import SCHEMAS


def episode_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of ``extraction_query.EPISODES`` as rows of ``episodes.parquet``."""
    schema = SCHEMAS[EPISODES_FILE]
    for batch in batches:
        if not batch.num_rows:
            continue
        column = dict(zip(batch.schema.names, batch.columns, strict=True))
        logged = pc.greater(column["propensity"], 0.0)
        column["propensity"] = pc.if_else(
            logged, column["propensity"], pa.scalar(None, pa.float64())
        )
        column["valid_actions"] = _string_lists(column["valid_actions"])
        arrays = [column[field.name].cast(field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def review_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of ``extraction_query.REVIEWS`` as rows of ``reviews.parquet``."""
    schema = SCHEMAS[REVIEWS_FILE]
    for batch in batches:
        if batch.num_rows:
            arrays = [batch.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


class SignalBatches:
    """Rows of ``extraction_query.SIGNALS`` as rows of ``signals.parquet``.

    After the last batch, ``disputed`` and ``late`` say how many signals were left out and why; one
    that is both counts as disputed.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.disputed = 0
        self.late = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        schema = SCHEMAS[SIGNALS_FILE]
        for batch in self._batches:
            if not batch.num_rows:
                continue
            disputed, late, counts = (
                batch.column(name).cast(pa.bool_()) for name in ("disputed", "late", "counts")
            )
            self.disputed += disputed.true_count
            self.late += pc.and_not(late, disputed).true_count
            kept = batch.filter(pc.and_not(counts, pc.or_(disputed, late)))
            arrays = [kept.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _string_lists(texts: pa.StringArray) -> pa.ListArray:
    """JSON arrays of strings as lists; masks repeat, so that each text is parsed once a batch."""
    encoded = texts.dictionary_encode()
    lists = pa.array(
        [json.loads(text) for text in encoded.dictionary.to_pylist()], pa.list_(pa.string())
    )
    return lists.take(encoded.indices)
