"""``RewardWriter`` where the definition runs in a warehouse, on the dataset version's own files."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.errors import ShouldFixInput, ShouldFixSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.warehouse import Warehouse
from everloop.rewards.definition import (
    REFUSAL,
    RewardRule,
    SignalRule,
    reward_rule,
    signal_rules,
    statement,
)
from everloop.rewards.engine import bounded_engine, quoted, register_parquet
from everloop.rewards.table import FORMAT, refuse_nan

_EPISODES = pa.schema(
    [
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("episode_key", pa.string(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),
        pa.field("closed", pa.bool_(), nullable=False),
    ]
)
_SIGNALS = pa.schema(
    [
        pa.field("episode_id", pa.string(), nullable=False),
        pa.field("episode_key", pa.string(), nullable=False),
        pa.field("signal_type", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("latency", pa.int64(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
    ]
)
_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string()}
_BATCH = 65_536


class WarehouseRewards:
    """Rewards by the same SQL file, run elsewhere.

    Sums are taken in whatever order the warehouse takes them, so a number may differ from this machine's
    in its last bits.

    Args:
        warehouse: runs statements in BigQuery's dialect.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def __call__(
        self,
        spec: LoopSpec,
        dataset: DatasetVersion,
        out: Path,
        memory_limit_mb: int = 1024,
        threads: int = 1,
    ) -> Path:
        """See ``RewardWriter``; the limits are those of the writing alone.

        Raises:
            ShouldFixSignal: the definition refuses a signal.
        """
        out = Path(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=out.parent, prefix=".warehouse-") as name,
            bounded_engine(out.parent, memory_limit_mb, threads) as connection,
        ):
            folder = Path(name)
            register_parquet(connection, "signals", dataset.signals_path)
            refuse_nan(connection)
            tables = _inputs(spec, dataset, folder)
            labels = {
                "loop": spec.name,
                "tenant": dataset.manifest.tenant,
                "dataset": dataset.manifest.dataset_id,
            }
            schema = _schema(spec.signal_names)
            # Types are found by their position; a name of theirs may be no column's name there.
            places = [f"type_{position}" for position in range(len(spec.signals))]
            asked = statement(places, "bigquery")
            try:
                with (
                    self._warehouse.rows(asked, tables, labels) as batches,
                    pq.ParquetWriter(folder / "answer.parquet", schema) as writer,
                ):
                    for batch in batches:
                        pairs = zip(batch.columns, schema, strict=True)
                        columns = [column.cast(field.type) for column, field in pairs]
                        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            except ShouldFixInput as problem:
                raise _remedy(problem) from problem
            temporary = folder / out.name
            answer = quoted(str(folder / "answer.parquet"))
            connection.execute(
                f"COPY (SELECT *, FALSE AS held FROM read_parquet({answer})) "  # noqa: S608
                f"TO {quoted(str(temporary))} ({FORMAT})"
            )
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(out)
        return out


def _remedy(problem: ShouldFixInput) -> ShouldFixInput:
    text = str(problem)
    if REFUSAL not in text:
        return problem
    return ShouldFixSignal(
        f"The reward definition {text[text.index(REFUSAL) :]}.",
        "Send declared types only, with values in their declared range, confidence in [0, 1] "
        "and latency >= 0.",
    )


def _schema(names: tuple[str, ...]) -> pa.Schema:
    return pa.schema(
        [
            ("episode_id", pa.string()),
            ("reward", pa.float64()),
            ("outcome", pa.string()),
            ("signals", pa.int64()),
            ("closed", pa.bool_()),
            ("variance", pa.float64()),
            *((f"mean_{name}", pa.float64()) for name in names),
        ]
    )


def _inputs(spec: LoopSpec, dataset: DatasetVersion, folder: Path) -> dict[str, Path]:
    """The four tables that the definition reads, as files; nothing of a person but the ids of decisions."""
    paths = {
        name: folder / f"{name}.parquet"
        for name in ("episodes", "signals", "signal_specs", "reward_rule")
    }
    place = 0
    with (
        pq.ParquetFile(dataset.episodes_path) as source,
        pq.ParquetWriter(paths["episodes"], _EPISODES, compression="zstd") as writer,
    ):
        for batch in source.iter_batches(_BATCH, columns=["episode_id", "closed"]):
            ids, rows = batch.column("episode_id"), batch.num_rows
            numbers = pa.array(range(place, place + rows), pa.int64())
            columns = [ids, ids, numbers, batch.column("closed")]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_EPISODES))
            place += rows
    shown = [field.name for field in _SIGNALS if field.name != "episode_key"]
    with (
        pq.ParquetFile(dataset.signals_path) as source,
        pq.ParquetWriter(paths["signals"], _SIGNALS, compression="zstd") as writer,
    ):
        for batch in source.iter_batches(_BATCH, columns=shown):
            taken = {**dict(zip(batch.schema.names, batch.columns, strict=True))}
            taken["episode_key"] = taken["episode_id"]
            columns = [taken[field.name] for field in _SIGNALS]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SIGNALS))
    _write_rule(paths["signal_specs"], signal_rules(spec))
    _write_rule(paths["reward_rule"], (reward_rule(spec),))
    return paths


def _write_rule(path: Path, rows: tuple[SignalRule, ...] | tuple[RewardRule, ...]) -> None:
    fields = dataclasses.fields(rows[0])
    schema = pa.schema([pa.field(f.name, _TYPES[str(f.type)], nullable=False) for f in fields])
    content = [dataclasses.asdict(row) for row in rows]
    pq.write_table(pa.Table.from_pylist(content, schema), path)
