"""Ids of events: UUIDs in order of time, version 7 of RFC 9562.

Neighbours in time are neighbours in an index, so that storing a row touches the page that the row before
it touched. Random ids touch another page each.
"""

from __future__ import annotations

import random
import threading
import time
import uuid

_RANDOM_BITS = 62
_COUNTER_BITS = 12

_lock = threading.Lock()
_last = 0
"""Milliseconds and counter of the last id, as one number."""


def event_id() -> str:
    """A new UUID; later ones of a process are larger, also when its clock steps back."""
    global _last  # noqa: PLW0603
    milliseconds = time.time_ns() // 1_000_000
    with _lock:
        _last = max(_last + 1, milliseconds << _COUNTER_BITS)
        number = _last
    counter = number & ((1 << _COUNTER_BITS) - 1)
    value = (
        (number >> _COUNTER_BITS) << 80
        | 0x7 << 76
        | counter << 64
        | 0b10 << 62
        | random.getrandbits(_RANDOM_BITS)
    )
    return str(uuid.UUID(int=value))
