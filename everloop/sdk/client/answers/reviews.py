"""Answers about flagged episodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SignalEvidence:
    """Evidence of an episode; ``latency`` in seconds after the decision."""

    signal_type: str
    value: float
    confidence: float
    latency: int


@dataclass(frozen=True, slots=True)
class EpisodeReview:
    """A flagged episode with what is strange about it, and what was decided.

    ``score``: how strange, in robust standard deviations. ``open`` and ``rejected`` ones teach nothing.
    ``person`` tells people apart and names nobody. What was decided of the episode is ``None`` where it
    is gone.
    """

    review_id: str
    kind: str
    state: str
    loop: str
    episode_id: str
    reason: str
    score: float
    flagged_at: datetime
    decided_by: str
    decided_at: datetime | None
    decision_reason: str
    person: str
    timestamp: datetime | None
    action: str | None
    propensity: float | None
    model_version: str | None
    arm: str | None
    signals: tuple[SignalEvidence, ...]


@dataclass(frozen=True, slots=True)
class EpisodeReviews:
    """A page of reviews, oldest first; ``next_after`` is ``None`` on the last."""

    reviews: tuple[EpisodeReview, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class DecidedReviews:
    """Reviews as they are after a decision."""

    reviews: tuple[EpisodeReview, ...]
