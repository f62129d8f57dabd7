"""The files of a dataset version: how they are written and how they are verified.

Their bytes depend on the rows and on what the version says of itself (loop, tenant, date, window and
exclusions, kept in the episodes' metadata) and on nothing else: equal inputs give an equal id, and
dates that happen to hold the same rows have manifests, and ids, of their own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts import documents
from everloop.contracts.datasets import (
    EPISODES_FILE,
    MANIFEST_FILE,
    REVIEWS_FILE,
    SIGNALS_FILE,
    DatasetManifest,
    DatasetVersion,
    Exclusions,
    FileEntry,
)
from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldRestoreArtefact

EPISODES_SCHEMA = pa.schema(
    [
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("person", pa.string(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("propensity", pa.float64()),
        pa.field("valid_actions", pa.list_(pa.string()), nullable=False),
        pa.field("context", pa.string(), nullable=False),
        pa.field("action_arguments", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("closed", pa.bool_(), nullable=False),
    ]
)
SIGNALS_SCHEMA = pa.schema(
    [
        pa.field("signal_id", pa.string(), nullable=False),
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("signal_type", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("latency", pa.int64(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
    ]
)
REVIEWS_SCHEMA = pa.schema(
    [
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
    ]
)
ROW_GROUP = {EPISODES_FILE: 16_384, SIGNALS_FILE: 131_072, REVIEWS_FILE: 131_072}
"""Rows a group; an episode carries its context, a signal is small."""

SCHEMAS = {
    EPISODES_FILE: EPISODES_SCHEMA,
    SIGNALS_FILE: SIGNALS_SCHEMA,
    REVIEWS_FILE: REVIEWS_SCHEMA,
}
_REPEATING = [
    "action",
    "valid_actions.list.element",
    "model_version",
    "arm",
    "signal_type",
    "kind",
    "state",
]
_IDENTITY = b"everloop"


def write_rows(
    folder: Path, name: str, batches: Iterable[pa.RecordBatch], identity: bytes = b""
) -> int:
    """Write a file's batches in row groups of a fixed size, holding one group in memory.

    ``identity`` goes into the file's metadata. Returns the number of rows.
    """
    schema = SCHEMAS[name].with_metadata({_IDENTITY: identity} if identity else None)
    rows = 0
    with (folder / name).open("wb") as stream:
        with pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            use_dictionary=[c for c in _REPEATING if c.split(".")[0] in schema.names],
        ) as writer:
            for group in _groups(batches, SCHEMAS[name], ROW_GROUP[name]):
                # One piece a column: where the pieces end would show in the pages' bounds.
                whole = group.combine_chunks()
                writer.write_table(whole.replace_schema_metadata(schema.metadata))
                rows += group.num_rows
        stream.flush()
        os.fsync(stream.fileno())
    return rows


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        while held >= size:
            table = pa.Table.from_batches(waiting, schema)
            yield table.slice(0, size)
            waiting = table.slice(size).to_batches()
            held -= size
    if held:
        yield pa.Table.from_batches(waiting, schema)


def identity_of(
    loop: str,
    tenant: str,
    logical_date: date,
    window_days: int,
    exclusions: Exclusions,
    cutoff: datetime | None,
) -> bytes:
    """What a version says of itself inside its files."""
    cut = {} if cutoff is None else {"cutoff": cutoff.isoformat()}
    return canonical_json(
        {
            "loop": loop,
            "tenant": tenant,
            "logical_date": logical_date.isoformat(),
            "window_days": window_days,
            "exclusions": dataclasses.asdict(exclusions),
            **cut,
        }
    ).encode()


def entry_of(folder: Path, name: str, rows: int) -> FileEntry:
    """The manifest's entry of a written file."""
    path = folder / name
    return FileEntry(
        name=name, sha256=documents.sha256_of(path), rows=rows, size=path.stat().st_size
    )


def dataset_id_of(files: Iterable[FileEntry]) -> str:
    """SHA-256 of the files' names and checksums, in the order of the names."""
    lines = sorted(f"{file.name}\0{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def verified(folder: Path, dataset_id: str) -> DatasetVersion:
    """The version in a folder, once every file is what the id says.

    Raises:
        ShouldRestoreArtefact: something is missing, damaged or belongs to another version.
    """
    manifest = documents.read(DatasetManifest, folder / MANIFEST_FILE)
    if not manifest.dataset_id == dataset_id_of(manifest.files) == dataset_id:
        raise _damaged(folder / MANIFEST_FILE, f"it is the manifest of {manifest.dataset_id}")
    for file in manifest.files:
        path = folder / file.name
        try:
            sha256 = documents.sha256_of(path)
        except OSError as problem:
            raise _damaged(path, f"it cannot be read, {problem.strerror}") from problem
        if sha256 != file.sha256:
            raise _damaged(path, f"its SHA-256 is {sha256}, not {file.sha256}")
        rows = pq.ParquetFile(path).metadata.num_rows
        if (rows, path.stat().st_size) != (file.rows, file.size):
            raise _damaged(folder / MANIFEST_FILE, f"{file.name} has {rows} rows")
    expected = identity_of(
        manifest.loop,
        manifest.tenant,
        manifest.logical_date,
        manifest.window_days,
        manifest.exclusions,
        manifest.cutoff,
    )
    stored = pq.read_schema(folder / EPISODES_FILE).metadata or {}
    if stored.get(_IDENTITY) != expected:
        raise _damaged(folder / MANIFEST_FILE, f"{EPISODES_FILE} says {stored.get(_IDENTITY)!r}")
    return DatasetVersion(root=folder, manifest=manifest)


def _damaged(path: Path, problem: str) -> ShouldRestoreArtefact:
    return ShouldRestoreArtefact(
        f"{path} is not what was written: {problem}.",
        "Extract the dataset again: its date is pinned, so it comes out the same.",
    )
