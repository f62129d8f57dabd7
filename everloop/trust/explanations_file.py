"""Explanations as one Parquet file, a column for each of the seven fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.documents import atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import TrainingExplanation

SCHEMA = pa.schema(
    [
        pa.field(
            f.name, pa.float64() if f.name == "reward_received" else pa.string(), nullable=False
        )
        for f in dataclasses.fields(TrainingExplanation)
    ]
)


def write_parquet(explanations: Sequence[TrainingExplanation], path: Path | str) -> Path:
    """Write atomically, zstd; none is a file with no row.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was changed.
    """
    return write_batches((explanations,), path)


def write_batches(batches: Iterable[Sequence[TrainingExplanation]], path: Path | str) -> Path:
    """``write_parquet`` of the batches one after another, a row group each; one at a time is held."""
    target = Path(path)
    with atomically(target) as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as file:
        for batch in batches:
            columns = [[getattr(e, name) for e in batch] for name in SCHEMA.names]
            arrays = [pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
    return target


def read_parquet(path: Path | str) -> tuple[TrainingExplanation, ...]:
    """Read what ``write_parquet`` wrote; ``ShouldRestoreArtefact`` when it is missing or damaged."""
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowException) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no explanations ({problem}).", "Rerun explain."
        ) from problem
    return tuple(TrainingExplanation(**row) for row in table.to_pylist())
