"""What a log keeps of a drawn slate, so that its propensity can be recomputed without the candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from rl.slates.plackett_luce import log_sum_exp


@dataclass(frozen=True, slots=True)
class SlateEvidence:
    """A sufficient statistic of a slate's probability: L + 3 numbers, however many candidates there were.

    Those who were not picked enter every position's denominator through the sum of their exponentials
    alone, so neither their scores nor who they were needs to be kept.

    Attributes:
        scores: of those picked, in the order of the slate; L of them.
        rest: ln sum exp(score) over those not picked; ``None`` where everybody was.
        candidates: K, how many there were.
        epsilon: exploration share in [0, 1].

    Raises:
        ShouldFixArgument: the numbers fit no slate.
    """

    scores: tuple[float, ...]
    rest: float | None
    candidates: int
    epsilon: float

    def __post_init__(self) -> None:
        size = len(self.scores)
        numbers = (*self.scores, 0.0 if self.rest is None else self.rest)
        if (
            not 1 <= size <= self.candidates
            or (self.rest is None) != (size == self.candidates)
            or not all(map(math.isfinite, numbers))
            or not 0.0 <= self.epsilon <= 1.0
        ):
            raise ShouldFixArgument(
                f"Slate evidence with {size} scores, rest={self.rest}, candidates={self.candidates} "
                f"and epsilon={self.epsilon} belongs to no slate.",
                "Keep the evidence as it was answered.",
            )

    @property
    def log_propensity(self) -> float:
        """ln P(slate | action), <= 0, as ``rl.slates.log_propensity`` says of all the scores."""
        greedy = math.log1p(-self.epsilon) if self.epsilon < 1.0 else -math.inf
        spread = math.log(self.epsilon) if self.epsilon > 0.0 else -math.inf
        others = () if self.rest is None else (self.rest,)
        total = 0.0
        for place, score in enumerate(self.scores):
            share = greedy + score - _log_sum((*self.scores[place:], *others))
            total += _log_sum((share, spread - math.log(self.candidates - place)))
        return min(0.0, total)


def _log_sum(numbers: tuple[float, ...]) -> float:
    highest = max(numbers)
    if highest == -math.inf:
        return highest
    return highest + math.log(math.fsum(math.exp(number - highest) for number in numbers))


def evidence_of(scores: Float, picked: Sequence[int], epsilon: float) -> SlateEvidence:
    """The evidence of a slate; ``scores`` (K,) of all candidates, ``picked`` distinct positions."""
    left = np.ones(len(scores), dtype=np.bool_)
    left[list(picked)] = False
    return SlateEvidence(
        scores=tuple(float(scores[index]) for index in picked),
        rest=log_sum_exp(scores[left]) if left.any() else None,
        candidates=len(scores),
        epsilon=epsilon,
    )
