"""How far each person's feedback is to be believed, from what they and others said.

A person answers *questions*: "how good is this answer?" (a logged output that they judged) and "which of
these two is better?" (two texts that they compared). Each is worth

    w = 0                     where they contradict themselves: they praise and complain of the same
                              output, or prefer A to B and B to A
    w = q (1 - d)             otherwise

with ``q`` the lowest quality of their feedback on it (1 where a reviewer released it) and ``d`` how far
they are from others: with at least ``ENOUGH`` other people who judged the same text as an answer to the
same words, d = max(0, |v - m| - 1/2) / (3/2) of their value v in [-1, 1] that is farthest from the median
m of the others' (of each the middle of the lowest and the highest), else 0. One star of five, a quarter
of the range, is taste. With n questions,

    reliability = (PRIOR + sum of w) / (PRIOR + n)

which lies in (0, 1], does not follow the order of feedback, is 1 for who was never seen, and never
rises by contradicting oneself: a contradicted question is worth nothing, counted or not before.
"""

from __future__ import annotations

import math
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from everloop.adaptation.conversations import answered
from everloop.adaptation.verdicts import (
    VERDICTS,
    output_key,
    pair_key,
    pair_of,
    quality_of,
    stance_of,
    teaches,
    value_of,
)
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.voice_ports import SpokenFeedback

PRIOR = 2.0
"""Questions answered well that everybody is given to begin with."""
ENOUGH = 3
"""Other people who judged the same output before their median says something."""
TASTE = 0.5
"""Distance from the others' median that says nothing."""


@dataclass(slots=True)
class _Question:
    quality: float = 1.0
    sides: int = 0
    """1: said yes; 2: said no; 3: both."""
    output: bytes | None = None
    low: float = 1.0
    high: float = -1.0

    def says(self, side: bool) -> None:
        self.sides |= 1 if side else 2

    @property
    def contradicted(self) -> bool:
        return self.sides == 3


class Reliability:
    """Collects feedback, then weighs people. Holds about 250 bytes for each question answered.

    Args:
        crowd: whether what others said counts: not where a training is private; d is 0 then.
    """

    def __init__(self, feedback: Iterable[SpokenFeedback] = (), crowd: bool = True) -> None:
        self._crowd = crowd
        self._people: dict[str, dict[bytes, _Question]] = {}
        self._weights: dict[str, float] | None = None
        for spoken in feedback:
            self.add(spoken)

    def add(self, spoken: SpokenFeedback) -> None:
        """Take a feedback into account; disputed ones and those that do not teach say nothing."""
        said = spoken.feedback
        if spoken.disputed or not teaches(said):
            return
        if said.feedback_type is FeedbackType.COMPARISON:
            self._compared(spoken)
        elif said.feedback_type in VERDICTS or said.feedback_type is FeedbackType.CORRECTION:
            self._judged(spoken)

    def weight(self, user_id: str) -> float:
        """A person's reliability, in (0, 1]."""
        if self._weights is None:
            self._weights = self._weighed()
        return self._weights.get(user_id, 1.0)

    @property
    def contradictory_people(self) -> int:
        """People who contradicted themselves at least once."""
        return sum(
            any(question.contradicted for question in questions.values())
            for questions in self._people.values()
        )

    def _compared(self, spoken: SpokenFeedback) -> None:
        pair = pair_of(spoken.feedback)
        if pair is not None:
            question = self._question(spoken, pair_key(spoken.interaction, pair))
            question.says(pair[0] < pair[1])

    def _judged(self, spoken: SpokenFeedback) -> None:
        said = spoken.feedback
        value, stance = value_of(said), stance_of(said)
        if value is None:
            return
        question = self._question(spoken, uuid.UUID(spoken.interaction.log_id).bytes)
        if stance is not None:
            question.says(stance)
        text = answered(spoken.interaction)
        if text and said.feedback_type in VERDICTS:
            question.output = output_key(spoken.interaction, text)
            question.low, question.high = min(question.low, value), max(question.high, value)

    def _question(self, spoken: SpokenFeedback, key: bytes) -> _Question:
        self._weights = None
        questions = self._people.setdefault(spoken.feedback.user_id, {})
        question = questions.setdefault(key, _Question())
        question.quality = min(question.quality, quality_of(spoken.feedback))
        return question

    def _weighed(self) -> dict[str, float]:
        crowds = self._crowds()
        return {
            person: (PRIOR + math.fsum(_worth(q, person, crowds) for q in questions.values()))
            / (PRIOR + len(questions))
            for person, questions in self._people.items()
        }

    def _crowds(self) -> dict[bytes, _Crowd]:
        """Of the outputs that enough people judged."""
        if not self._crowd:
            return {}
        judged = [
            (person, question.output, question.low, question.high)
            for person, questions in self._people.items()
            for question in questions.values()
            if question.output is not None
        ]
        often = Counter(output for _, output, _, _ in judged)
        told: dict[bytes, dict[str, tuple[float, float]]] = {}
        for person, output, low, high in judged:
            if often[output] > ENOUGH:
                lowest, highest = told.setdefault(output, {}).get(person, (low, high))
                told[output][person] = (min(low, lowest), max(high, highest))
        return {output: _Crowd(said) for output, said in told.items() if len(said) > ENOUGH}


class _Crowd:
    """Everybody's value of one output, ordered."""

    def __init__(self, told: Mapping[str, tuple[float, float]]) -> None:
        self._values = {person: (low + high) / 2.0 for person, (low, high) in told.items()}
        self._ordered = sorted(self._values.values())

    def median_without(self, person: str) -> float:
        """Of everybody else."""
        own, rest = self._values[person], len(self._ordered) - 1
        at = bisect_left(self._ordered, own)

        def place(position: int) -> float:
            return self._ordered[position if position < at else position + 1]

        return (place((rest - 1) // 2) + place(rest // 2)) / 2.0


def _worth(question: _Question, person: str, crowds: dict[bytes, _Crowd]) -> float:
    if question.contradicted:
        return 0.0
    crowd = crowds.get(question.output) if question.output is not None else None
    if crowd is None:
        return question.quality
    median = crowd.median_without(person)
    farthest = max(abs(question.low - median), abs(question.high - median))
    return question.quality * (1.0 - max(0.0, farthest - TASTE) / (2.0 - TASTE))
