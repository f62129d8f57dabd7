"""People's episodes as the heads see them: features, targets and each episode's part in its person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import PeopleEpisodes
from synthetic.user_model.features import FeatureMap, Features
from synthetic.user_model.outcomes import outcomes_of, resting_of

SETTLED_DECISIONS = 5
"""Decisions from which on a person counts in full for the journey's end. With fewer they count by their
decisions: who leaves at once has few, and a mean over people would take their leaving for everybody's."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """P people with E episodes each, padded; n = P E rows, a person's own next to each other.

    ``target`` (n, H); ``weight`` (n, H), how much each counts in its person's mean: 0 for padding and
    for what is not known.
    """

    people: int
    seen: Features
    target: Float
    weight: Float

    @property
    def bytes(self) -> int:
        seen = self.seen
        parts = (seen.wide, seen.shared, seen.narrow, seen.motion, self.target, self.weight)
        return sum(part.nbytes for part in parts)


def samples_of(spec: LoopSpec, features: FeatureMap, people: PeopleEpisodes) -> Samples:
    """Everything that a fit reads of the given people."""
    rows = np.maximum(people.rows, 0).ravel()
    context = people.episodes.context[rows]
    resting = context.copy()
    resting[:, features.moving] = resting_of(people, features.moving).reshape(
        len(rows), len(features.moving)
    )
    found = outcomes_of(spec, features, people.episodes, people.following, rows)
    weight = found.weight * people.share.reshape(-1, 1)
    decided = (people.rows >= 0).sum(axis=1)
    counts = np.minimum(decided / SETTLED_DECISIONS, 1.0)
    weight[:, features.end] *= np.repeat(counts, people.rows.shape[1])
    slate = people.episodes.slate
    return Samples(
        people=len(people),
        seen=features.of(
            context,
            people.episodes.action[rows],
            resting,
            None if slate is None else slate[rows],
        ),
        target=found.target,
        weight=weight,
    )
