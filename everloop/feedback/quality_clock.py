"""Evidence from clocks that disagree.

A wrong clock is wrong by the same amount all the time, and nobody is blamed for it. A forged time runs
ahead of the arrivals, or jumps back and forth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_timeline import Event

_JUMP_S = 5.0


def clock(events: Sequence[Event]) -> Iterator[Evidence]:
    """Every piece of evidence that the client's clock gives."""
    live = [event for event in events if not event.delivered and event.ahead is not None]
    furthest, jumps, back = None, 0, 0
    for event in live:
        ahead = event.ahead or 0.0
        if furthest is not None and ahead > max(furthest, 0.0) + _JUMP_S:
            jumps += 1
        furthest = ahead if furthest is None else max(furthest, ahead)
    for before, now in pairwise(live):
        lost = (before.ahead or 0.0) - (now.ahead or 0.0)
        back += lost > _JUMP_S + (now.arrival - before.arrival)
    if jumps:
        seen = f"{jumps} claimed times ran ahead of their arrival"
        yield Evidence(Family.CLOCK, "claimed_ahead", min(1.2 * jumps, 5.0), seen)
    if back >= 2:
        seen = f"claimed times went back {back} times"
        yield Evidence(Family.CLOCK, "claimed_back", min(0.8 * (back - 1), 4.0), seen)
