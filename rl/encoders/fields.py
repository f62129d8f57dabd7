"""One encoder per kind of context field: JSON values of n rows to (n, width) within [-1, 1].

Every function takes the column of a field's values, ``None`` where the snapshot lacks the field, and
returns the encoded block and which rows are missing (their block is all zeros). ``Refuse`` builds
the error for a value that cannot be encoded, from its row, the value and the problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldFixEpisode
from everloop.contracts.loop_spec import ContextField, FieldKind
from rl.encoders.projection import public_projection

Refuse = Callable[[int, Any, str], ShouldFixEpisode]
Block = tuple[Float, Bool]

TOLERANCE = 1e-9
"""How far outside its public bounds a value may lie, as a share of their distance, to be clipped."""
PROJECTED_SCALE = 0.5
"""A projected vector is halved before it is clipped to [-1, 1]. With random signs a component's
root mean square is at most that of the vector's entries, so within bounds few vectors reach 2."""
KINDS = tuple(ActionKind)
HISTORY_SUMMARY = len(KINDS) + 3
"""Share of each action kind, mean reward, share with a reward, length over the field's width."""

_NUMBER_TYPES = {int, float}


def width_of(field: ContextField) -> int:
    """Number of dimensions of the field's block, its missing indicator not counted."""
    return {
        FieldKind.NUMBER: 1,
        FieldKind.VECTOR: field.project_to or field.width,
        FieldKind.CATEGORY: len(field.choices),
        FieldKind.CYCLE: 2,
        FieldKind.HISTORY: HISTORY_SUMMARY,
    }[field.kind]


def _absent(values: Sequence[Any]) -> Bool:
    return np.fromiter((value is None for value in values), np.bool_, len(values))


def _numbers(values: Sequence[Any], refuse: Refuse) -> Block:
    missing = _absent(values)
    for row, value in enumerate(values):
        if type(value) not in _NUMBER_TYPES and value is not None:
            raise refuse(row, value, "is not a number")
    try:
        numbers = np.array([0.0 if v is None else v for v in values], dtype=np.float64)
    except OverflowError:
        row = next(r for r, v in enumerate(values) if v is not None and abs(v) > 1e300)
        raise refuse(row, values[row], "is too large") from None
    finite = np.isfinite(numbers)
    if not finite.all():
        row = int(np.argmin(finite))
        raise refuse(row, values[row], "is not finite")
    return numbers, missing


def _within(field: ContextField, numbers: Float, present: Bool, refuse: Refuse) -> Float:
    """Scale low..high to -1..1; (n, ...) numbers, (n,) rows whose bounds are checked."""
    slack = TOLERANCE * (field.high - field.low)
    outside = (numbers < field.low - slack) | (numbers > field.high + slack)
    outside &= present.reshape(-1, *([1] * (numbers.ndim - 1)))
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), outside.shape)
        value = float(numbers[where])
        raise refuse(int(where[0]), value, f"is outside {field.low:g}..{field.high:g}")
    scaled: Float = (numbers - field.low) / (field.high - field.low) * 2.0 - 1.0
    return np.clip(scaled, -1.0, 1.0)


def number(field: ContextField, values: Sequence[Any], refuse: Refuse) -> Block:
    """Linear from low..high to -1..1."""
    numbers, missing = _numbers(values, refuse)
    scaled = _within(field, numbers, ~missing, refuse)
    scaled[missing] = 0.0
    return scaled[:, None], missing


