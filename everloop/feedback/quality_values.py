"""Evidence from what was said: a single value counts only together with speed or a timer's rhythm.

Somebody who always gives five stars is a person with a habit; somebody who gives five stars every
second is not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from everloop.contracts.feedback import FeedbackType
from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_pace import hurry
from everloop.feedback.quality_records import said
from everloop.feedback.quality_rhythm import steadiness
from everloop.feedback.quality_timeline import Event, Gesture

_JUDGEMENTS = frozenset(
    {
        FeedbackType.RATING,
        FeedbackType.THUMB,
        FeedbackType.COMPARISON,
        FeedbackType.CATEGORICAL_CHOICE,
        FeedbackType.TRUST_SURVEY,
    }
)
_SINGLE = frozenset({FeedbackType.RATING, FeedbackType.THUMB, FeedbackType.COMPARISON})
"""Types of which one output gets one, apart from a change of mind."""
_HABIT = 4
_CYCLE_COST = 5.5
_LONGEST_CYCLE = 6
_SIDE_BY_SIDE = 5.0
"""As many outputs may lie open at once."""


def values(events: Sequence[Event], acts: Sequence[Gesture]) -> Iterator[Evidence]:
    """Every piece of evidence that values give."""
    yield from _repeated(events, acts)
    yield from _cycle(events)
    yield from _contradictions(events)
    yield from _clamped(events)
    yield from _dwell(events)


def _repeated(events: Sequence[Event], acts: Sequence[Gesture]) -> Iterator[Evidence]:
    newest = events[-1].given
    about = (newest.feedback_type, said(newest.value))
    run = 0
    for event in reversed(events):
        given = event.given
        if (given.feedback_type, said(given.value)) != about:
            break
        run += 1
    machine = max(hurry(acts), steadiness(acts))
    weight = min(1.5, 0.2 * (run - _HABIT)) * machine
    if run > _HABIT and weight > 0.05 and newest.feedback_type in _JUDGEMENTS:
        seen = f"{run} times {about[1]} in a row, at speed or like clockwork"
        yield Evidence(Family.VALUES, "repeated_value", weight, seen[:120])


def _cycle(events: Sequence[Event]) -> Iterator[Evidence]:
    """Values that repeat with a period: each match costs a person's chance of it, at least one half."""
    newest = events[-1].given.feedback_type
    given = [said(e.given.value) for e in events if e.given.feedback_type is newest]
    if newest not in _JUDGEMENTS or len(given) < 8:
        return
    best, at = 0.0, 0
    for period in range(2, _LONGEST_CYCLE + 1):
        matches = 0
        while matches < len(given) - period and given[-1 - matches] == given[-1 - matches - period]:
            matches += 1
        tail = Counter(given[len(given) - matches - period :])
        n = matches + period
        if len(tail) < 2:
            continue
        alike = max(0.5, sum((count / n) ** 2 for count in tail.values()))
        weight = matches * math.log(1 / alike) - _CYCLE_COST
        if weight > best:
            best, at = weight, period
    if best > 0:
        seen = f"values repeat every {at}"
        yield Evidence(Family.VALUES, "cycling_values", min(best, 4.5), seen)


def _contradictions(events: Sequence[Event]) -> Iterator[Evidence]:
    judged: dict[tuple[str, ...], int] = defaultdict(int)
    for event in events:
        given = event.given
        if given.feedback_type in _SINGLE and given.log_id is not None:
            key = (given.log_id, given.feedback_type, given.target_element, said(given.target))
            judged[key] += 1
    extra = sum(max(0, count - 2) for count in judged.values())
    if extra:
        seen = f"one output judged up to {max(judged.values())} times"
        yield Evidence(Family.VALUES, "judged_again", min(0.7 * extra, 4.5), seen)


def _clamped(events: Sequence[Event]) -> Iterator[Evidence]:
    outside = sum(event.given.clamped for event in events)
    if outside:
        seen = f"{outside} values outside what can be chosen"
        yield Evidence(Family.VALUES, "out_of_range", min(0.8 * outside, 2.5), seen)


def _dwell(events: Sequence[Event]) -> Iterator[Evidence]:
    impossible = []
    unshown = 0.0
    for event in events:
        seconds = event.given.value
        if event.given.feedback_type is not FeedbackType.DWELL:
            continue
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            continue
        if event.delay is None:
            unshown += float(seconds) if event is not events[0] else 0.0
        elif seconds > 1.5 * max(event.delay, 0.0) + 5.0:
            impossible.append((float(seconds), event.delay))
    if impossible:
        seconds, elapsed = impossible[-1]
        seen = f"{seconds:.3g} s of dwelling within {max(elapsed, 0.0):.3g} s"
        weight = min(2.5 * len(impossible), 6.0)
        several = len(impossible) > 1
        yield Evidence(Family.VALUES, "dwell_longer_than_elapsed", weight, seen, several)
    elapsed = events[-1].at
    if unshown > _SIDE_BY_SIDE * elapsed + 600.0:
        seen = f"{unshown:.3g} s of dwelling within {elapsed:.3g} s"
        yield Evidence(Family.VALUES, "dwell_longer_than_elapsed", 4.5, seen)
