"""Sessions of feedback, and what becomes of them: judged one by one, with hindsight."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random

from everloop.contracts.feedback import FeedbackStatus
from everloop.feedback.quality import HISTORY, assess, retrospective
from everloop.feedback.quality_records import Incoming, Sent


@dataclass(frozen=True, slots=True)
class Session:
    """One sender's feedback in the order of its arrival; ``kind`` is what made it."""

    kind: str
    sent: tuple[Incoming, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a session.

    Attributes:
        at_door: how many were quarantined as they came.
        in_the_end: how many are quarantined after hindsight.
        first: how many had come when the first was quarantined; ``None``: none ever was.
        reasons: names of reasons at the first quarantine.
    """

    kind: str
    n: int
    at_door: int
    in_the_end: int
    first: int | None
    reasons: tuple[str, ...]


def replay(session: Session) -> Outcome:
    """Send a session through the door."""
    history: list[Sent] = []
    at_door, first, reasons = 0, None, ()
    for index, incoming in enumerate(session.sent):
        if incoming.received_at is None:
            raise ValueError(f"{session.kind}: feedback {index} has no arrival.")
        verdict = assess(incoming, history[:HISTORY], incoming.received_at)
        for feedback_id in retrospective(history[:HISTORY], verdict):
            at = next(i for i, sent in enumerate(history) if sent.feedback_id == feedback_id)
            history[at] = replace(history[at], status=FeedbackStatus.QUARANTINED)
        at_door += verdict.quarantined
        if verdict.quarantined and first is None:
            first = index + 1
            reasons = tuple(reason.partition(":")[0] for reason in verdict.reasons)
        status = FeedbackStatus.QUARANTINED if verdict.quarantined else FeedbackStatus.ACCEPTED
        history.insert(0, _stored(incoming, str(index), status))
    held = sum(sent.status is FeedbackStatus.QUARANTINED for sent in history)
    return Outcome(session.kind, len(history), at_door, held, first, reasons)


def made_id(random: Random) -> str:
    """A UUID that the generator's seed decides."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _stored(incoming: Incoming, feedback_id: str, status: FeedbackStatus) -> Sent:
    given = {field.name: getattr(incoming, field.name) for field in fields(Incoming)}
    return Sent(feedback_id=feedback_id, status=status, **given)


def held_share(outcomes: Sequence[Outcome]) -> float:
    """Share of all feedback that ends in quarantine."""
    return sum(o.in_the_end for o in outcomes) / sum(o.n for o in outcomes)
