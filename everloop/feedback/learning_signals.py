"""Feedback on a decision's output as reward signals of the loop that decided.

A judgement (rating, thumb, category, correction, comparison, free text, sentiment of a reply) becomes
the loop's explicit signal: v in [-1, 1], the mean of its interpretations' values, lands at
(v + 1) / 2 of the signal's declared range. A behaviour (conversion, click, scroll, dwell) becomes the
implicit one at its share of engagement in [0, 1]. A voice adjustment says how to sound and the trust
survey speaks of no decision: neither becomes a signal.
"""

from __future__ import annotations

from datetime import datetime

from everloop.contracts.episodes import RewardSignal
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackStatus,
    FeedbackType,
    Interaction,
    implied_signal_id,
)
from everloop.contracts.loop_spec import FeedbackSpec, LoopSpec, SignalSpec

JUDGEMENTS = frozenset(
    {
        FeedbackType.RATING,
        FeedbackType.THUMB,
        FeedbackType.CATEGORICAL_CHOICE,
        FeedbackType.CORRECTION,
        FeedbackType.COMPARISON,
        FeedbackType.FREE_TEXT,
        FeedbackType.IMPLICIT_REPLY,
    }
)
BEHAVIOURS = frozenset(
    {FeedbackType.CONVERSION, FeedbackType.CLICK, FeedbackType.SCROLL, FeedbackType.DWELL}
)
TEACHING = frozenset({FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED})
"""Statuses of feedback that is learned from."""


def signals_of(
    feedback: FeedbackInstance,
    interaction: Interaction | None,
    spec: LoopSpec,
    episode_timestamp: datetime,
) -> tuple[RewardSignal, ...]:
    """The signals that a feedback is for the decision behind its interaction.

    Args:
        interaction: the one it speaks of; without an ``episode_id`` no decision is behind it.
        spec: the loop of that episode.
        episode_timestamp: when it was decided, with a time zone.

    Returns:
        At most one signal: none when the feedback does not teach, says nothing of how good the
        output was, or the loop maps no signal for it. Its confidence is weight x confidence x
        quality, its latency at least 0, and its id follows from the feedback's id and the type.
        A reviewer who released it vouched for the sending: its quality then counts as 1.
    """
    if interaction is None or interaction.episode_id is None or feedback.status not in TEACHING:
        return ()
    name = _signal_name(feedback.feedback_type, spec.feedback)
    position = _position(feedback, spec.feedback)
    quality = 1.0 if feedback.status is FeedbackStatus.RELEASED else feedback.quality
    confidence = feedback.weight * feedback.confidence * quality
    if name is None or position is None or confidence <= 0.0:
        return ()
    latency = (feedback.timestamp - episode_timestamp).total_seconds()
    return (
        RewardSignal(
            signal_id=implied_signal_id(feedback.feedback_id, name),
            episode_id=interaction.episode_id,
            signal_type=name,
            value=_within(spec.signal(name), position),
            latency=max(0, int(latency)),
            confidence=confidence,
            tenant=feedback.tenant,
        ),
    )


def value_of(feedback: FeedbackInstance) -> float | None:
    """How good a feedback says the output was, in [-1, 1]: the mean over its interpretations."""
    told = [each.value for each in feedback.interpretations if each.value is not None]
    return sum(told) / len(told) if told else None


def _signal_name(kind: FeedbackType, spec: FeedbackSpec) -> str | None:
    if kind in JUDGEMENTS:
        return spec.explicit
    return spec.implicit if kind in BEHAVIOURS else None


def _position(feedback: FeedbackInstance, spec: FeedbackSpec) -> float | None:
    """Where in a signal's range the feedback lies: 0 its low end, 1 its high end."""
    if feedback.feedback_type is FeedbackType.DWELL:
        return min(1.0, float(feedback.value) / spec.dwell_seconds)
    if feedback.feedback_type in BEHAVIOURS:
        return float(feedback.value)
    value = value_of(feedback)
    return None if value is None else (value + 1.0) / 2.0


def _within(signal: SignalSpec, position: float) -> float:
    value = signal.low + position * (signal.high - signal.low)
    return max(signal.low, min(signal.high, value))
