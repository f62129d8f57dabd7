"""Explanations as one Parquet file, a column for each of the seven fields."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.documents import write_atomically
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
    columns = [[getattr(e, name) for e in explanations] for name in SCHEMA.names]
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(
        [pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    pq.write_table(table, buffer, compression="zstd")
    return write_atomically(buffer.getvalue(), Path(path))


def read_parquet(path: Path | str) -> tuple[TrainingExplanation, ...]:
    """Read what ``write_parquet`` wrote; ``ShouldRestoreArtefact`` when it is missing or damaged."""
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowException) as problem:
        raise ShouldRestoreArtefact(
            f"{path} holds no explanations ({problem}).", "Rerun explain."
        ) from problem
    return tuple(TrainingExplanation(**row) for row in table.to_pylist())
