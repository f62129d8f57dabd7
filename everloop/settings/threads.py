"""How threads of a numeric library wait for each other."""

from __future__ import annotations

import os

SPINS = "20000"
"""Some tens of microseconds: longer than the gap between two products of a model, and soon over."""


def wait_briefly() -> None:
    """Let OpenMP's threads sleep after a short wait, unless the environment says otherwise.

    By default they spin for milliseconds, so that a model with a thread for every core is five to ten times
    slower as soon as anything else wants a core; asleep at once they take a third longer. Read when torch
    is first imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
