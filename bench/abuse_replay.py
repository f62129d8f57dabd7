"""Sessions of feedback, and what becomes of them: judged one by one, with hindsight."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from random import Random

from everloop.contracts.feedback import FeedbackStatus
from everloop.feedback.quality import HISTORY, assess, retrospective
from everloop.feedback.quality_crowd import Crowd
from everloop.feedback.quality_evidence import Evidence
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
    """Send one session through the door, alone."""
    return replay_together((session,))[0]


def replay_together(sessions: Sequence[Session]) -> tuple[Outcome, ...]:
    """Send sessions of one product through the door, in the order of arrival."""
    doors = [_Door(session) for session in sessions]
    arrivals = [
        (_arrival(incoming, session.kind), which, index)
        for which, session in enumerate(sessions)
        for index, incoming in enumerate(session.sent)
    ]
    crowd = Crowd()
    for moment, which, index in sorted(arrivals):
        door, feedback_id = doors[which], f"{which}:{index}"
        incoming = door.session.sent[index]
        pieces, fleet = crowd.evidence(str(which), "default", incoming)
        if door.admit(feedback_id, incoming, moment, pieces):
            for suspect in fleet:
                doors[int(suspect.partition(":")[0])].hold(suspect)
        crowd.observe(feedback_id, str(which), "default", incoming)
    return tuple(door.outcome() for door in doors)


class _Door:
    """What the service remembers of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.history: list[Sent] = []
        self.at_door = 0
        self.first: int | None = None
        self.reasons: tuple[str, ...] = ()

    def admit(
        self, feedback_id: str, incoming: Incoming, now: datetime, crowd: Sequence[Evidence]
    ) -> bool:
        verdict = assess(incoming, self.history[:HISTORY], now, crowd)
        for suspect in retrospective(self.history[:HISTORY], verdict):
            self.hold(suspect)
        self.at_door += verdict.quarantined
        if verdict.quarantined and self.first is None:
            self.first = len(self.history) + 1
            self.reasons = tuple(reason.partition(":")[0] for reason in verdict.reasons)
        status = FeedbackStatus.QUARANTINED if verdict.quarantined else FeedbackStatus.ACCEPTED
        self.history.insert(0, _stored(incoming, feedback_id, status))
        return verdict.quarantined

    def hold(self, feedback_id: str) -> None:
        for at, sent in enumerate(self.history):
            if sent.feedback_id == feedback_id:
                self.history[at] = replace(sent, status=FeedbackStatus.QUARANTINED)

    def outcome(self) -> Outcome:
        held = sum(sent.status is FeedbackStatus.QUARANTINED for sent in self.history)
        return Outcome(
            self.session.kind, len(self.history), self.at_door, held, self.first, self.reasons
        )


def _arrival(incoming: Incoming, kind: str) -> datetime:
    if incoming.received_at is None:
        raise ValueError(f"{kind}: a feedback has no arrival.")
    return incoming.received_at


def made_id(random: Random) -> str:
    """A UUID that the generator's seed decides."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def _stored(incoming: Incoming, feedback_id: str, status: FeedbackStatus) -> Sent:
    given = {field.name: getattr(incoming, field.name) for field in fields(Incoming)}
    return Sent(feedback_id=feedback_id, status=status, **given)


def held_share(outcomes: Sequence[Outcome]) -> float:
    """Share of all feedback that ends in quarantine."""
    return sum(o.in_the_end for o in outcomes) / sum(o.n for o in outcomes)
