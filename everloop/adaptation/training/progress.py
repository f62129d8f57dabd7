"""How a training tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

from everloop.contracts.voices import StepLog

Progress = Callable[[StepLog, int], None]
"""Called after each optimiser step with what was measured and how many steps the phase has."""


def silent(_log: StepLog, _steps: int) -> None:
    """Shows nobody anything."""
