"""In which order rows are drawn, and which are worth looking at, where there are more than will be learned.

Looking at a row closely (is it too long, private, abusive, in another language, said before) takes a
thousand times as long as drawing it, so what is looked at is drawn first.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import LearningTask, SourceType, TrainingDataInstance

NOT_DRAWN = "not_drawn"
AHEAD = 4
"""Times as many as are wanted that are looked at, at first: some turn out not to be fit."""
_FIRST = (SourceType.FEEDBACK, SourceType.SANDBOX)
Kind = Callable[[TrainingDataInstance], str]
_K = TypeVar("_K", bound=str)
_Place = tuple[int, int, TrainingDataInstance]


class DrawingOrder:
    """Rows in the order in which they are drawn: feedback first, then one of each owner before anybody's
    second, by chance. Holds some 200 bytes a row, and no text."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._owned: dict[tuple[bool, str], list[tuple[bytes, int]]] = defaultdict(list)
        self.rows = 0

    def add(self, number: int, row: TrainingDataInstance) -> None:
        """A row by its number."""
        owner = row.user_id or row.source_ids[0]
        later = row.source_type not in _FIRST
        self._owned[later, owner].append((_chance(self._seed, row), number))
        self.rows += 1

    def first(self, count: int, after: int = 0) -> frozenset[int]:
        """Numbers of ``count`` rows behind the first ``after``."""
        places = sorted(
            (later, turn, chance, number)
            for (later, _), mine in self._owned.items()
            for turn, (chance, number) in enumerate(sorted(mine))
        )
        return frozenset(number for *_, number in places[after : after + count])


class Shortlist:
    """Groups of rows in the order in which they are looked at, ``AHEAD`` times as many as are wanted first.

    Args:
        most: rows of each kind that will be drawn from those that are found fit.
        together: ``most`` is of all kinds, filled in turn.
    """

    def __init__(self, most: int, seed: int, kind: Kind, together: bool = False) -> None:
        self._most, self._kind, self._together = most, kind, together
        self._orders: dict[str, DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
        self._asked: Counter[str] = Counter()
        self._looked_at: set[int] = set()

    def add(self, number: int, group: Sequence[TrainingDataInstance]) -> None:
        """A group by its number, which stands in the order of each kind of row that it has."""
        for kind, row in {self._kind(row): row for row in group}.items():
            self._orders[kind].add(number, row)

    def further(self, found: Mapping[str, int]) -> frozenset[int]:
        """Numbers of the groups to be looked at next, twice as many each time; none when there are enough,
        or no more.

        Args:
            found: kind -> rows that were fit until now.
        """
        rows = {kind: order.rows for kind, order in self._orders.items()}
        wanted = in_turn(rows, self._most) if self._together else dict.fromkeys(rows, self._most)
        fresh: frozenset[int] = frozenset()
        while not fresh:
            short = [
                kind
                for kind, most in wanted.items()
                if found.get(kind, 0) < most and rows[kind] > self._asked[kind]
            ]
            if not short:
                break
            for kind in short:
                asked = self._asked[kind]
                count = max(asked, AHEAD * wanted[kind])
                fresh |= self._orders[kind].first(count, after=asked)
                self._asked[kind] += count
            fresh -= self._looked_at
            self._looked_at |= fresh
        return fresh


def in_turn(rows: Mapping[_K, int], most: int) -> dict[_K, int]:
    """Kind -> how many of its rows, where each kind gives one in turn until there are ``most``."""
    given: dict[_K, int] = {}
    for place, (kind, there) in enumerate(
        sorted(rows.items(), key=lambda each: (each[1], each[0]))
    ):
        given[kind] = min(there, (most - sum(given.values())) // (len(rows) - place))
    return given


def ahead(
    rows: Iterable[TrainingDataInstance],
    most: int,
    seed: int,
    left: Callable[[int], None],
) -> Iterator[TrainingDataInstance]:
    """Of each task ``AHEAD`` times ``most`` rows of corpora, of each category one in turn, by chance and in
    their order; all other rows.

    What it holds does not grow with the rows.

    Args:
        left: told how many were left.
    """
    kept: dict[LearningTask, dict[Category, list[_Place]]] = defaultdict(lambda: defaultdict(list))
    seen = 0
    for number, row in enumerate(rows):
        if row.source_type is not SourceType.CORPUS:
            yield row
            continue
        seen += 1
        heap = kept[row.task][row.category]
        # the smallest of a heap is the one that leaves
        place = (-int.from_bytes(_chance(seed, row), "big"), -number, row)
        if len(heap) < AHEAD * most:
            heapq.heappush(heap, place)
        else:
            heapq.heappushpop(heap, place)
    chosen: list[_Place] = []
    for heaps in kept.values():
        turns = ((t, *each) for heap in heaps.values() for t, each in enumerate(sorted(heap)[::-1]))
        first = sorted(turns, key=lambda each: (each[0], -each[1], -each[2]))
        chosen += [place[1:] for place in first[: AHEAD * most]]
    left(seen - len(chosen))
    for _, _, row in sorted(chosen, key=_by_number):
        yield row


def _by_number(place: _Place) -> int:
    return -place[1]


def _chance(seed: int, row: TrainingDataInstance) -> bytes:
    return hashlib.sha256(f"{seed}\0{row.instance_id}".encode()).digest()[:8]
