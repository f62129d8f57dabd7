"""When a session's feedback was really given, and which pieces were one gesture.

Arrival times are ours and decide. A client that was offline delivers in one go what was given earlier:
there, and only there, its own times decide. Such a delivery is recognised by arrivals less than
``DELIVERY_GAP_S`` apart whose claimed times lie before the delivery began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from everloop.contracts.errors import ShouldFixFeedback
from everloop.contracts.feedback import FeedbackType
from everloop.feedback.quality_records import MEASURED_TYPES, Incoming, Sent, said

DELIVERY_GAP_S = 2.0
CLOCK_SLACK_S = 5.0
"""How far a client's clock may run ahead of ours, beyond what the session showed before."""
_BEACON_PARTS = 12
GESTURE_S = 3.0
"""Parts of one form arrive together: a rating, a category and a text on the same output."""


@dataclass(frozen=True, slots=True)
class Event:
    """One feedback in time.

    Attributes:
        given: the feedback.
        arrival: seconds since the first arrival.
        at: seconds since the first feedback, by the clock that decides.
        delivered: whether it came in a delivery of earlier feedback.
    """

    given: Incoming
    arrival: float
    at: float
    delivered: bool

    @property
    def delay(self) -> float | None:
        """Seconds from the output to the feedback, the longest that either clock allows.

        A product whose clock runs ahead of ours shows outputs in our future; where both times are the
        client's, their difference is right.
        """
        given = self.given
        if given.shown_at is None:
            return None
        claimed = _seconds(given.shown_at, given.claimed_at)
        arrived = _seconds(given.shown_at, given.received_at)
        if self.delivered and claimed is not None:
            return claimed
        known = [each for each in (claimed, arrived) if each is not None]
        return max(known) if known else None

    @property
    def ahead(self) -> float | None:
        """Seconds by which the claimed time lies after the arrival."""
        return _seconds(self.given.received_at, self.given.claimed_at)


@dataclass(frozen=True, slots=True)
class Gesture:
    """One act of a person: its first event and how many feedbacks came of it."""

    event: Event
    parts: int


def timeline(incoming: Incoming, history: Sequence[Sent]) -> tuple[Event, ...]:
    """Events, oldest first; ``incoming`` is the last. ``history`` is newest first."""
    given: list[Incoming] = [*reversed(history), incoming]
    arrivals = [_arrival(each) for each in given]
    events: list[Event] = []
    begun = arrivals[0]
    furthest = max(0.0, _seconds(begun, given[0].claimed_at) or 0.0)
    slack = CLOCK_SLACK_S + furthest
    for index, (each, arrival) in enumerate(zip(given, arrivals, strict=True)):
        if index == 0:
            events.append(Event(each, 0.0, 0.0, delivered=False))
            continue
        gap = max(0.0, (arrival - arrivals[index - 1]).total_seconds())
        if gap >= DELIVERY_GAP_S:
            begun = arrival
            slack = CLOCK_SLACK_S + furthest
        before = events[-1]
        claimed = _seconds(given[index - 1].claimed_at, each.claimed_at)
        delivered = (
            gap < DELIVERY_GAP_S
            and claimed is not None
            and abs(claimed) > gap
            and (_seconds(begun, each.claimed_at) or 0.0) <= slack
        )
        step = abs(claimed) if delivered and claimed is not None else gap
        since = (arrival - arrivals[0]).total_seconds()
        event = Event(each, since, before.at + step, delivered)
        furthest = max(furthest, event.ahead or 0.0)
        events.append(event)
    return tuple(events)


def gestures(events: Sequence[Event]) -> tuple[Gesture, ...]:
    """Group events: parts of one form, and what code measures of one output, are one gesture."""
    found: list[tuple[Event, int]] = []
    told: set[tuple[str, ...]] = set()
    for event in events:
        given = event.given
        part = _part(given)
        if found and given.log_id is not None and found[-1][0].given.log_id == given.log_id:
            first, parts = found[-1]
            together = event.at - first.at < GESTURE_S and part not in told
            if together or given.feedback_type in MEASURED_TYPES:
                found[-1] = (first, parts + 1)
                told.add(part)
                continue
        if found and _beacon(found[-1], event, part in told):
            found[-1] = (found[-1][0], found[-1][1] + 1)
            told.add(part)
            continue
        found.append((event, 1))
        told = {part}
    return tuple(Gesture(event, parts) for event, parts in found)


def gaps(acts: Sequence[Gesture]) -> tuple[float, ...]:
    """Seconds between gestures, >= 0, oldest first."""
    return tuple(max(0.0, b.event.at - a.event.at) for a, b in pairwise(acts))


def _beacon(last: tuple[Event, int], event: Event, repeated: bool) -> bool:
    """What a page measured of all its outputs is sent when it closes."""
    first, parts = last
    kinds = {first.given.feedback_type, event.given.feedback_type}
    soon = event.at - first.at < 1.0
    return soon and not repeated and parts < _BEACON_PARTS and kinds <= MEASURED_TYPES


def _part(given: Incoming) -> tuple[str, ...]:
    chosen = given.feedback_type is FeedbackType.CATEGORICAL_CHOICE
    return (
        given.log_id or "",
        given.feedback_type,
        given.target_element,
        said(given.target),
        said(given.value) if chosen else "",
    )


def _arrival(given: Incoming) -> datetime:
    moment = given.received_at or given.claimed_at
    if moment is None:
        raise ShouldFixFeedback("An earlier feedback has no time at all.", "Give received_at.")
    return moment


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()
