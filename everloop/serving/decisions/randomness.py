"""Random numbers of the operating system, fetched by the thousand.

Each fetch lets other threads run first, which costs a decision far more than the numbers do.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np

_FETCHED = 1024


class Uniform(Protocol):
    """A source of uniform numbers; must be safe to use from several threads."""

    def random(self) -> float:
        """A number in [0, 1)."""


class OperatingSystem:
    """The kernel's random numbers: no answer tells what the next one draws. Thread- and fork-safe."""

    def __init__(self) -> None:
        self._ready: list[float] = []
        os.register_at_fork(after_in_child=self._ready.clear)  # a child draws its own

    def random(self) -> float:
        """See ``Uniform``; multiples of 2^-53."""
        while True:
            try:
                return self._ready.pop()  # one step: two threads never get the same number
            except IndexError:
                self._ready.extend(_fetched())


def _fetched() -> list[float]:
    words = np.frombuffer(os.urandom(8 * _FETCHED), dtype=np.uint64)
    numbers: list[float] = ((words >> np.uint64(11)) * 2.0**-53).tolist()
    return numbers
