"""Which signals are sent, and what happens to them on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.catalogue import SIGNALS

PRESENT: Final[Float] = np.array(
    [
        # engagement resonance explicit_feedback
        [0.9, 0.05, 0.05],
        [0.9, 0.75, 0.5],
        [0.9, 0.75, 0.45],
        [0.9, 0.6, 0.45],
        [0.9, 0.6, 0.45],
        [0.9, 0.5, 0.55],
        [0.9, 0.5, 0.55],
        [0.9, 0.5, 0.55],
    ]
)
"""(A, 3) probability that a signal is sent at all."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to signals on their way.

    ``noise``: share of sent signals whose value says nothing. ``late``: share that comes after the
    episode has closed, and so does not count. ``twice``: share of engagement signals that are sent a
    second time, with the same value and a latency of its own.
    """

    noise: float = 0.06
    late: float = 0.04
    twice: float = 0.05

    def __post_init__(self) -> None:
        for name in ("noise", "late", "twice"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ShouldFixArgument(
                    f"Disturbance: {name}={getattr(self, name)} is outside [0, 1).", "Give a share."
                )

    @property
    def in_time(self) -> Float:
        """``in_time_of`` the companion's actions."""
        return self.in_time_of(PRESENT)

    def in_time_of(self, present: Float) -> Float:
        """(A, 3) probability that a signal of each type is present when the episode closes, of what is
        sent at all with probabilities (A, 3)."""
        share = np.full(len(SIGNALS), 1.0 - self.late)
        share[0] += self.late * self.twice * (1.0 - self.late)
        return np.asarray(present * share)
