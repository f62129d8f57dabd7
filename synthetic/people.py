"""Episodes gathered by person: the unit that private training clips."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float, Float32, Int
from everloop.contracts.errors import ShouldFixInput


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """What each of n episodes was followed by: the same person's next decision, whatever became of it.

    Attributes:
        row: (n,) row of ``context`` that holds the next decision's, -1 where there is none.
        wait: (n,) seconds until then, infinite where there is none.
        observed: (n,) seconds from the episode to the public end of the data.
        context: contexts that ``row`` indexes.
    """

    row: Int
    wait: Float
    observed: Float
    context: Float32

    def at(self, rows: Int) -> Following:
        """The same of the given episodes."""
        return replace(self, row=self.row[rows], wait=self.wait[rows], observed=self.observed[rows])


@dataclass(frozen=True, slots=True, eq=False)
class PeopleEpisodes:
    """P people and the rows of their last episodes.

    Attributes:
        people: (P,) pseudonyms, sorted unless they were taken in another order (``at``).
        rows: (P, E) rows of ``episodes``, newest first, -1 behind a person's last one.
        episodes: what the rows index.
        following: what each of them was followed by.
    """

    people: tuple[str, ...]
    rows: Int
    episodes: EncodedEpisodes
    following: Following

    def __len__(self) -> int:
        return len(self.people)

    @property
    def share(self) -> Float:
        """(P, E) weight of each episode in its person's mean: 1 / their number, 0 for padding."""
        real = self.rows >= 0
        return np.asarray(real / real.sum(axis=1, keepdims=True), dtype=np.float64)

    def at(self, order: Int) -> PeopleEpisodes:
        """The people at the given places (k,), in that order."""
        chosen = tuple(self.people[place] for place in order.tolist())
        return replace(self, people=chosen, rows=self.rows[order])

    def batches(self, size: int) -> Iterator[PeopleEpisodes]:
        """The same people in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield replace(self, people=self.people[part], rows=self.rows[part])


def people_of(episodes: EncodedEpisodes) -> tuple[str, ...]:
    """Pseudonyms that have at least one row, sorted."""
    return tuple(str(person) for person in episodes.people[np.unique(episodes.person)])


def following(episodes: EncodedEpisodes, until: float | None = None) -> Following:
    """What each episode was followed by (ties: the later row is newer).

    Args:
        episodes: every decision that is known of the people, also those that nothing is learned from.
        until: public end of the data, seconds since the epoch, never its newest row's time; ``None``:
            unknown, so that nobody is known to have stayed away.
    """
    n = len(episodes)
    order = np.lexsort((np.arange(n), episodes.timestamp, episodes.person))
    same = episodes.person[order[1:]] == episodes.person[order[:-1]]
    row = np.full(n, -1, dtype=np.int64)
    row[order[:-1][same]] = order[1:][same]
    wait = np.where(row >= 0, episodes.timestamp[row] - episodes.timestamp, np.inf)
    end = -np.inf if until is None else until
    observed = np.maximum(end - episodes.timestamp, np.where(row >= 0, wait, 0.0))
    return Following(row, wait, observed, episodes.context)


def gather(
    episodes: EncodedEpisodes,
    people: Collection[str],
    last: int,
    followed: Following | None = None,
) -> PeopleEpisodes:
    """The last ``last`` episodes of each of the given people (ties: the later row is newer).

    Args:
        episodes: what is learned from.
        people: pseudonyms.
        last: episodes that count of a person.
        followed: what each episode was followed by; ``None``: as far as ``episodes`` alone tells.

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
    return PeopleEpisodes(
        tuple(str(p) for p in episodes.people[person]),
        table,
        episodes,
        following(episodes) if followed is None else followed,
    )


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


def inputs_sha256(episodes: EncodedEpisodes, followed: Following | None = None) -> str:
    """SHA-256 of the arrays that a release is computed from: the same noise never covers others.

    Signal means and rewards count to nine digits, so that a database that sums in another order changes
    nothing.
    """
    after: tuple[np.ndarray[Any, Any], ...] = ()
    slate = () if episodes.slate is None else (episodes.slate,)
    if followed is not None:
        known = np.where((followed.row >= 0)[:, None], followed.context[followed.row], 0.0)
        after = (known, followed.wait, followed.observed)
    total = hashlib.sha256(episodes.encoder.encode())
    for array in (
        episodes.people,
        episodes.person,
        episodes.context,
        episodes.action,
        np.round(episodes.signals, 9),
        np.round(episodes.reward, 9) + 0.0,
        episodes.timestamp,
        *slate,
        *after,
    ):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
