"""What the context snapshots hold, field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec

MOST_ROWS = 200_000
"""Larger versions are looked at in an even sample of row groups' rows: every k-th row."""
_BATCH = 8192


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One context field over the rows that were looked at.

    ``missing``: rows without it; ``malformed``: rows whose value is of another kind, not finite or
    outside the public bounds; ``example``: the first malformed value, as text.
    """

    field: str
    rows: int
    missing: int
    malformed: int
    example: str

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else 0.0


def look_into(spec: LoopSpec, dataset: DatasetVersion) -> tuple[FieldFacts, ...]:
    """Facts of every declared field, in the specification's order."""
    missing = dict.fromkeys((field.name for field in spec.context), 0)
    malformed = dict(missing)
    example = dict.fromkeys(missing, "")
    rows = 0
    for context in _contexts(dataset):
        rows += 1
        for field in spec.context:
            value = context.get(field.name)
            if value is None:
                missing[field.name] += 1
            elif not _fits(field, value):
                malformed[field.name] += 1
                example[field.name] = example[field.name] or f"{value!r:.60}"
    return tuple(
        FieldFacts(name, rows, missing[name], malformed[name], example[name]) for name in missing
    )


def _contexts(dataset: DatasetVersion) -> Iterator[dict[str, Any]]:
    every = max(1, math.ceil(dataset.manifest.episodes / MOST_ROWS))
    position = 0
    file = pq.ParquetFile(dataset.episodes_path)
    for batch in file.iter_batches(_BATCH, columns=["context"]):
        for text in batch.column(0).to_pylist():
            if position % every == 0:
                context = json.loads(text)
                yield context if isinstance(context, dict) else {}
            position += 1


def _fits(field: ContextField, value: Any) -> bool:
    match field.kind:
        case FieldKind.NUMBER:
            return _within(field, value)
        case FieldKind.VECTOR:
            return (
                isinstance(value, list)
                and len(value) == field.width
                and all(_within(field, number) for number in value)
            )
        case FieldKind.CATEGORY:
            return value in field.choices
        case FieldKind.CYCLE:
            return _number(value)
        case FieldKind.HISTORY:
            return (
                isinstance(value, list)
                and len(value) <= field.width
                and all(isinstance(past, dict) and "action" in past for past in value)
            )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(field: ContextField, value: Any) -> bool:
    return _number(value) and field.low <= value <= field.high
