"""Episodes gathered by person: the unit that private training clips."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float, Int
from everloop.contracts.errors import ShouldFixInput


@dataclass(frozen=True, slots=True, eq=False)
class PeopleEpisodes:
    """P people and the rows of their last episodes.

    Attributes:
        people: (P,) pseudonyms, sorted.
        rows: (P, E) rows of ``episodes``, newest first, -1 behind a person's last one.
        episodes: what the rows index.
    """

    people: tuple[str, ...]
    rows: Int
    episodes: EncodedEpisodes

    def __len__(self) -> int:
        return len(self.people)

    @property
    def share(self) -> Float:
        """(P, E) weight of each episode in its person's mean: 1 / their number, 0 for padding."""
        real = self.rows >= 0
        return np.asarray(real / real.sum(axis=1, keepdims=True), dtype=np.float64)

    def batches(self, size: int) -> Iterator[PeopleEpisodes]:
        """The same people in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield PeopleEpisodes(self.people[part], self.rows[part], self.episodes)


def people_of(episodes: EncodedEpisodes) -> tuple[str, ...]:
    """Pseudonyms that have at least one row, sorted."""
    return tuple(str(person) for person in episodes.people[np.unique(episodes.person)])


def gather(episodes: EncodedEpisodes, people: Collection[str], last: int) -> PeopleEpisodes:
    """The last ``last`` episodes of each of the given people (ties: the later row is newer).

    Raises:
        ShouldFixInput: a context, signal or reward is out of range, or a person has no episode.
    """
    require_bounded(episodes)
    wanted = np.isin(episodes.people, sorted(people))
    rows = np.flatnonzero(wanted[episodes.person])
    rows = rows[np.lexsort((-rows, -episodes.timestamp[rows], episodes.person[rows]))]
    person, first, count = np.unique(episodes.person[rows], return_index=True, return_counts=True)
    if len(person) != len(set(people)):
        raise ShouldFixInput(
            f"{len(set(people)) - len(person)} of {len(set(people))} admitted people have no episode.",
            "Release from the dataset that the budget was reserved for.",
        )
    table = np.full((len(person), min(last, int(count.max(initial=0)))), -1, dtype=np.int64)
    place = np.arange(len(rows)) - np.repeat(first, count)
    owner = np.repeat(np.arange(len(person)), count)
    kept = place < last
    table[owner[kept], place[kept]] = rows[kept]
    return PeopleEpisodes(tuple(str(p) for p in episodes.people[person]), table, episodes)


def require_bounded(episodes: EncodedEpisodes) -> None:
    """Refuse what would make a clipped gradient NaN: it would spend budget on nothing.

    Raises:
        ShouldFixInput: naming the first episode whose context or signals leave [-1, 1].
    """
    inside = (np.abs(episodes.context) <= 1.0).all(axis=1)
    inside &= ((np.abs(episodes.signals) <= 1.0) | np.isnan(episodes.signals)).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        raise ShouldFixInput(
            f"Episode {episodes.episode_id[row]} has a context or signal that is NaN, infinite or "
            "outside [-1, 1].",
            "Encode the dataset again from public bounds.",
        )


def inputs_sha256(episodes: EncodedEpisodes) -> str:
    """SHA-256 of the arrays that a release is computed from: the same noise never covers others.

    Signal means count to nine digits, so that a database that sums in another order changes nothing.
    """
    total = hashlib.sha256(episodes.encoder.encode())
    for array in (
        episodes.people,
        episodes.person,
        episodes.context,
        episodes.action,
        np.round(episodes.signals, 9),
        episodes.timestamp,
    ):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
