"""What the context snapshots hold, field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.contracts.contexts import ContextOpener, plain
from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec

MOST_ROWS = 200_000
"""Larger versions are looked at in an even sample of row groups' rows: every k-th row."""
_BATCH = 8192
_NUMBERS = frozenset({int, float})


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


@dataclass(frozen=True, slots=True)
class ContextFacts:
    """``unreadable``: rows whose context is no JSON object; ``fields`` in the specification's order."""

    rows: int
    unreadable: int
    fields: tuple[FieldFacts, ...]


def look_into(
    spec: LoopSpec, dataset: DatasetVersion, contexts: ContextOpener = plain
) -> ContextFacts:
    """Look at every context, or at an even sample of a large version's.

    Args:
        contexts: opens sealed health fields.
    """
    missing = dict.fromkeys((field.name for field in spec.context), 0)
    malformed = dict(missing)
    example = dict.fromkeys(missing, "")
    rows = unreadable = 0
    for context in _contexts(dataset, contexts):
        rows += 1
        if context is None:
            unreadable += 1
            continue
        for field in spec.context:
            value = context.get(field.name)
            if value is None:
                missing[field.name] += 1
            elif not _fits(field, value):
                malformed[field.name] += 1
                example[field.name] = example[field.name] or f"{value!r:.60}"
    fields = tuple(
        FieldFacts(name, rows, missing[name], malformed[name], example[name]) for name in missing
    )
    return ContextFacts(rows, unreadable, fields)


def _contexts(dataset: DatasetVersion, opened: ContextOpener) -> Iterator[Mapping[str, Any] | None]:
    every = max(1, math.ceil(dataset.manifest.episodes / MOST_ROWS))
    first = 0
    file = pq.ParquetFile(dataset.episodes_path)
    for batch in file.iter_batches(_BATCH, columns=["episode_id", "context"]):
        looked_at = batch.take(pa.array(range(first, batch.num_rows, every), pa.int64()))
        first = (first - batch.num_rows) % every
        ids, texts = (looked_at[name].to_pylist() for name in ("episode_id", "context"))
        for episode_id, text in zip(ids, texts, strict=True):
            context = _object(text)
            yield None if context is None else opened(episode_id, context)


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        context = json.loads(text or "")
    except json.JSONDecodeError:
        return None
    return context if isinstance(context, dict) else None


def _fits(field: ContextField, value: Any) -> bool:
    match field.kind:
        case FieldKind.NUMBER:
            return _within(field, value)
        case FieldKind.VECTOR:
            return (
                isinstance(value, list) and len(value) == field.width and _all_within(field, value)
            )
        case FieldKind.CATEGORY:
            return value in field.choices
        case FieldKind.CYCLE:
            return _number(value) and 0 <= value <= field.period
        case FieldKind.HISTORY:
            return (
                isinstance(value, list)
                and len(value) <= field.width
                and all(_interaction(past) for past in value)
            )


def _interaction(past: Any) -> bool:
    if not isinstance(past, dict) or not isinstance(past.get("action"), str):
        return False
    reward = past.get("reward")
    return reward is None or (_number(reward) and -1 <= reward <= 1)


def _number(value: Any) -> bool:
    if isinstance(value, int):  # of any size: JSON knows no limit
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _within(field: ContextField, value: Any) -> bool:
    return _number(value) and field.low <= value <= field.high


def _all_within(field: ContextField, values: list[Any]) -> bool:
    if set(map(type, values)) <= _NUMBERS:
        try:
            # A sum is finite only if everything in it is, and then the extremes say it of all.
            if values and math.isfinite(sum(values)):
                return bool(field.low <= min(values) and max(values) <= field.high)
        except OverflowError:  # an integer beyond the range of floats
            return False
    return all(_within(field, number) for number in values)
