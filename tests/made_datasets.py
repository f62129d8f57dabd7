"""Dataset versions written by hand, in the files' declared form and order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.datasets import (
    EPISODES_FILE,
    SIGNALS_FILE,
    DatasetManifest,
    DatasetVersion,
    Exclusions,
    FileEntry,
)
from everloop.contracts.documents import sha256_of

EPISODE_COLUMNS = pa.schema(
    [
        ("episode_id", pa.string()),
        ("person", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("action", pa.string()),
        ("propensity", pa.float64()),
        ("valid_actions", pa.list_(pa.string())),
        ("context", pa.string()),
        ("action_arguments", pa.string()),
        ("model_version", pa.string()),
        ("arm", pa.string()),
        ("closed", pa.bool_()),
    ]
)
SIGNAL_COLUMNS = pa.schema(
    [
        ("signal_id", pa.string()),
        ("episode_id", pa.string()),
        ("signal_type", pa.string()),
        ("value", pa.float64()),
        ("latency", pa.int64()),
        ("confidence", pa.float64()),
    ]
)


@dataclass
class Row:
    """An episode's row; the id is a number, written out as a UUID, the person a name, written hashed."""

    number: int
    person: str = "p0"
    timestamp: datetime = datetime(2024, 5, 10, 12, tzinfo=UTC)
    action: str = "no_action"
    propensity: float | None = 0.5
    valid_actions: list[str] = field(default_factory=lambda: ["no_action", "pair-one"])
    context: str = "{}"
    arm: str = "active"
    closed: bool = True
    model_version: str = "logged"

    def columns(self) -> dict[str, Any]:
        return {
            "episode_id": episode_id(self.number),
            "person": hashlib.sha256(self.person.encode()).hexdigest(),
            "timestamp": self.timestamp,
            "action": self.action,
            "propensity": self.propensity,
            "valid_actions": self.valid_actions,
            "context": self.context,
            "action_arguments": "{}",
            "model_version": self.model_version,
            "arm": self.arm,
            "closed": self.closed,
        }


@dataclass
class Evidence:
    """A signal's row; ``episode`` is the episode's number."""

    episode: int
    signal_type: str
    value: float
    latency: int = 0
    confidence: float = 1.0
    number: int | None = None


def episode_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def signal_id(number: int) -> str:
    return f"11111111-0000-4000-8000-{number:012d}"


def write_dataset(
    root: Path,
    episodes: Iterable[Row],
    signals: Iterable[Evidence] = (),
    *,
    logical_date: date = date(2024, 5, 10),
    window_days: int = 28,
    episode_columns: pa.Schema = EPISODE_COLUMNS,
    signal_columns: pa.Schema = SIGNAL_COLUMNS,
) -> DatasetVersion:
    """Write the two Parquet files in dataset order and describe them."""
    root.mkdir(parents=True, exist_ok=True)
    rows = sorted(
        (row.columns() for row in episodes), key=lambda r: (r["timestamp"], r["episode_id"])
    )
    evidence = [
        {
            "signal_id": signal_id(index if s.number is None else s.number),
            "episode_id": episode_id(s.episode),
            "signal_type": s.signal_type,
            "value": s.value,
            "latency": s.latency,
            "confidence": s.confidence,
        }
        for index, s in enumerate(signals)
    ]
    evidence.sort(key=lambda r: r["signal_id"])
    pq.write_table(pa.Table.from_pylist(rows, schema=episode_columns), root / EPISODES_FILE)
    pq.write_table(pa.Table.from_pylist(evidence, schema=signal_columns), root / SIGNALS_FILE)
    files = tuple(
        FileEntry(name, sha256_of(root / name), count, (root / name).stat().st_size)
        for name, count in ((EPISODES_FILE, len(rows)), (SIGNALS_FILE, len(evidence)))
    )
    manifest = DatasetManifest(
        dataset_id="d" * 64,
        loop="made",
        tenant="default",
        logical_date=logical_date,
        window_days=window_days,
        episode_watermark=len(rows),
        signal_watermark=len(evidence),
        consent_revision=0,
        spec_sha256="0" * 64,
        files=files,
        exclusions=Exclusions(),
    )
    return DatasetVersion(root, manifest)
