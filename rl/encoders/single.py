"""One snapshot at a time, for serving: the same numbers as the column encoders', in a third of the time.

Each writer encodes what a well-formed snapshot holds and answers ``None`` to everything else, which is
then left to the column encoders: what is refused, and how, is theirs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from everloop.contracts.loop_spec import ContextField, FieldKind
from rl.encoders import fields
from rl.encoders.projection import public_projection

Writer = Callable[[Any], list[float] | None]
"""A field's value (``None``: absent) to its block and its missing indicator; ``None``: not my case."""

_NUMBERS = frozenset({int, float})


def writer_of(field: ContextField, kind_of: Mapping[str, int]) -> Writer:
    """The writer of a field; ``kind_of`` as in ``fields.history``."""
    write = {
        FieldKind.NUMBER: _number,
        FieldKind.VECTOR: _vector,
        FieldKind.CATEGORY: _category,
        FieldKind.CYCLE: _cycle,
    }.get(field.kind)
    present = _history(field, kind_of) if write is None else write(field)
    absent = [0.0] * fields.width_of(field) + [1.0]
    return lambda value: absent if value is None else present(value)


def _number(field: ContextField) -> Writer:
    low, high, span = field.low, field.high, field.high - field.low

    def write(value: Any) -> list[float] | None:
        if type(value) not in _NUMBERS or not low <= value <= high:
            return None
        scaled = (float(value) - low) / span * 2.0 - 1.0
        return [min(1.0, max(-1.0, scaled)), 0.0]

    return write


def _cycle(field: ContextField) -> Writer:
    period, turn = field.period, 2.0 * math.pi / field.period

    def write(value: Any) -> list[float] | None:
        if type(value) not in _NUMBERS or not 0.0 <= value <= period:
            return None
        angle = float(value) % period * turn
        return [float(np.sin(angle)), float(np.cos(angle)), 0.0]  # math's differ in the last bit

    return write


def _category(field: ContextField) -> Writer:
    blocks = {
        choice: [float(choice == other) for other in field.choices] + [0.0]
        for choice in field.choices
    }
    unknown = [0.0] * len(field.choices) + [1.0]

    def write(value: Any) -> list[float] | None:
        return blocks.get(value, unknown) if type(value) is str else None

    return write


def _vector(field: ContextField) -> Writer:
    low, high, span, width = field.low, field.high, field.high - field.low, field.width
    narrower = field.project_to is not None and field.project_to < width
    matrix = public_projection(width, field.project_to or width).T if narrower else None

    def write(value: Any) -> list[float] | None:
        if type(value) is not list or len(value) != width or not set(map(type, value)) <= _NUMBERS:
            return None
        if not low <= min(value) <= max(value) <= high:
            return None
        # a row of a matrix: the product of a plain vector may differ in the last bit
        scaled = (np.array([value], dtype=np.float64) - low) / span * 2.0 - 1.0
        scaled = np.minimum(np.maximum(scaled, -1.0), 1.0)
        if matrix is not None:
            scaled = (scaled @ matrix) * fields.PROJECTED_SCALE
            scaled = np.minimum(np.maximum(scaled, -1.0), 1.0)
        if not math.isfinite(float(scaled.sum())):
            return None
        block: list[float] = scaled[0].tolist()
        return [*block, 0.0]

    return write


def _history(field: ContextField, kind_of: Mapping[str, int]) -> Writer:
    def write(value: Any) -> list[float] | None:
        if type(value) is not list:
            return None
        summary = fields.summary(field, value, kind_of)
        return None if isinstance(summary, fields.Refused) else [*summary, 0.0]

    return write
