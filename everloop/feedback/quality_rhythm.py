"""Evidence from rhythm: people hesitate and pause, timers do not.

For n positive times whose logarithms have standard deviation s, the log-likelihood ratio between a
normal law of that spread and one of at least ``HUMAN_SPREAD`` is
``n * (ln(h / s) - (1 - s²/h²) / 2)`` for s < h = HUMAN_SPREAD, else 0. It is taken of gaps, of their
changes (a timer that speeds up steadily), of answer times, and of what is left of answer times after
a constant per character (a script that pretends to read).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import NormalDist, fmean, median

from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_records import MEASURED_TYPES
from everloop.feedback.quality_timeline import Event, Gesture, gaps

HUMAN_SPREAD = 0.35
LEAST = 5
"""Times from which a rhythm can be told."""
_READER_SPREAD = 0.12
"""What is left of an attentive reader's answer times, as a share of their mean."""
_COST = 4.5
"""Taken off for looking again with every feedback, at several windows."""
_WINDOWS = (LEAST, 8, 12, 20, 49)
_SAME_MOMENT_S = 0.02
_REFLEX_S = 0.3
_THOUGHT_S = 0.35
"""Even who has texts read aloud at one speed thinks afterwards, by more than this."""
_FIRST_S = 600.0
"""The first answer of a session counts when it came within this time."""
_WHOLE_SECONDS_S = 0.41
"""Standard deviation of the difference of two moments that were cut to whole seconds."""
_PAUSE_SPREAD = 0.36
_PERIODS = (2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
_SAME_S = 0.04


def rhythm(events: Sequence[Event], acts: Sequence[Gesture]) -> Iterator[Evidence]:
    """Every piece of evidence that rhythm gives."""
    between = _steps(gaps(acts))
    series = (between, _steps(_claimed_gaps(acts)))
    views = (_metronome(series, between), _drift(series), _constant_answers(events))
    # They look at the same times: only the clearest view counts.
    yield from sorted((v for v in views if v is not None), key=lambda v: -v.weight)[:1]
    yield from _scripted_reading(events)
    yield from _no_pause(between)
    yield from _clockwork(acts)
    yield from _replayed(series)
    yield from _sleepless(acts)


def steadiness(acts: Sequence[Gesture]) -> float:
    """How regular the gaps are: 0 as a person's, 1 as a timer's."""
    weight, _ = _regular(_steps(gaps(acts)))
    return min(1.0, weight / 4.0)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation of at least two values."""
    mean = fmean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def spread_evidence(spread: float, n: int, human: float = HUMAN_SPREAD) -> float:
    """The log-likelihood ratio of the module's formula, before costs."""
    s = max(spread, 0.01)
    if s >= human:
        return 0.0
    return n * (math.log(human / s) - (1 - (s / human) ** 2) / 2)


def _steps(times: Sequence[float]) -> list[float]:
    return [each for each in times if each > _SAME_MOMENT_S]


def _claimed_gaps(acts: Sequence[Gesture]) -> list[float]:
    """Gaps by the client's clock: a script's timer shows there without the network's jitter."""
    claimed = [(a.event.given.claimed_at, b.event.given.claimed_at) for a, b in pairwise(acts)]
    told = [(b - a).total_seconds() for a, b in claimed if a is not None and b is not None]
    # A client that tells whole seconds or minutes has no rhythm of its own.
    return [] if _whole(told) else told


def _regular(times: Sequence[float]) -> tuple[float, float]:
    return _best(times, deviation)


def _drifting(times: Sequence[float]) -> tuple[float, float]:
    def around_trend(logs: Sequence[float]) -> float:
        changes = [b - a for a, b in pairwise(logs)]
        return deviation(changes) / math.sqrt(2.0)

    return _best(times, around_trend, least=8)


def _best(
    times: Sequence[float], spread_of: Callable[[Sequence[float]], float], least: int = LEAST
) -> tuple[float, float]:
    """Largest evidence over windows that end now, one stray time in eight left out."""
    best, at = 0.0, 0.0
    coarse = _whole(times)
    for size in _WINDOWS:
        if size < least or (size > len(times) and size != _WINDOWS[-1]):
            continue
        window = list(times[-size:])
        if len(window) < least:
            continue
        logs = [math.log(max(each, 1e-3)) for each in window]
        blur = _WHOLE_SECONDS_S / median(window) if coarse else 0.0
        spread = math.hypot(spread_of(logs), blur)
        weight = spread_evidence(spread, len(logs) - 1)
        if weight > best:
            best, at = weight, spread
        kept = _without_strays(logs)
        if least <= len(kept) < len(logs):
            spread = math.hypot(spread_of(kept), blur)
            # Each time left out could have been any: it is paid for.
            weight = spread_evidence(spread, len(kept) - 1) - 1.5 * (len(logs) - len(kept))
            if weight > best:
                best, at = weight, spread
    return min(max(0.0, best - _COST), 6.0), at


def _whole(times: Sequence[float]) -> bool:
    return all(each == round(each) for each in times)


def _without_strays(logs: Sequence[float]) -> list[float]:
    middle = median(logs)
    strays = sorted(logs, key=lambda each: abs(each - middle))[len(logs) - len(logs) // 8 :]
    kept = list(logs)
    for stray in strays:
        kept.remove(stray)
    return kept


def _metronome(series: Sequence[Sequence[float]], between: Sequence[float]) -> Evidence | None:
    weight, spread = max(_regular(each) for each in series)
    if not weight:
        return None
    seen = f"gaps of {median(between[-12:] or series[1]):.3g} s vary by {spread:.0%}"
    return Evidence(Family.RHYTHM, "metronome", weight, seen)


def _drift(series: Sequence[Sequence[float]]) -> Evidence | None:
    weight, spread = max(_drifting(each) for each in series)
    if not weight:
        return None
    seen = f"gaps change evenly, by {spread:.0%} around their trend"
    return Evidence(Family.RHYTHM, "even_drift", weight, seen)


def _fresh(events: Sequence[Event]) -> list[tuple[float, float]]:
    """(answer time, characters) where the output came after the feedback before it."""
    found: list[tuple[float, float]] = []
    for index, event in enumerate(events):
        delay = event.delay
        since = event.at - events[index - 1].at + 1.0 if index else _FIRST_S
        judged = event.given.feedback_type not in MEASURED_TYPES
        if judged and delay is not None and 0.05 < delay <= since:
            found.append((delay, float(event.given.output_chars or 0)))
    return found


def _constant_answers(events: Sequence[Event]) -> Evidence | None:
    delays = [delay for delay, _ in _fresh(events)]
    # Seeing and tapping take everybody alike; what is left is the person's own.
    weight, spread = _regular([max(delay - _REFLEX_S, 0.03) for delay in delays])
    if not weight:
        return None
    seen = f"answers {median(delays):.3g} s after each output, varying by {spread:.0%}"
    return Evidence(Family.RHYTHM, "constant_answer_time", weight, seen)


def _scripted_reading(events: Sequence[Event]) -> Iterator[Evidence]:
    fresh = _fresh(events)
    if len(fresh) < 2 * LEAST:
        return
    delays, lengths = [delay for delay, _ in fresh], [chars for _, chars in fresh]
    if not deviation(lengths) > 0.1 * fmean(lengths) > 0:
        return
    slope, constant = _line(lengths, delays)
    left = [d - (slope * c + constant) for d, c in zip(delays, lengths, strict=True)]
    spread = deviation(left) / fmean(delays)
    weight = spread_evidence(spread, len(left) - 3, _READER_SPREAD) - _COST
    if slope > 0 and weight > 0 and deviation(left) < _THOUGHT_S:
        seen = f"answer times follow the text's length to {spread:.0%}"
        yield Evidence(Family.RHYTHM, "scripted_reading", min(weight, 6.0), seen)


def _line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Slope and constant of the least squares line; the xs differ."""
    x, y = fmean(xs), fmean(ys)
    slope = math.fsum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    slope /= math.fsum((a - x) ** 2 for a in xs)
    return slope, y - slope * x


def _no_pause(times: Sequence[float]) -> Iterator[Evidence]:
    """Uniform jitter has an end; hesitation has none. Slow readers of like texts may look the same."""
    n = len(times)
    if n < 15:
        return
    usual = median(times)
    longest = math.log(max(times) / usual)
    chance = NormalDist(0.0, _PAUSE_SPREAD).cdf(longest)
    most = 3.0 if usual < 4.0 else 1.5
    weight = min(-n * math.log(chance) - 2.5, most)
    if weight > 0:
        seen = f"{n} gaps and none above {math.exp(longest):.2g} times the usual"
        yield Evidence(Family.RHYTHM, "never_pauses", weight, seen)


def _clockwork(acts: Sequence[Gesture]) -> Iterator[Evidence]:
    """Arrivals at the same phase of a round period, by Rayleigh's n R² (exponential by chance)."""
    moments = [a.event.given.received_at for a in acts if not a.event.delivered]
    stamps: list[float] = []
    for moment in moments:
        if moment is not None and (not stamps or moment.timestamp() - stamps[-1] > 1.0):
            stamps.append(moment.timestamp())
    if len(stamps) < 8 or all(stamp == round(stamp) for stamp in stamps):
        return
    best, at = 0.0, 0.0
    for period in _PERIODS:
        if stamps[-1] - stamps[0] < 8 * period:
            continue
        angles = [2 * math.pi * (stamp % period) / period for stamp in stamps]
        cosine, sine = fmean(map(math.cos, angles)), fmean(map(math.sin, angles))
        chance = len(stamps) * (cosine**2 + sine**2)
        if chance > best:
            best, at = chance, period
    weight = min(best - 7.0, 4.5)
    if weight > 0:
        yield Evidence(Family.RHYTHM, "clockwork", weight, f"always at one moment of {at:g} s")


def _replayed(series: Sequence[Sequence[float]]) -> Iterator[Evidence]:
    """Three gaps in a row that came before, each to the same hundredth of itself."""
    matches = max(_recurring(times) for times in series)
    if matches:
        seen = f"{matches} runs of three gaps came before, to the hundredth"
        yield Evidence(Family.RHYTHM, "replayed_rhythm", min(1.7 * matches, 5.0), seen)


def _recurring(times: Sequence[float]) -> int:
    times = [each for each in times if each > _REFLEX_S]
    if len(times) < 8 or _whole(times):
        return 0
    same = min(_SAME_S, 0.01 * median(times))
    if max(times) - min(times) < 20 * same:
        return 0
    triples = list(zip(times, times[1:], times[2:], strict=False))
    return sum(
        any(all(abs(a - b) < same for a, b in zip(new, old, strict=True)) for old in triples[:at])
        for at, new in enumerate(triples)
    )


def _sleepless(acts: Sequence[Gesture]) -> Iterator[Evidence]:
    if len(acts) < 24:
        return
    hours = (acts[-1].event.at - acts[0].event.at) / 3600
    longest = max(gaps(acts)) / 3600
    if hours >= 16 and longest < 2.5:
        weight = min(2.0 + (hours - 16) / 2, 4.5)
        seen = f"{hours:.0f} hours without a break above {longest:.1f}"
        yield Evidence(Family.RHYTHM, "round_the_clock", weight, seen)
