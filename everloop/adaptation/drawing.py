"""In which order rows are drawn, and which are worth looking at, where there are more than will be learned.

Looking at a row closely (is it too long, private, abusive, in another language, said before) takes a
thousand times as long as drawing it, so what is looked at is drawn first.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from everloop.contracts.voices import LearningTask, SourceType, TrainingDataInstance

NOT_DRAWN = "not_drawn"
AHEAD = 4
"""Times as many as are wanted that are looked at, at first: some turn out not to be fit."""
_FIRST = (SourceType.FEEDBACK, SourceType.SANDBOX)
Kind = Callable[[TrainingDataInstance], str]


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
    """

    def __init__(self, most: int, seed: int, kind: Kind) -> None:
        self._most, self._kind = most, kind
        self._orders: dict[str, DrawingOrder] = defaultdict(lambda: DrawingOrder(seed))
        self._asked = 0
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
        fresh: frozenset[int] = frozenset()
        while not fresh:
            short = [
                order
                for kind, order in self._orders.items()
                if found.get(kind, 0) < self._most and order.rows > self._asked
            ]
            if not short:
                break
            count = max(self._asked, AHEAD * self._most)
            asked = [order.first(count, after=self._asked) for order in short]
            fresh = frozenset().union(*asked) - self._looked_at
            self._asked += count
            self._looked_at |= fresh
        return fresh


def ahead(
    rows: Iterable[TrainingDataInstance],
    most: int,
    seed: int,
    left: Callable[[int], None],
) -> Iterator[TrainingDataInstance]:
    """Of each task ``AHEAD`` times ``most`` rows of corpora, by chance and in their order; all other rows.

    What it holds does not grow with the rows.

    Args:
        left: told how many were left.
    """
    kept: dict[LearningTask, list[tuple[int, int, TrainingDataInstance]]] = defaultdict(list)
    dropped = 0
    for number, row in enumerate(rows):
        if row.source_type is not SourceType.CORPUS:
            yield row
            continue
        heap = kept[row.task]
        # the smallest of a heap is the one that leaves
        place = (-int.from_bytes(_chance(seed, row), "big"), -number, row)
        if len(heap) < AHEAD * most:
            heapq.heappush(heap, place)
        else:
            heapq.heappushpop(heap, place)
            dropped += 1
    left(dropped)
    for _, _, row in sorted((each for heap in kept.values() for each in heap), key=_by_number):
        yield row


def _by_number(place: tuple[int, int, TrainingDataInstance]) -> int:
    return -place[1]


def _chance(seed: int, row: TrainingDataInstance) -> bytes:
    return hashlib.sha256(f"{seed}\0{row.instance_id}".encode()).digest()[:8]
