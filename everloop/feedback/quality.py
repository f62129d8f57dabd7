"""How human the sending of a feedback looks, and whether it waits for a person to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.feedback import FeedbackStatus
from everloop.feedback.quality_client import client
from everloop.feedback.quality_clock import clock
from everloop.feedback.quality_evidence import PRIOR, Evidence, Family, human_share, total
from everloop.feedback.quality_pace import pace
from everloop.feedback.quality_records import HISTORY, Incoming, Sent
from everloop.feedback.quality_rhythm import rhythm
from everloop.feedback.quality_text import Outlines, texts
from everloop.feedback.quality_timeline import gestures, timeline
from everloop.feedback.quality_values import values

_STANDING = 2.0
_VOUCHED = 4.0
"""Taken off where a person released all that the session sent; in proportion where they released some."""
_WORTH_TELLING = 0.05


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """Of one feedback.

    Attributes:
        score: how human its sending looks, in [0, 1]; one half or less is quarantined.
        reasons: what lowered it, heaviest first: ``name: what was seen (+log-odds)``.
        quarantined: whether it teaches nothing until a person releases it.
        of_session: whether what was seen speaks of the session, so that its earlier feedback is
            suspect too.
    """

    score: float
    reasons: tuple[str, ...]
    quarantined: bool
    of_session: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ShouldFixArgument(f"score={self.score!r} leaves [0, 1].")


def assess(
    incoming: Incoming,
    history: Sequence[Sent],
    now: datetime,
    crowd: Sequence[Evidence] = (),
    outlines: Outlines | None = None,
) -> QualityVerdict:
    """Judge a feedback by what its session sent before.

    Args:
        incoming: the feedback at the door.
        history: earlier feedback of the same session, newest first; the newest ``HISTORY`` count.
        now: arrival of a feedback without ``received_at``; with a time zone.
        crowd: what other sessions add (``Crowd.evidence``).
        outlines: of texts that were judged before, to be made once.
    """
    arrived = replace(incoming, received_at=incoming.received_at or now.astimezone(UTC))
    known = history[:HISTORY]
    return verdict_of((*evidence(arrived, known, outlines), *crowd), _vouched(known))


def evidence(
    incoming: Incoming, history: Sequence[Sent], outlines: Outlines | None = None
) -> tuple[Evidence, ...]:
    """Every piece of evidence, unordered."""
    events = timeline(incoming, history)
    acts = gestures(events)
    return (
        *pace(events, acts),
        *rhythm(events, acts),
        *values(events, acts),
        *texts(events, outlines),
        *client(events),
        *clock(events),
        *_standing(history),
    )


def verdict_of(pieces: Sequence[Evidence], vouched: float = 0.0) -> QualityVerdict:
    """The verdict that pieces of evidence amount to; another piece never raises the score.

    ``vouched``: log-odds that reviewers' releases take off, >= 0.
    """
    log_odds = max(0.0, total(pieces) - vouched)
    told = sorted(pieces, key=lambda piece: (-piece.weight, piece.reason))
    return QualityVerdict(
        score=human_share(log_odds),
        reasons=tuple(str(piece) for piece in told if piece.weight >= _WORTH_TELLING),
        quarantined=log_odds >= PRIOR,
        of_session=total(p for p in pieces if p.of_session) - vouched >= PRIOR,
    )


def retrospective(history: Sequence[Sent], verdict: QualityVerdict) -> tuple[str, ...]:
    """Ids of earlier feedback that a verdict makes suspect too, newest first.

    What a person released or rejected stays as they decided.
    """
    if not (verdict.quarantined and verdict.of_session):
        return ()
    return tuple(
        sent.feedback_id for sent in history[:HISTORY] if sent.status is FeedbackStatus.ACCEPTED
    )


def _vouched(history: Sequence[Sent]) -> float:
    released = sum(sent.status is FeedbackStatus.RELEASED for sent in history)
    return _VOUCHED * released / len(history) if released else 0.0


def _standing(history: Sequence[Sent]) -> tuple[Evidence, ...]:
    held = (FeedbackStatus.QUARANTINED, FeedbackStatus.REJECTED)
    suspect = sum(sent.status in held for sent in history)
    if not suspect:
        return ()
    weight = _STANDING * suspect / len(history)
    seen = f"{suspect} of the session's last {len(history)} are quarantined or rejected"
    return (Evidence(Family.STANDING, "session_suspect", weight, seen),)
