"""People who come back as the ramp grows, and the chance that is left of their arms.

A person's place in the ramp is one uniform draw u, kept over the whole trial: at a step with share p they
meet the candidate where u < p. Whoever was in the control at share a has u >= a, whoever met the candidate
at share b has u < b; so at a later step with share p between the two, given all that was seen before,

    P(candidate) = (p - a) / (b - a),

with a = 0 and b = 1 before anything was seen, and people independent of each other. Who met the candidate
already meets it for certain in higher steps and tells nothing. That is what keeps the count honest: nobody
in it has met the candidate before, so a candidate that makes its people come more or less often changes
no share here; decisions that are lost on the way do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.rollout.experiment.observations import CANDIDATE, Floats, Ints, TrialObservations


@dataclass(frozen=True, slots=True)
class Returned:
    """People at their first exposure within a step who had been met in an earlier one.

    ``share``: chance of each to meet the candidate, in (0, 1], given their earlier arms; ``control`` and
    ``candidate``: in which they are.
    """

    percent: float
    share: float
    control: int
    candidate: int


def returned(observations: TrialObservations) -> tuple[Returned, ...]:
    """Counts of returns by step and chance; those whose arm was certain are left out."""
    rows, rank = _firsts(observations)
    if not len(rows):
        return ()
    person, share = observations.person[rows], observations.share()[rows]
    percent = observations.percent[rows]
    met = observations.arm[rows] == CANDIDATE
    low, high = np.zeros(observations.people), np.ones(observations.people)
    counts: dict[tuple[float, float], list[int]] = {}
    for place in range(int(rank.max()) + 1):
        now = rank == place
        who, p, candidate = person[now], share[now], met[now]
        if place:
            _count(counts, percent[now], (p - low[who]) / (high[who] - low[who]), candidate)
        high[who] = np.where(candidate, np.minimum(high[who], p), high[who])
        low[who] = np.where(candidate, low[who], np.maximum(low[who], p))
    return tuple(Returned(*key, *found) for key, found in sorted(counts.items()))


def _firsts(observations: TrialObservations) -> tuple[Ints, Ints]:
    """Rows where a person came first in a step, and which step of theirs it was, from 0."""
    steps, step = np.unique(observations.percent, return_inverse=True)
    order = np.argsort(observations.timestamp, kind="stable")
    key = observations.person * max(len(steps), 1) + step
    _, first = np.unique(key[order], return_index=True)
    rows = order[np.sort(first)]
    rows = rows[np.argsort(observations.person[rows], kind="stable")]
    _, begins, many = np.unique(observations.person[rows], return_index=True, return_counts=True)
    return rows, np.asarray(np.arange(len(rows)) - np.repeat(begins, many), dtype=np.int64)


def _count(
    counts: dict[tuple[float, float], list[int]],
    percent: Floats,
    chance: Floats,
    candidate: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    """Add people whose arm is open; at a share of 1 or above anybody in the control is wrong."""
    wrong = (chance >= 1.0) & ~candidate
    kept = ((chance > 0.0) & (chance < 1.0)) | wrong
    pairs = np.stack([percent[kept], np.minimum(chance[kept], 1.0)], axis=1)
    found, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.reshape(-1)
    for index, (step, share) in enumerate(found.tolist()):
        there = counts.setdefault((step, share), [0, 0])
        number = int((which == index).sum())
        met = int(candidate[kept][which == index].sum())
        there[0] += number - met
        there[1] += met
