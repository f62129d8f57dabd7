"""A context snapshot in words: the fields that set this decision apart, and no health value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec, Sensitivity

FIELDS_SHOWN = 3
HEALTH_SCORE = 0.15
"""How telling a recorded health field is. A constant: naming a health field only when its value is
unusual would give the value away."""
_NOT_RECORDED = -1.0


@dataclass(frozen=True, slots=True)
class _Column:
    """One field over n contexts: (n,) scores in {-1} or [0, 1], and row -> its words."""

    scores: Float
    words: Callable[[int], str]


def summarise(spec: LoopSpec, contexts: Sequence[Mapping[str, Json]]) -> list[str]:
    """The three most telling fields of each of n contexts, in words.

    A number tells by its distance from the median of these contexts over its declared range, a
    category by how rare its value is among them, a vector by its distance from their mean. Health
    fields are named, their values are neither shown nor used.

    Returns:
        n sentences' parts joined by "; "; "" where no field of the loop is recorded.
    """
    if not contexts:
        return []
    columns = [_column(field, [c.get(field.name) for c in contexts]) for field in spec.context]
    scores = np.stack([column.scores for column in columns], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :FIELDS_SHOWN]
    return [
        "; ".join(columns[i].words(row) for i in chosen if scores[row, i] > _NOT_RECORDED)
        for row, chosen in enumerate(order.tolist())
    ]


def _column(field: ContextField, values: list[Json]) -> _Column:
    if field.sensitivity is Sensitivity.HEALTH:
        recorded = np.array([value is not None for value in values])
        text = f"{field.name}: recorded (health, not shown)"
        return _Column(np.where(recorded, HEALTH_SCORE, _NOT_RECORDED), lambda _: text)
    return _READERS[field.kind](field, values)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _scored(recorded: Sequence[bool], scores: Float) -> Float:
    return np.asarray(np.where(recorded, np.clip(scores, 0.0, 1.0), _NOT_RECORDED))


def _number(field: ContextField, values: list[Json]) -> _Column:
    recorded = [_is_number(value) for value in values]
    known = np.array([float(v) if ok else 0.0 for v, ok in zip(values, recorded, strict=True)])
    present = known[np.array(recorded)]
    if not len(present):
        present = np.zeros(1)
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75])

    def words(row: int) -> str:
        place = "higher than most" if known[row] > high else "lower than most"
        usual = low <= known[row] <= high
        return f"{field.name}: {known[row]:g} ({'as usual' if usual else place})"

    return _Column(_scored(recorded, np.abs(known - middle) / (field.high - field.low)), words)


def _cycle(field: ContextField, values: list[Json]) -> _Column:
    recorded = [_is_number(value) for value in values]
    known = np.array([float(v) if ok else 0.0 for v, ok in zip(values, recorded, strict=True)])
    angle = 2 * np.pi * known / field.period
    towards = np.exp(1j * angle)
    centre = np.angle(towards[np.array(recorded)].sum()) if any(recorded) else 0.0
    away = np.abs(np.angle(np.exp(1j * (angle - centre)))) / np.pi
    # half weight: half of all moments are away from the usual one
    return _Column(
        _scored(recorded, away / 2),
        lambda row: f"{field.name}: {known[row]:g} of {field.period:g}",
    )


def _category(field: ContextField, values: list[Json]) -> _Column:
    counts: dict[str, int] = {}
    for value in values:
        if isinstance(value, str):
            counts[value] = counts.get(value, 0) + 1
    total = max(1, sum(counts.values()))
    rare = [1 - counts[v] / total if isinstance(v, str) else 0.0 for v in values]
    return _Column(
        _scored([isinstance(v, str) for v in values], np.array(rare)),
        lambda row: f"{field.name}: {values[row]}",
    )


def _vector(field: ContextField, values: list[Json]) -> _Column:
    recorded = [isinstance(v, list | tuple) and len(v) == field.width for v in values]
    blank = [0.0] * field.width
    known = np.array(
        [v if ok else blank for v, ok in zip(values, recorded, strict=True)], dtype=np.float64
    )
    mean = known[np.array(recorded)].mean(axis=0) if any(recorded) else np.zeros(field.width)
    spread = (field.high - field.low) * math.sqrt(field.width)
    away = np.linalg.norm(known - mean, axis=1) / spread
    return _Column(
        _scored(recorded, away),
        lambda row: f"{field.name}: {field.width} numbers, {away[row]:.0%} of its range from usual",
    )


def _history(field: ContextField, values: list[Json]) -> _Column:
    recorded = [isinstance(value, list | tuple) for value in values]
    lengths = np.array(
        [len(v) if ok else 0 for v, ok in zip(values, recorded, strict=True)], dtype=np.float64
    )

    def words(row: int) -> str:
        entries = values[row]
        rewarded = sum(isinstance(e, Mapping) and e.get("reward") is not None for e in entries)
        return f"{field.name}: {len(entries)} earlier decisions, {rewarded} with a known reward"

    return _Column(_scored(recorded, lengths / field.width / 2), words)


_READERS: dict[FieldKind, Callable[[ContextField, list[Json]], _Column]] = {
    FieldKind.NUMBER: _number,
    FieldKind.CYCLE: _cycle,
    FieldKind.CATEGORY: _category,
    FieldKind.VECTOR: _vector,
    FieldKind.HISTORY: _history,
}
