"""Decisions of this process that were answered and aren't known to be stored yet, by person.

A limit per person must count them: two questions that come at once find neither in the database. So a
question takes its place here *before* it asks the database, and sees whoever took one earlier. Until its
action is drawn it counts against every limit; after that, as the action; and it leaves when the database
has it, or refused it. Of two questions at once, one therefore always sees the other, and nobody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rl.constraints.limits import UNDECIDED

KEPT_S = 600.0
"""A decision whose storing nobody waited for stays so long: by then the database has it or never will."""
_SWEPT_EVERY = 4096

Person = tuple[str, str, str]
"""Tenant, loop and pseudonym."""


@dataclass(slots=True, eq=False)
class Pending:
    """One decision; ``at`` in microseconds UTC, ``action`` an index or ``UNDECIDED``."""

    person: Person
    decision_id: str
    at: int
    until: float
    action: int = UNDECIDED


class PendingDecisions:
    """Thread-safe.

    Args:
        monotonic: seconds that never step back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._people: dict[Person, list[Pending]] = {}
        self._taken = 0

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._people.values()))

    def take(
        self, asked: Sequence[tuple[Person, str]], at: int
    ) -> tuple[list[Pending], list[tuple[tuple[str, int, int], ...]]]:
        """Take a place for each (person, decision id), in order.

        Returns:
            The places; and for each the (decision id, time, action) of whoever took one before it.
        """
        until = self._now() + KEPT_S
        own: list[Pending] = []
        before: list[tuple[tuple[str, int, int], ...]] = []
        with self._lock:
            self._sweep(len(asked))
            for person, decision_id in asked:
                queue = self._people.setdefault(person, [])
                before.append(tuple((p.decision_id, p.at, p.action) for p in queue))
                place = Pending(person, decision_id, at, until)
                queue.append(place)
                own.append(place)
        return own, before

    def leave(self, places: Iterable[Pending]) -> None:
        """Give up places."""
        with self._lock:
            for place in places:
                self._remove(place)

    def settle(self, person: Person, decision_id: str, at: int, action: int) -> None:
        """The database has this decision, or refused it."""
        with self._lock:
            for place in self._people.get(person, ()):
                if (place.decision_id, place.at, place.action) == (decision_id, at, action):
                    self._remove(place)
                    return

    def _remove(self, place: Pending) -> None:
        queue = self._people.get(place.person, [])
        left = [other for other in queue if other is not place]
        if left:
            self._people[place.person] = left
        else:
            self._people.pop(place.person, None)

    def _sweep(self, more: int) -> None:
        self._taken += more
        if self._taken < _SWEPT_EVERY:
            return
        self._taken, now = 0, self._now()
        for person, queue in list(self._people.items()):
            left = [place for place in queue if place.until > now]
            if left:
                self._people[person] = left
            else:
                del self._people[person]
