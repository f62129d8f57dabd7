"""What sessions have in common: a fleet of senders, each of which alone looks like a person.

The newest feedback of a tenant is kept in memory, by client: no person is in it, and it is gone with the
process. Many people share a browser, so a client alone is no evidence. Evidence is that the *other*
sessions of the same client answer after the same time, send with one clock's rhythm, or write the same
text as this one. Fleets that differ in all of these are not seen.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from threading import Lock

from everloop.feedback.quality_client import fingerprint
from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_records import MEASURED_TYPES, Incoming
from everloop.feedback.quality_rhythm import deviation, spread_evidence
from everloop.feedback.quality_text import Outline, are_alike, outline_of

WINDOW = 40
"""Feedback of one client that is compared."""
_CLIENTS = 512
_LEAST_SESSIONS = 8
_CROWD_SPREAD = 0.25
"""Answer times of different people vary by several times this."""
_COST = 4.0
_NAMED = 3.0
"""Evidence from which the other sessions are suspect too."""
_LONG_TEXT = 25
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Seen:
    """One feedback of another session."""

    feedback_id: str
    session: str
    received_at: datetime
    delay: float | None
    text: Outline | None


class Crowd:
    """The newest feedback of each client of each tenant, for one process. Thread-safe.

    Memory is bounded: ``clients`` x ``WINDOW`` entries, the least recently used client goes first.
    """

    def __init__(self, clients: int = _CLIENTS) -> None:
        self._clients = clients
        self._seen: OrderedDict[tuple[str, str], deque[Seen]] = OrderedDict()
        self._lock = Lock()

    def observe(self, feedback_id: str, session: str, tenant: str, incoming: Incoming) -> None:
        """Remember a feedback after it was judged; without ``received_at`` it is not kept."""
        if incoming.received_at is None or incoming.feedback_type in MEASURED_TYPES:
            return
        delay = None
        if incoming.shown_at is not None:
            delay = (incoming.received_at - incoming.shown_at).total_seconds()
        text = outline_of(incoming.text) if incoming.text else None
        entry = Seen(feedback_id, session, incoming.received_at, delay, text)
        key = (tenant, fingerprint(incoming.client))
        with self._lock:
            queue = self._seen.setdefault(key, deque(maxlen=WINDOW))
            queue.append(entry)
            self._seen.move_to_end(key)
            while len(self._seen) > self._clients:
                self._seen.popitem(last=False)

    def evidence(
        self, session: str, tenant: str, incoming: Incoming
    ) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
        """What other sessions of the same client add, and the ids of their feedback that it names.

        Quarantine those too when the verdict that holds this evidence is quarantine.
        """
        with self._lock:
            others = [
                seen
                for seen in self._seen.get((tenant, fingerprint(incoming.client)), ())
                if seen.session != session
            ]
        found: list[Evidence] = []
        named: set[str] = set()
        for piece, members in (
            _one_script(others, incoming),
            _one_clock(others, incoming),
            _one_text(others, incoming),
        ):
            if piece is not None:
                found.append(piece)
                if piece.weight >= _NAMED:
                    named.update(members)
        return tuple(found), tuple(seen.feedback_id for seen in others if seen.feedback_id in named)


_Finding = tuple[Evidence | None, Sequence[str]]
_NOTHING: _Finding = (None, ())


def _first_of_sessions(others: Sequence[Seen]) -> list[Seen]:
    """The newest feedback of each other session: sessions vote once."""
    return list({seen.session: seen for seen in others}.values())


def _one_script(others: Sequence[Seen], incoming: Incoming) -> _Finding:
    if incoming.shown_at is None or incoming.received_at is None:
        return _NOTHING
    own = (incoming.received_at - incoming.shown_at).total_seconds()
    voters = [s for s in _first_of_sessions(others) if s.delay is not None and s.delay > 0.05]
    if own <= 0.05 or len(voters) < _LEAST_SESSIONS:
        return _NOTHING
    logs = [math.log(s.delay) for s in voters if s.delay is not None] + [math.log(own)]
    spread = deviation(logs)
    weight = min(spread_evidence(spread, len(logs) - 1, _CROWD_SPREAD) - _COST, 5.0)
    if weight <= 0:
        return _NOTHING
    seen = (
        f"{len(voters)} other sessions of this client answer after the same time, to {spread:.0%}"
    )
    return Evidence(Family.STANDING, "fleet_script", weight, seen), [s.feedback_id for s in voters]


def _one_clock(others: Sequence[Seen], incoming: Incoming) -> _Finding:
    if incoming.received_at is None:
        return _NOTHING
    voters = _first_of_sessions(others)
    moments = sorted(s.received_at for s in voters)
    times = [(b - a).total_seconds() for a, b in pairwise([*moments, incoming.received_at])]
    times = [max(each, 1e-3) for each in times]
    if len(times) < _LEAST_SESSIONS:
        return _NOTHING
    spread = deviation([math.log(each) for each in times])
    weight = min(spread_evidence(spread, len(times) - 1, _CROWD_SPREAD) - _COST, 5.0)
    if weight <= 0:
        return _NOTHING
    seen = f"{len(voters)} other sessions of this client came at even gaps, to {spread:.0%}"
    return Evidence(Family.STANDING, "fleet_clock", weight, seen), [s.feedback_id for s in voters]


def _one_text(others: Sequence[Seen], incoming: Incoming) -> _Finding:
    own = outline_of(incoming.text) if incoming.text else None
    if own is None or own.length < _LONG_TEXT:
        return _NOTHING
    alike = [
        s
        for s in _first_of_sessions(others)
        if s.text is not None and s.text.length >= _LONG_TEXT and are_alike(own, s.text, _ALIKE)
    ]
    if len(alike) < 2:
        return _NOTHING
    weight = min(1.5 * (len(alike) - 1), 5.0)
    seen = f"{len(alike)} other sessions of this client wrote the same text"
    return Evidence(Family.STANDING, "fleet_text", weight, seen), [s.feedback_id for s in alike]