def vector(field: ContextField, values: Sequence[Any], refuse: Refuse) -> Block:
    """Entries scaled as a number's; then, with ``project_to``, projected, halved and clipped."""
    missing = _absent(values)
    rows: list[Sequence[float]] = []
    for row, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, list | tuple) or len(value) != field.width:
            raise refuse(row, value, f"is not a list of {field.width} numbers")
        if not set(map(type, value)) <= _NUMBER_TYPES:
            raise refuse(row, value, "holds something that is not a number")
        rows.append(value)
    where = np.flatnonzero(~missing)
    try:
        given = np.array(rows, dtype=np.float64).reshape(len(rows), field.width)
    except OverflowError:
        first = next(r for r, v in enumerate(rows) if any(abs(x) > 1e300 for x in v))
        raise refuse(int(where[first]), rows[first], "holds a number that is too large") from None
    finite = np.isfinite(given).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        raise refuse(int(where[first]), rows[first], "holds NaN or infinity")

    def refuse_entry(row: int, value: Any, problem: str) -> ShouldFixEpisode:
        return refuse(int(where[row]), value, problem)

    scaled = _within(field, given, np.ones(len(rows), dtype=np.bool_), refuse_entry)
    if field.project_to is not None and field.project_to < field.width:
        projected = scaled @ public_projection(field.width, field.project_to).T
        scaled = np.clip(projected * PROJECTED_SCALE, -1.0, 1.0)
    block = np.zeros((len(values), width_of(field)))
    block[where] = scaled
    return block, missing


def category(field: ContextField, values: Sequence[Any], refuse: Refuse) -> Block:
    """One-hot; an unknown choice counts as missing. Integers are read as their decimal digits."""
    index = {choice: position for position, choice in enumerate(field.choices)}
    position = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        if type(value) is int:
            value = str(value)  # noqa: PLW2901
        if value is not None and not isinstance(value, str):
            raise refuse(row, value, "is not a category's name")
        position[row] = -1 if value is None else index.get(value, -1)
    missing = position < 0
    block = np.zeros((len(values), len(field.choices)))
    known = np.flatnonzero(~missing)
    block[known, position[known]] = 1.0
    return block, missing


def cycle(field: ContextField, values: Sequence[Any], refuse: Refuse) -> Block:
    """Sine and cosine of 2 pi value / period; any finite number is on the circle."""
    numbers, missing = _numbers(values, refuse)
    angle = np.remainder(numbers, field.period) * (2.0 * math.pi / field.period)
    block = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    block[missing] = 0.0
    return block, missing


def history(
    field: ContextField, values: Sequence[Any], refuse: Refuse, kind_of: Mapping[str, int]
) -> Block:
    """Summary of the last ``width`` interactions.

    Dimensions: share of each action kind (in ``KINDS`` order, over all counted interactions; an
    action that has left the catalogue is of no kind), mean reward of those with one, share with
    one, length / width. ``kind_of`` maps action id to the position of its kind.
    """
    block = np.zeros((len(values), HISTORY_SUMMARY))
    for row, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, list | tuple):
            raise refuse(row, value, "is not a list of interactions")
        found = summary(field, value, kind_of)
        if isinstance(found, Refused):
            raise refuse(row, found.value, found.problem)
        block[row] = found
    return block, _absent(values)


@dataclass(frozen=True, slots=True)
class Refused:
    """What of a history cannot be encoded, and why."""

    value: Any
    problem: str


def summary(
    field: ContextField, interactions: Sequence[Any], kind_of: Mapping[str, int]
) -> list[float] | Refused:
    """The ``HISTORY_SUMMARY`` dimensions of one history; see ``history``."""
    recent = interactions[-field.width :]
    length = len(recent)
    if not length:
        return [0.0] * HISTORY_SUMMARY
    counts = [0] * len(KINDS)
    rewards = []
    for item in recent:
        # dictionaries are what JSON makes, and asking for a mapping costs more than all the rest
        action = item.get("action") if type(item) is dict or isinstance(item, Mapping) else None
        if not isinstance(action, str):
            return Refused(item, "is not an interaction {action, reward}")
        kind = kind_of.get(action)
        if kind is not None:
            counts[kind] += 1
        reward = item.get("reward")
        if reward is None:
            continue
        if type(reward) not in _NUMBER_TYPES or not abs(reward) <= 1.0 + TOLERANCE:
            return Refused(item, "has a reward outside -1..1")
        rewards.append(reward if -1.0 <= reward <= 1.0 else math.copysign(1.0, reward))
    return [
        *(count / length for count in counts),
        math.fsum(rewards) / len(rewards) if rewards else 0.0,
        len(rewards) / length,
        length / field.width,
    ]
