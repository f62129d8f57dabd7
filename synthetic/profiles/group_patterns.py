"""Group patterns: at-most-2-way tables of a release, told only where at least five people are sure.

A cell holds at most as many people as its true count, so a cell of four or fewer passes the threshold
4 + 4.265 sigma with probability at most Phi(-4.265) = 1e-5. Cells below it are merged with their
neighbours (ranges) or into a rest (categories), whose sums have the threshold of their own deviation;
what still is below is suppressed. Everything is computed from the noisy release: it costs nothing, and
nothing here is known of the people beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from everloop.contracts.datasets import EncodingLayout, Float
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.loop_spec import LoopSpec
from synthetic.profiles.marginals import Variable, variables
from synthetic.profiles.mixture import starts_of
from synthetic.profiles.statistics import ProfileStatistics
from synthetic.profiles.traits import bin_values, trait_name

HIDDEN_UP_TO = 4
"""The largest number of people that must not be told: k = 5."""
DEVIATIONS = 4.265
"""Phi(-4.265) = 1e-5."""
ABSENT, OTHERS = "absent", "others"

Cells = tuple[int, ...]
Merge = Callable[[Float, float], list[Cells]]


def threshold(deviation: float) -> float:
    """Least noisy count that is told of a cell with this deviation."""
    return HIDDEN_UP_TO + DEVIATIONS * deviation


def merged_ranges(counts: Float, deviation: float) -> list[Cells]:
    """Runs of neighbouring cells, each above the threshold of its sum; ``deviation`` is one cell's.

    Cells are gathered in order until they pass; what is left at the end joins the last run if the sum
    passes, else it is suppressed.
    """
    runs: list[Cells] = []
    open_run: Cells = ()
    for cell in range(len(counts)):
        open_run = (*open_run, cell)
        if _passes(counts, open_run, deviation):
            runs.append(open_run)
            open_run = ()
    if open_run and runs and _passes(counts, (*runs[-1], *open_run), deviation):
        runs[-1] = (*runs[-1], *open_run)
    return runs


def merged_rest(counts: Float, deviation: float) -> list[Cells]:
    """Cells that pass alone, and all the others together if their sum does."""
    alone: list[Cells] = [
        (cell,) for cell in range(len(counts)) if _passes(counts, (cell,), deviation)
    ]
    rest = tuple(cell for cell in range(len(counts)) if (cell,) not in alone)
    return [*alone, rest] if len(rest) > 1 and _passes(counts, rest, deviation) else alone


def group_patterns(
    layout: EncodingLayout, statistics: ProfileStatistics, spec: LoopSpec
) -> tuple[GroupPattern, ...]:
    """Every cell of the release's tables that may be told, 1-way first, then pairs."""
    facts = statistics.facts
    every = variables(layout)
    scale = facts.people_expected * facts.scale
    total = float(np.mean([statistics.sums[v.part].sum() for v in every])) * scale
    told: list[GroupPattern] = []
    for variable in every:
        name = trait_name(spec.field(variable.block.field), variable)
        if name is None:
            continue
        counts, deviation = statistics.sums[variable.part] * scale, facts.deviation * scale
        words = _Words(spec, variable, tuple(range(variable.bins)))
        told.extend(
            _told((name,), (words.say(cells),), counts, cells, deviation, total)
            for cells in _merged(variable, counts, deviation)
        )
    return (*told, *_pairs(layout, statistics, spec, total))


def _pairs(
    layout: EncodingLayout, statistics: ProfileStatistics, spec: LoopSpec, total: float
) -> list[GroupPattern]:
    facts, every = statistics.facts, variables(layout)
    pairs = statistics.pair_layout(layout)
    scale = facts.people_expected * facts.pair_scale
    deviation = facts.pair_deviation * scale
    told: list[GroupPattern] = []
    for (i, j), table in zip(pairs.pairs, pairs.tables(statistics.pairs), strict=True):
        first, second = (_Words(spec, every[v], _groups(facts.group, every, v)) for v in (i, j))
        names = (first.name, second.name)
        if names[0] is None or names[1] is None:
            continue
        for row, counts in enumerate(table * scale):
            for cells in _merged(every[j], counts, deviation):
                values = (first.say((row,)), second.say(cells))
                fields = (names[0], names[1])
                told.append(_told(fields, values, counts, cells, deviation, total))
    return told


def _told(
    fields: tuple[str, ...],
    values: tuple[str, ...],
    counts: Float,
    cells: Cells,
    deviation: float,
    total: float,
) -> GroupPattern:
    people = float(counts[list(cells)].sum())
    share = min(1.0, people / total) if total > 0.0 else 1.0
    return GroupPattern(fields, values, people, deviation * float(np.sqrt(len(cells))), share)


def _merged(variable: Variable, counts: Float, deviation: float) -> list[Cells]:
    """A category's cells with a rest, others as ranges; the last cell, absence, joins no range."""
    if variable.block.kind == "category":
        return merged_rest(counts, deviation)
    absent: Cells = (len(counts) - 1,)
    alone = [absent] if _passes(counts, absent, deviation) else []
    return [*merged_ranges(counts[:-1], deviation), *alone]


def _passes(counts: Float, cells: Cells, deviation: float) -> bool:
    return float(counts[list(cells)].sum()) >= threshold(deviation * float(np.sqrt(len(cells))))


def _groups(group: Sequence[int], every: Sequence[Variable], v: int) -> tuple[int, ...]:
    """Coarse bin of each of a variable's bins, from 0."""
    start = int(starts_of(tuple(variable.bins for variable in every))[v])
    own = group[start : start + every[v].bins]
    return tuple(g - own[0] for g in own)


class _Words:
    """What cells of a variable are called; ``groups`` maps its bins to cells."""

    def __init__(self, spec: LoopSpec, variable: Variable, groups: tuple[int, ...]) -> None:
        field = spec.field(variable.block.field)
        self.name = trait_name(field, variable)
        self._category = variable.block.kind == "category"
        self._values = bin_values(field, variable)
        self._groups = groups

    def say(self, cells: Cells) -> str:
        """The cells together."""
        if self._category and len(cells) > 1:
            return OTHERS
        values = [
            value for value, group in zip(self._values, self._groups, strict=True) if group in cells
        ]
        if values == [None]:
            return ABSENT
        if self._category:
            return str(values[0])
        ranges = [cast("list[float]", value) for value in values if value is not None]
        return f"{ranges[0][0]:g} to {ranges[-1][1]:g}"
