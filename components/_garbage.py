"""When a step's process looks for reference cycles: rarely while it imports, and never as it ends.

A process that imports torch, Ray and Great Expectations makes a million objects that live as long as it
does. Looking through them again and again cost a third of its start, and once more as it ended: 10 CPU s
in all, against 6 without.
"""

from __future__ import annotations

import atexit
import gc

_IMPORTING = (50_000, 20, 50)
_WORKING = gc.get_threshold()


def importing() -> None:
    """Collect rarely until ``working``; at exit, leave everything to the operating system."""
    gc.set_threshold(*_IMPORTING)
    atexit.register(gc.freeze)


def working() -> None:
    """Collect as usual, among what is made from here on."""
    gc.freeze()
    gc.set_threshold(*_WORKING)
