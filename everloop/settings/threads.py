"""How threads of a numeric library wait for each other."""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says otherwise.

    By default they spin, so that a model with a thread for every core is five to ten times slower as soon
    as anything else wants a core. Read when torch is first imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
