"""A training's progress as TensorBoard events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from everloop.contracts.figures import TrainingPoint

_ALWAYS = ("iteration", "steps")


class EventLog:
    """Writes each iteration's figures under ``training/<name>``, by environment steps.

    Args:
        folder: of the event files; made if it is missing. Events of an earlier run stay in it.
        curve: iterations that an earlier run finished: events behind them are void.
    """

    def __init__(self, folder: Path, curve: Sequence[TrainingPoint] = ()) -> None:
        # takes half a second, which importing the trainer need not cost
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]  # noqa: PLC0415

        self._folder = folder
        purge = curve[-1].steps + 1 if curve else 0
        self._writer = SummaryWriter(str(folder), purge_step=purge)

    def add(self, point: TrainingPoint) -> None:
        """One iteration's figures, on disk before this returns; those that are not finite are left out."""
        figures = {k: v for k, v in asdict(point).items() if k not in _ALWAYS}
        for name, value in figures.items():
            if math.isfinite(value):  # the writer warns of others on standard error
                self._writer.add_scalar(f"training/{name}", value, point.steps)
        self._writer.flush()

    def close(self) -> None:
        """No more events."""
        self._writer.close()
