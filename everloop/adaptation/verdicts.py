"""What a feedback says of a whole answer: praise, a complaint, or nothing that can be learned from."""

from __future__ import annotations

import hashlib
import math

from everloop.adaptation.conversations import asked
from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackStatus,
    FeedbackType,
    Interaction,
    TargetElement,
)

CLEAR = 0.4
"""Smallest distance of a value from 0 that is praise or a complaint: 4 of 5 stars are (.5), 3 are not (0);
"too formal" is (-.5), "too few emoji" (-.2) moves a trait alone."""
VERDICTS = frozenset(
    {
        FeedbackType.RATING,
        FeedbackType.THUMB,
        FeedbackType.CATEGORICAL_CHOICE,
        FeedbackType.FREE_TEXT,
    }
)
"""Types that judge an answer as it is."""
COMPLAINTS = frozenset({FeedbackType.CATEGORICAL_CHOICE, FeedbackType.FREE_TEXT})
"""Types that say what is wrong with it, in words."""
_TEACHING = frozenset({FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED})


def teaches(feedback: FeedbackInstance) -> bool:
    """Whether its status lets it teach: accepted, or released by a reviewer."""
    return feedback.status in _TEACHING


def quality_of(feedback: FeedbackInstance) -> float:
    """How human its sending looked, in [0, 1]; 1 where a reviewer vouched for it."""
    return 1.0 if feedback.status is FeedbackStatus.RELEASED else feedback.quality


def value_of(feedback: FeedbackInstance) -> float | None:
    """Mean of its interpretations' values, in [-1, 1]; None where it says nothing of the words of the
    whole answer: it speaks of a sentence or a word, or of how the voice sounds."""
    told = [each for each in feedback.interpretations if each.value is not None]
    sounds = any((each.trait or "").startswith("voice_") for each in told)
    if not told or sounds or feedback.target_element is not TargetElement.ENTIRE_RESPONSE:
        return None
    return math.fsum(each.value or 0.0 for each in told) / len(told)


def verdict_of(feedback: FeedbackInstance) -> bool | None:
    """True for clear praise of an answer, False for a clear complaint, None for anything else."""
    value = value_of(feedback) if feedback.feedback_type in VERDICTS else None
    return None if value is None or abs(value) < CLEAR else value > 0


def stance_of(feedback: FeedbackInstance) -> bool | None:
    """As ``verdict_of``; a correction that rewrote much of the answer is a complaint, too."""
    if feedback.feedback_type is FeedbackType.CORRECTION:
        value = value_of(feedback)
        return False if value is not None and value <= -CLEAR else None
    return verdict_of(feedback)


def pair_of(feedback: FeedbackInstance) -> tuple[str, str] | None:
    """(chosen, rejected) of a comparison or correction, trimmed; None where two texts that differ are
    not given."""
    for each in feedback.interpretations:
        if each.preference is not None:
            chosen, rejected = each.preference[0].strip(), each.preference[1].strip()
            return (chosen, rejected) if chosen and rejected and chosen != rejected else None
    return None


def output_key(interaction: Interaction, text: str) -> bytes:
    """16 bytes of a text as an answer to what was said: the same for everybody who was shown it."""
    return digest(interaction.tenant, [turn.content for turn in asked(interaction)], text)


def pair_key(interaction: Interaction, pair: tuple[str, str]) -> bytes:
    """16 bytes of two texts as answers to what was said, whichever was preferred."""
    return digest(interaction.tenant, [turn.content for turn in asked(interaction)], sorted(pair))


def digest(*parts: object) -> bytes:
    """16 bytes of JSON values."""
    return hashlib.blake2b(canonical_bytes(parts), digest_size=16).digest()
