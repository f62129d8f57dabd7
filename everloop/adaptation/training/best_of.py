"""The best of several answers, by a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import Answer, Speaker, SpeakRequest
from everloop.contracts.voices import Message


class Scorer(Protocol):
    """What tells better answers from worse ones; ``RewardScorer`` is one."""

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]
    ) -> tuple[float, ...]:
        """One number for each answer, in their order; the larger the better."""


def best_of_n(speaker: Speaker, scorer: Scorer, request: SpeakRequest, n: int) -> Answer:
    """Draw ``n`` answers in one batch and take the one that scores highest, the first among equals.

    Answer i is drawn with ``request.seed`` + i, so that more answers never take one away.

    Raises:
        ShouldFixArgument: ``n`` is below 1.
    """
    if n < 1:
        raise ShouldFixArgument(f"The best of n={n} answers is none.", "Ask for at least 1.")
    answers = speaker.answer([replace(request, seed=request.seed + at) for at in range(n)])
    if n == 1:
        return answers[0]
    scores = scorer.score([request.messages] * n, [answer.text for answer in answers])
    return answers[max(range(n), key=lambda at: (scores[at], -at))]
