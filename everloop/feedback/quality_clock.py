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
_STALL_S = 120.0
"""A bad network overtakes itself by so much."""
_DISORDER = 3
"""Turns that retries explain."""


def clock(events: Sequence[Event]) -> Iterator[Evidence]:
    """Every piece of evidence that the client's clock gives."""
    tolerance = _JUMP_S + _resolution(events)
    live = [event for event in events if not event.delivered and event.ahead is not None]
    furthest, jumps, back = None, 0, 0
    for event in live:
        ahead = event.ahead or 0.0
        if furthest is not None and ahead > max(furthest, 0.0) + tolerance:
            jumps += 1
        furthest = ahead if furthest is None else max(furthest, ahead)
    for before, now in pairwise(live):
        if before.given.claimed_at and now.given.claimed_at:
            passed = (now.given.claimed_at - before.given.claimed_at).total_seconds()
            back += passed < -(tolerance + _STALL_S)
    if jumps:
        seen = f"{jumps} claimed times ran ahead of their arrival"
        yield Evidence(Family.CLOCK, "claimed_ahead", min(1.2 * jumps, 5.0), seen)
    if back >= 2:
        seen = f"claimed times went back {back} times"
        yield Evidence(Family.CLOCK, "claimed_back", min(0.8 * (back - 1), 4.0), seen)
    turns = _turns(events)
    if turns > _DISORDER:
        seen = f"claimed times of one delivery turn {turns} times"
        weight = min(0.6 * (turns - _DISORDER), 4.5)
        yield Evidence(Family.CLOCK, "claimed_disorder", weight, seen)


def _resolution(events: Sequence[Event]) -> float:
    """Seconds to which the client cuts its times: some tell no more than the minute."""
    claimed = [e.given.claimed_at for e in events if e.given.claimed_at is not None]
    return 60.0 if all(each.second == each.microsecond == 0 for each in claimed) else 1.0


def _turns(events: Sequence[Event]) -> int:
    """Changes of direction: a delivery is sent from the oldest, or from the newest."""
    ways = [
        (now.given.claimed_at - before.given.claimed_at).total_seconds()
        for before, now in pairwise(events)
        if now.delivered and before.given.claimed_at and now.given.claimed_at
    ]
    ways = [way for way in ways if abs(way) > _JUMP_S]
    return sum((a > 0) != (b > 0) for a, b in pairwise(ways))
