"""A profile's context in the specification's words and units: what the table's ``traits`` hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import EncodingLayout, Float32
from everloop.contracts.episodes import Json
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from synthetic.profiles.marginals import Variable, bins_of, history_parts, variables

_HISTORY = (
    *(f"share_{kind.value}" for kind in ActionKind),
    "mean_reward",
    "share_with_reward",
    "length",
)


def traits_of(spec: LoopSpec, layout: EncodingLayout, context: Float32) -> list[dict[str, Json]]:
    """One mapping per row of (n, d) contexts: field -> choice, or range in the field's units.

    A category is its choice; a number, a cycle or an unprojected vector's entry the range ``[low, high]``
    of its bin; a history its named parts. ``None``: the person lacks the field. Directions of a public
    projection have no words and are left out.
    """
    every = variables(layout)
    place = bins_of(layout, context)
    found: list[dict[str, Json]] = [{} for _ in range(len(context))]
    for v, variable in enumerate(every):
        field = spec.field(variable.block.field)
        name = trait_name(field, variable)
        if name is None:
            continue
        values = bin_values(field, variable)
        told = np.ones(len(context), dtype=np.bool_)
        if variable.block.kind == "category":
            told = np.asarray(context[:, variable.dimensions].max(axis=1) > 0.0)
        for row in range(len(context)):
            said = values[int(place[row, v]) - variable.start]
            found[row][name] = said if told[row] else None
    return found


def trait_name(field: ContextField, variable: Variable) -> str | None:
    """What a variable is called; ``None`` where it has no words."""
    offset = variable.dimensions.start - variable.block.start
    if field.kind is FieldKind.HISTORY:
        return f"{field.name}.{_HISTORY[offset]}"
    if field.kind is FieldKind.VECTOR:
        projected = field.project_to is not None and field.project_to < field.width
        return None if projected else f"{field.name}.{offset}"
    return field.name


def bin_values(field: ContextField, variable: Variable) -> list[Json]:
    """What each of a variable's bins says, the last that the field is absent."""
    bins = variable.bins - 1
    if field.kind is FieldKind.CATEGORY:
        return [*field.choices, None]
    low, high = _bounds(field, variable)
    edges = np.linspace(low, high, bins + 1)
    return [*([_tidy(a), _tidy(b)] for a, b in pairwise(edges)), None]


def _bounds(field: ContextField, variable: Variable) -> tuple[float, float]:
    """What the ends of the variable's public range stand for."""
    if field.kind is FieldKind.CYCLE:
        return 0.0, field.period
    if field.kind is FieldKind.HISTORY:
        length = variable.dimensions.start == history_parts(variable.block).length
        unit = float(field.width) if length else 1.0
        return variable.low * unit, variable.high * unit
    return field.low, field.high


def _tidy(value: float) -> float:
    return float(f"{value:.6g}")
