"""The held-out people that synthetic ones are measured against: few enough to bound time and memory."""

from __future__ import annotations

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Int

MOST_PEOPLE = 10_000
"""More held-out people narrow no interval that a check could turn on; they cost time and memory."""
_SEED = 20_260_104


def yardstick(episodes: EncodedEpisodes, last: int) -> EncodedEpisodes:
    """The last ``last`` held-out episodes of at most ``MOST_PEOPLE`` people, comparison arms left out.

    People are drawn by a fixed seed where there are more; rows keep the dataset's order.
    """
    return limited(episodes.where(episodes.holdout & ~episodes.comparison), last)


def limited(episodes: EncodedEpisodes, last: int, most: int = MOST_PEOPLE) -> EncodedEpisodes:
    """The last ``last`` episodes of at most ``most`` people, drawn by a fixed seed."""
    people = np.unique(episodes.person)
    if len(people) > most:
        rng = np.random.default_rng([_SEED, len(people)])
        people = np.sort(rng.choice(people, most, replace=False))
        episodes = episodes.where(np.isin(episodes.person, people))
    return episodes.where(_newest(episodes, last))


def _newest(episodes: EncodedEpisodes, last: int) -> Bool:
    order = np.lexsort((-np.arange(len(episodes)), -episodes.timestamp, episodes.person))
    person = episodes.person[order]
    starts = np.flatnonzero(np.r_[True, person[1:] != person[:-1]][: len(person)])
    place = np.arange(len(person)) - np.repeat(starts, np.diff(np.r_[starts, len(person)]))
    kept = np.zeros(len(episodes), dtype=np.bool_)
    kept[order[place < last]] = True
    return kept


def one_row_each(person: Int, rng: np.random.Generator) -> Int:
    """(P,) one row of each person, drawn evenly: rows of different people are independent."""
    order = rng.permutation(len(person))
    _, first = np.unique(person[order], return_index=True)
    return np.sort(order[first])


def per_person(values: Float, owner: Int, people: int) -> Float:
    """(people,) sums of (n,) values by owner."""
    return np.asarray(np.bincount(owner, weights=values, minlength=people), dtype=np.float64)
