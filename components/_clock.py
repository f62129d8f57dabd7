"""When a step's own work began."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Counts a step's seconds from the moment its process imported the steps.

    kfp imports our artifact types just before it calls a body, so what a body imports (torch, ray)
    counts as the step's own time and kfp's own start does not.
    """

    started: float

    def lap(self) -> float:
        """Seconds since the last lap; the next one starts now."""
        now = time.perf_counter()
        seconds, self.started = now - self.started, now
        return seconds


CLOCK = Clock(time.perf_counter())
