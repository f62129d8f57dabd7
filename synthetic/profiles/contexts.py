"""Bins back to contexts: a value evenly within its bin, absent fields as zeros and an indicator.

Parts of a history that start at 0 stand at 0 in their lowest bin, which holds those who have none, and
its parts are made to agree: nobody who did nothing has shares or rewards.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, EncodedBlock, EncodingLayout, Float, Int
from synthetic.profiles.marginals import Variable, history_parts, variables


def contexts_of(
    layout: EncodingLayout, codes: Int, rng: np.random.Generator, variance: float = 1.0
) -> Float:
    """(n, d) contexts of (n, V) bins, each counted within its variable; values keep public ranges.

    A block is absent where its first variable says so; its other variables must not.

    Args:
        layout: what the dimensions mean.
        codes: the bins.
        rng: places values within bins.
        variance: factor on the variance of numbers around their mean, and of points of a cycle around
            their mean direction; what leaves the bounds is clipped to them.
    """
    context = np.zeros((len(codes), layout.width))
    every = variables(layout)
    for columns in block_columns(layout):
        first = every[columns[0]]
        absent = codes[:, columns[0]] == first.bins - 1
        for column in columns:
            variable = every[column]
            place = np.minimum(codes[:, column], variable.bins - 2)
            values = _values(variable, place, ~absent, rng, variance)
            context[:, variable.dimensions] = np.where(absent[:, None], 0.0, values)
        if first.missing is not None:
            context[:, first.missing.start] = absent
    for block in layout.of_kind("history"):
        _agree(context, block)
    return context


def even_codes(layout: EncodingLayout, count: int, rng: np.random.Generator) -> Int:
    """(count, V) bins drawn evenly and independently: every possible person, no data at all."""
    every = variables(layout)
    codes = np.empty((count, len(every)), dtype=np.int64)
    for v, variable in enumerate(every):
        leads = v == 0 or every[v - 1].block != variable.block
        spare = 0 if leads and variable.missing is not None else 1
        codes[:, v] = rng.integers(0, variable.bins - spare, count)
    return codes


def _values(
    variable: Variable, place: Int, present: Bool, rng: np.random.Generator, variance: float
) -> Float:
    """(n, w) values of a variable."""
    bins = variable.bins - 1
    if variable.block.kind == "category":
        return np.eye(bins)[place]
    position = (place + rng.random(len(place))) / bins
    if variable.block.kind == "history" and variable.low == 0.0:
        position = np.where(place == 0, 0.0, position)
    if variable.block.kind == "cycle":
        return _on_circle(position * 2.0 * np.pi, present, variance)
    value = variable.low + position * (variable.high - variable.low)
    if variance != 1.0 and present.any():
        middle = value[present].mean()
        value = middle + np.sqrt(variance) * (value - middle)
    return np.clip(value, variable.low, variable.high)[:, None]


def _on_circle(angle: Float, present: Bool, variance: float) -> Float:
    if variance != 1.0 and present.any():
        middle = np.arctan2(np.sin(angle[present]).mean(), np.cos(angle[present]).mean())
        off = (angle - middle + np.pi) % (2.0 * np.pi) - np.pi
        angle = middle + np.sqrt(variance) * off
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _agree(context: Float, block: EncodedBlock) -> None:
    """Make a history's parts agree, in place: shares of kinds sum to at most 1, a history of length 0
    has no parts, and without a reward the mean reward is 0."""
    parts = history_parts(block)
    total = context[:, parts.shares].sum(axis=1, keepdims=True)
    context[:, parts.shares] /= np.maximum(total, 1.0)
    context[context[:, parts.length] == 0.0, block.dimensions] = 0.0
    context[context[:, parts.rewarded] == 0.0, parts.mean_reward] = 0.0


def block_columns(layout: EncodingLayout) -> tuple[tuple[int, ...], ...]:
    """Positions of each block's variables; the first of them tells whether the block is absent."""
    found: dict[EncodedBlock, list[int]] = {}
    for v, variable in enumerate(variables(layout)):
        found.setdefault(variable.block, []).append(v)
    return tuple(tuple(columns) for columns in found.values())
