"""Contexts as bins, one histogram per variable: what profiles are drawn from and compared on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodedBlock, EncodingLayout, Float, Float32, Int

NUMBER_BINS = 10
CYCLE_BINS = 8
WIDEST = 512
SMOOTHING = 0.5
"""Pseudo-count per bin (Jeffreys): no distance is infinite."""
_ROUNDING = 1e-5
"""Seven of ten interactions are 0.69999999 as float32, and belong to the bin that begins with 0.7."""


@dataclass(frozen=True, slots=True)
class HistoryParts:
    """Dimensions of a history: ``shares`` of action kinds, ``mean_reward``, ``rewarded`` (share with a
    reward) and ``length`` over the field's width."""

    shares: slice
    mean_reward: int
    rewarded: int
    length: int


def history_parts(block: EncodedBlock) -> HistoryParts:
    """What the dimensions of a block of kind history are."""
    end = block.start + block.width
    return HistoryParts(slice(block.start, end - 3), end - 3, end - 2, end - 1)


@dataclass(frozen=True, slots=True)
class Variable:
    """One histogram: a number's ``NUMBER_BINS``, a cycle's ``CYCLE_BINS`` or a category's choices,
    and one more bin, the last, for contexts that lack the field.

    ``dimensions`` are the context's own, ``start`` is the first bin among those of all variables,
    ``bins`` their number. ``block`` holds the dimensions, ``missing`` the field's indicator if any.
    ``low``, ``high``: the public range of a number's encoding, which its bins part evenly.
    """

    block: EncodedBlock
    missing: EncodedBlock | None
    dimensions: slice
    start: int
    bins: int
    low: float = -1.0
    high: float = 1.0

    @property
    def part(self) -> slice:
        """The variable's bins among all."""
        return slice(self.start, self.start + self.bins)


def variables(layout: EncodingLayout) -> tuple[Variable, ...]:
    """The variables of a layout, in the order of its blocks; each number is one of its own.

    Vectors of WIDEST or more numbers have none: no population pays for a histogram of each of them.
    """
    flags = {block.field: block for block in layout.of_kind("missing")}
    found: list[Variable] = []
    start = 0
    for block in layout.blocks:
        if block.kind == "missing" or (block.kind == "vector" and block.width >= WIDEST):
            continue
        single = block.kind in ("category", "cycle")
        bins = {"category": block.width, "cycle": CYCLE_BINS}.get(block.kind, NUMBER_BINS) + 1
        parts = [block.dimensions] if single else _each(block)
        for part in parts:
            low, high = _range(block, part)
            found.append(Variable(block, flags.get(block.field), part, start, bins, low, high))
            start += bins
    return tuple(found)


def total_bins(layout: EncodingLayout) -> int:
    """Bins of all variables together."""
    return sum(variable.bins for variable in variables(layout))


def bins_of(layout: EncodingLayout, context: Float32) -> Int:
    """(n, v) bin of each variable of n contexts (n, d), counted over all variables together."""
    columns = [
        _place(variable, context).astype(np.int64) + variable.start
        for variable in variables(layout)
    ]
    return np.stack(columns, axis=1)


def counts_by_owner(
    layout: EncodingLayout, context: Float32, owner: Int, weight: Float, owners: int
) -> Float:
    """(owners, bins) weighted counts of each owner's contexts; ``owner``, ``weight`` are (n,)."""
    counts = np.zeros((owners, total_bins(layout)))
    for column in bins_of(layout, context).T:
        np.add.at(counts, (owner, column), weight)
    return counts


def mean_divergence(layout: EncodingLayout, real: Float, synthetic: Float) -> Float:
    """(b,) mean over variables of KL(real || synthetic), nats, from (b, bins) and (bins,) counts.

    sum_k p_k log(p_k / q_k) with p and q smoothed by half a count per bin. This direction is large
    where the synthetic people lack something that real people are.
    """
    every = variables(layout)
    total = np.zeros(len(real))
    for variable in every:
        p, q = real[:, variable.part] + SMOOTHING, synthetic[variable.part] + SMOOTHING
        p = p / p.sum(axis=1, keepdims=True)
        total += (p * np.log(p / (q / q.sum()))).sum(axis=1)
    return total / len(every)


def _each(block: EncodedBlock) -> list[slice]:
    return [slice(i, i + 1) for i in range(block.start, block.start + block.width)]


def _range(block: EncodedBlock, part: slice) -> tuple[float, float]:
    """Shares and the length of a history are within [0, 1], all else within [-1, 1]."""
    one_sided = block.kind == "history" and part.start != history_parts(block).mean_reward
    return (0.0, 1.0) if one_sided else (-1.0, 1.0)


def _place(variable: Variable, context: Float32) -> Int:
    """(n,) bin of each context within the variable."""
    values = context[:, variable.dimensions].astype(np.float64)
    last = variable.bins - 1
    if variable.block.kind == "category":
        place = values.argmax(axis=1)
    elif variable.block.kind == "cycle":
        turn = np.arctan2(values[:, 0], values[:, 1]) / (2.0 * np.pi) % 1.0
        place = np.minimum((turn * last).astype(np.int64), last - 1)
    else:
        position = (values[:, 0] - variable.low) / (variable.high - variable.low)
        place = np.clip((position * last + _ROUNDING).astype(np.int64), 0, last - 1)
    if variable.missing is None:
        return np.asarray(place, dtype=np.int64)
    absent = context[:, variable.missing.start] > 0.5
    return np.asarray(np.where(absent, last, place), dtype=np.int64)
