"""What a stage used, and where a size's figures are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT = "stages.json"


@dataclass(frozen=True, slots=True)
class StageUse:
    """What a stage's process tree used: wall seconds, user and system CPU seconds, MiB at its peak."""

    stage: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    summary: str


def kept(folder: Path) -> dict[str, StageUse]:
    """Stage -> what it was measured with; empty where nothing was."""
    file = folder / KEPT
    found = json.loads(file.read_text()) if file.exists() else []
    return {one["stage"]: StageUse(**one) for one in found}


Sizes = Mapping[int, Sequence[StageUse]]
"""Episodes -> the stages in the order in which the graph names them."""


def stages_in(of: Sizes) -> list[str]:
    """Every stage that ran at some size, in the graph's order."""
    longest = max(of.values(), key=len, default=())
    names = [use.stage for use in longest]
    others = [use.stage for uses in of.values() for use in uses]
    return list(dict.fromkeys([*names, *others]))
