"""Evidence from clocks that disagree.

A wrong clock is wrong by the same amount all the time, and nobody is blamed for it. A forged time runs
ahead of the arrivals, or jumps back and forth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_timeline import Event

BEFORE_SHOWN_S = 2.0
"""Clocks of one product agree to this."""
IMPOSSIBLE_S = 86_400.0
"""No clock of a time zone is as wrong: earlier claims are made up."""
_JUMP_S = 5.0
_STALL_S = 120.0
"""A bad network overtakes itself by so much."""
_DISORDER = 3
"""Turns that retries explain."""


def clock(events: Sequence[Event]) -> Iterator[Evidence]:
    """Every piece of evidence that the client's clock gives."""
    resolution = _resolution(events)
    tolerance = _JUMP_S + resolution
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
    yield from _before_shown(events, live, resolution)
    turns = _turns(events)
    if turns > _DISORDER:
        seen = f"claimed times of one delivery turn {turns} times"
        weight = min(0.6 * (turns - _DISORDER), 4.5)
        yield Evidence(Family.CLOCK, "claimed_disorder", weight, seen)


def _before_shown(
    events: Sequence[Event], live: Sequence[Event], resolution: float
) -> Iterator[Evidence]:
    """Claims from before the output was shown, though they arrived after it.

    A clock that is slow shows the same offset at another live arrival, and explains its claims. A claim
    more than a day early is never explained.
    """
    early = [
        (event, lead)
        for event in events
        if (lead := _lead(event)) > BEFORE_SHOWN_S + resolution
        and not (event.delivered and lead <= IMPOSSIBLE_S)
        and not (lead <= IMPOSSIBLE_S and _is_offset(event, live, _JUMP_S + resolution))
    ]
    if not early:
        return
    longest = max(lead for _, lead in early)
    weight = min(1.5 + 1.0 * (len(early) - 1), 6.0)
    if longest > IMPOSSIBLE_S:
        weight = 6.0
    if early[-1][0] is events[-1]:
        seen = f"claims to be {early[-1][1]:.3g} s older than its output"
    else:
        seen = (
            f"{len(early)} earlier ones claim to be up to {longest:.3g} s older than their output"
        )
    yield Evidence(Family.CLOCK, "claimed_before_shown", weight, seen, of_session=len(early) > 1)


def _lead(event: Event) -> float:
    """Seconds by which the claimed time lies before the output, 0 when it does not or is unknown."""
    given = event.given
    if given.shown_at is None or given.claimed_at is None:
        return 0.0
    return max(0.0, (given.shown_at - given.claimed_at).total_seconds())


def _is_offset(event: Event, live: Sequence[Event], tolerance: float) -> bool:
    """Whether another live arrival shows a clock that is wrong by as much."""
    own = event.ahead
    return own is not None and any(
        other is not event and other.ahead is not None and abs(other.ahead - own) <= tolerance
        for other in live
    )


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
