"""Evidence from speed: gestures too close together, answers before anyone could see or read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from everloop.contracts.feedback import FeedbackType
from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_records import MEASURED_TYPES
from everloop.feedback.quality_timeline import Event, Gesture, gaps

_GAP_WEIGHTS = ((0.3, 1.3), (0.6, 0.5), (1.0, 0.2), (2.0, -0.4), (float("inf"), -0.7))
"""Log-odds of one gap by its length: a hurried person (median 1.2 s) drifts down, a machine up."""
_PASSIVE = {
    FeedbackType.CLICK: 0.5,
    FeedbackType.CONVERSION: 0.5,
    FeedbackType.SCROLL: 0.25,
    FeedbackType.DWELL: 0.25,
}
"""How much a gap counts by type: what happens while looking comes faster than a judgement."""

REACTION_S = 0.35
"""Nobody sees, decides and taps in less."""
BEFORE_S = -2.0
"""Clocks of one product agree to this."""
READ_CHARS_S = 200.0
"""No skimmer reads more a second."""
TYPED_CHARS_S = 40.0
"""Dictation and typing stay far below; only pasting is faster."""
_WRITTEN = 20
_PASTED = 60


def pace(events: Sequence[Event], acts: Sequence[Gesture]) -> Iterator[Evidence]:
    """Every piece of evidence that speed gives."""
    between = gaps(acts)
    yield from _rapid(between, acts)
    yield from _volume(between)
    yield from _before_shown(events)
    yield from _reflex(events)
    yield from _unread(events)
    yield from _typed(events)


def hurry(acts: Sequence[Gesture]) -> float:
    """How hurried the newest gestures are: 0 at a median gap of 2 s, 1 at half a second."""
    recent = gaps(acts)[-12:]
    return min(1.0, max(0.0, (2.0 - median(recent)) / 1.5)) if recent else 0.0


def _rapid(between: Sequence[float], acts: Sequence[Gesture]) -> Iterator[Evidence]:
    run = 0.0
    for gap, act in zip(between, acts[1:], strict=True):
        weight = next(w for bound, w in _GAP_WEIGHTS if gap < bound)
        if weight > 0:
            weight *= _PASSIVE.get(act.event.given.feedback_type, 1.0)
        run = max(0.0, run + weight)
    if run > 0.2:
        under = sum(gap < 1.0 for gap in between[-10:])
        seen = f"{under} of the last {min(10, len(between))} gaps under one second"
        yield Evidence(Family.PACE, "rapid_fire", min(run, 6.0), seen)


def _volume(between: Sequence[float]) -> Iterator[Evidence]:
    newest = between[-40:]
    if len(newest) < 25:
        return
    mean = sum(newest) / len(newest)
    weight = 2.0 if mean < 1.0 else 0.8 if mean < 1.4 else 0.0
    if weight:
        seen = f"{len(newest)} gestures, one every {mean:.2g} s, without a pause"
        yield Evidence(Family.PACE, "sustained_volume", weight, seen)


def _before_shown(events: Sequence[Event]) -> Iterator[Evidence]:
    early = [e for e in events if e.delay is not None and e.delay < BEFORE_S]
    if not early:
        return
    live = sum(not event.delivered for event in early)
    if early[-1] is events[-1]:
        seen = f"given {-(events[-1].delay or 0.0):.3g} s before its output was shown"
    else:
        seen = f"{len(early)} earlier ones given before their output was shown"
    weight = min(2.5 * live + min(0.5 * (len(early) - live), 2.0), 6.0)
    yield Evidence(Family.PACE, "before_shown", weight, seen, of_session=len(early) > 1)


def _reflex(events: Sequence[Event]) -> Iterator[Evidence]:
    run = 0.0
    least = REACTION_S
    for event in events:
        delay, kind = event.delay, event.given.feedback_type
        if delay is None or kind in MEASURED_TYPES or delay < BEFORE_S:
            continue
        if delay < REACTION_S:
            least = min(least, delay)
            share = 0.4 if kind in _PASSIVE else 1.0
            run += share * (2.2 if delay < REACTION_S / 3 else 1.6)
        else:
            run = max(0.0, run - 0.4)
    if run > 0:
        seen = f"answers {max(least, 0.0):.2g} s after the output was shown"
        yield Evidence(Family.PACE, "faster_than_reaction", min(run, 6.0), seen)


def _unread(events: Sequence[Event]) -> Iterator[Evidence]:
    run, unread, asked = 0.0, 0, 0
    for event in events:
        delay, chars = event.delay, event.given.output_chars
        if delay is None or not chars or event.given.feedback_type in _PASSIVE:
            continue
        asked += 1
        if BEFORE_S <= delay < chars / READ_CHARS_S:
            unread += 1
            run += 0.35
        else:
            run = max(0.0, run - 0.2)
    if run > 0:
        seen = f"{unread} of {asked} outputs judged faster than they can be read"
        yield Evidence(Family.PACE, "unread", min(run, 1.2), seen)


def _typed(events: Sequence[Event]) -> Iterator[Evidence]:
    weight, fastest, several = 0.0, 0.0, 0
    for event in events:
        text, delay = event.given.text, event.delay
        if delay is None or delay < BEFORE_S or len(text) < _WRITTEN:
            continue
        speed = len(text) / max(delay, 0.05)
        if delay < 1.0:
            more = 3.0
        elif len(text) >= _PASTED and speed > TYPED_CHARS_S:
            more = 0.7
        else:
            weight = max(0.0, weight - 0.3)
            continue
        weight, fastest, several = weight + more, max(fastest, speed), several + 1
    if weight > 0:
        seen = f"text at up to {fastest:.0f} characters a second"
        yield Evidence(Family.TEXT, "faster_than_typing", min(weight, 5.0), seen, several > 1)
