"""How costs grow with the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.scale.stages import Sizes, StageUse

Quantity = Literal["wall_s", "cpu_s", "peak_mb"]


@dataclass(frozen=True, slots=True)
class Growth:
    """How a stage's figure grew between two sizes: as the log to the power of ``exponent``.

    1 is as the log, 0 is not at all. What a stage costs at any size, such as its imports, keeps the
    exponent of small logs low; the one between the two largest sizes says most of larger ones.
    """

    stage: str
    smaller: int
    larger: int
    exponent: float


def exponent(sizes: tuple[int, int], costs: tuple[float, float]) -> float:
    """log(c2 / c1) / log(n2 / n1); ``ValueError`` unless sizes differ and all are above 0."""
    if min(*sizes, *costs) <= 0 or sizes[0] == sizes[1]:
        raise ValueError(f"No growth from {costs[0]} at {sizes[0]} to {costs[1]} at {sizes[1]}.")
    return math.log(costs[1] / costs[0]) / math.log(sizes[1] / sizes[0])


def growths(of: Sizes, quantity: Quantity) -> list[Growth]:
    """Of every stage that ran at both of the two largest sizes, fastest first; empty for one size."""
    if len(of) < 2:
        return []
    smaller, larger = sorted(of)[-2:]
    before = {use.stage: float(getattr(use, quantity)) for use in of[smaller]}
    found = [
        Growth(
            use.stage,
            smaller,
            larger,
            exponent((smaller, larger), (before[use.stage], float(getattr(use, quantity)))),
        )
        for use in of[larger]
        if use.stage in before
    ]
    return sorted(found, key=lambda growth: -growth.exponent)


def micros_each(size: int, stages: Sequence[StageUse], quantity: Quantity = "cpu_s") -> float:
    """Microseconds that a night's stages cost for each episode."""
    return sum(float(getattr(use, quantity)) for use in stages) / size * 1e6
