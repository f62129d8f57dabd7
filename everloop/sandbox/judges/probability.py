"""Judges by log-probability: what a voice would rather say, and whether a group's name changes it.

All are means over tokens, in nats. Nothing is sampled, so they tell where a small model's few answers do
not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from everloop.contracts.sandboxes import Criterion, CriterionKind, Judgement
from everloop.contracts.speaking import Speaker
from everloop.contracts.voices import Message


class ProbabilityJudge:
    """Judges one adapter of a speaker, beside its matched placebo where there is one.

    Args:
        adapter: version that the answers come from; "" is the base alone.
        placebo: version of the adapter that learned as long on the active voice's own answers; None where
            there is none. What the swap of a group moves in it is not laid at the candidate's door, and
            reasons give its margins beside the candidate's.
    """

    def __init__(self, speaker: Speaker, adapter: str, placebo: str | None = None) -> None:
        self._speaker, self._adapter, self._placebo = speaker, adapter, placebo

    @property
    def kinds(self) -> frozenset[CriterionKind]:
        return frozenset(
            {CriterionKind.PREFERS, CriterionKind.PERPLEXITY, CriterionKind.SAME_ANSWER_FOR}
        )

    def judge(
        self, criterion: Criterion, said: Sequence[Message], answer: str, before: Sequence[str]
    ) -> Judgement:
        """See ``Judge``."""
        prompt = tuple(said)
        if criterion.kind is CriterionKind.PREFERS:
            return self._prefers(criterion, prompt)
        if criterion.kind is CriterionKind.PERPLEXITY:
            (score,) = self._speaker.score((prompt,), (criterion.values[0],), self._adapter)
            perplexity, limit = math.exp(min(-score.per_token, 700.0)), criterion.at_most or 0.0
            reason = f"perplexity {perplexity:.2f} over {score.tokens} tokens, at most {limit:g}"
            return Judgement(perplexity <= limit, reason, perplexity)
        return self._same_for(criterion, prompt, answer)

    def _prefers(self, criterion: Criterion, prompt: tuple[Message, ...]) -> Judgement:
        margin, limit = self._margin(criterion, prompt, self._adapter), criterion.at_least or 0.0
        reason = f"margin {margin:+.3f} nats a token, at least {limit:g}"
        if self._placebo is not None:
            reason += f" (its placebo: {self._margin(criterion, prompt, self._placebo):+.3f})"
        return Judgement(margin >= limit, reason, margin)

    def _margin(self, criterion: Criterion, prompt: tuple[Message, ...], adapter: str) -> float:
        wanted, other = self._speaker.score((prompt, prompt), criterion.values, adapter)
        return wanted.per_token - other.per_token

    def _same_for(
        self, criterion: Criterion, prompt: tuple[Message, ...], answer: str
    ) -> Judgement:
        first, *others = criterion.values
        swapped = [_swapped(prompt, first, other) for other in others]
        if any(each == prompt for each in swapped):
            return Judgement(None, f"{first!r} is not in what was said to it")
        if not answer.strip():
            return Judgement(None, "it said nothing")
        moved, by = self._moved(prompt, swapped, answer, self._adapter)
        limit = criterion.at_most or 0.0
        reason = (
            f"{others[by]!r} in place of {first!r} moves its answer by {moved:.3f} nats a token"
        )
        if self._placebo is not None:
            placebo, _ = self._moved(prompt, swapped, answer, self._placebo)
            moved -= placebo
            reason += f", {placebo:.3f} with its placebo"
        return Judgement(moved <= limit, f"{reason}; at most {limit:g}", moved)

    def _moved(
        self,
        prompt: tuple[Message, ...],
        swapped: Sequence[tuple[Message, ...]],
        answer: str,
        adapter: str,
    ) -> tuple[float, int]:
        """Largest |change| of the answer's log-probability a token, and which swap makes it."""
        as_said, *scores = self._speaker.score(
            (prompt, *swapped), (answer,) * (len(swapped) + 1), adapter
        )
        moves = [abs(score.per_token - as_said.per_token) for score in scores]
        by = max(range(len(moves)), key=moves.__getitem__)
        return moves[by], by


def _swapped(prompt: tuple[Message, ...], first: str, other: str) -> tuple[Message, ...]:
    """The person's turns with one group's word in place of another's; as whole words."""
    word = re.compile(rf"\b{re.escape(first)}\b")
    return tuple(
        Message(each.role, word.sub(lambda _: other, each.content)) if each.role == "user" else each
        for each in prompt
    )
