"""Feedback at the door: joined with its interaction, judged by its session, and stored with its signals."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import Caller
from everloop.contracts.episodes import RewardSignal, canonical_json
from everloop.contracts.errors import ShouldFixFeedback, ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.feedback import FeedbackInstance, FeedbackReview, FeedbackStatus
from everloop.contracts.serving import Submission
from everloop.feedback.capture import Received, SentFeedback, capture, receive
from everloop.feedback.quality import assess, retrospective
from everloop.feedback.quality_records import HISTORY, sent_of
from everloop.feedback.quality_text import Outlines
from everloop.serving.feedback_context import spoken_of
from everloop.serving.service import Service

REVIEWER = "everloop:quality"
"""Who quarantines earlier feedback of a session, or of a fleet of them, that gave itself away later."""

_GIVEN_AWAY = "session_suspect: later feedback of the session or its fleet looks like a machine's"


@dataclass(frozen=True, slots=True)
class Taken:
    """A feedback as it is stored, with the reward signals that it implies."""

    feedback: FeedbackInstance
    signals: tuple[RewardSignal, ...]


async def take_feedback(
    service: Service, caller: Caller, sent: Sequence[SentFeedback], now: datetime
) -> tuple[Taken, ...]:
    """Store feedback, all or none, and return it in the order given.

    What was stored before is answered as it was judged then. Feedback that looks like a machine's is
    stored as quarantined, and so is earlier feedback of a session or a fleet that gives itself away.

    Args:
        sent: of the caller's tenant.
        now: its arrival.

    Raises:
        ShouldFixFeedback: a value is malformed, or an interaction is unknown.
        ShouldAskForScope: an interaction is another tenant's.
        ShouldResolveConflict: an id was used with another payload.
        ShouldRetryLater: the queue is full.
    """
    judged = await run_in_threadpool(_judge, service, caller.tenant, sent, now)
    fresh = judged.fresh()
    if not fresh:
        return judged.taken()
    submission = Submission(
        caller.tenant,
        caller.actor,
        feedback=tuple(taken.feedback for taken in fresh),
        signals=tuple(signal for taken in fresh for signal in taken.signals),
    )
    try:
        receipt = await service.door.store(submission)
    except ShouldResolveConflict:
        # The same feedback, sent twice at once, may have been judged differently.
        judged = await run_in_threadpool(_judge, service, caller.tenant, sent, now)
        if judged.fresh():
            raise
        return judged.taken()
    held = 0
    if judged.suspect:
        suspect = tuple(judged.suspect)
        held = await run_in_threadpool(_quarantine, service, caller.tenant, suspect, now)
    if not receipt.replayed:
        held += sum(each.feedback.status is FeedbackStatus.QUARANTINED for each in fresh)
    service.requests.quarantined.inc(held)
    if receipt.replayed:
        judged = await run_in_threadpool(_judge, service, caller.tenant, sent, now)
    return judged.taken()


@dataclass(slots=True)
class _Judged:
    """What a request's feedback became.

    Attributes:
        order: ids in the request's order.
        by_id: each feedback once.
        new: ids of what was not stored before.
        suspect: ids of stored feedback that the request made suspect.
    """

    order: list[str] = field(default_factory=list)
    by_id: dict[str, Taken] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    suspect: dict[str, None] = field(default_factory=dict)

    def taken(self) -> tuple[Taken, ...]:
        return tuple(self.by_id[each] for each in self.order)

    def fresh(self) -> tuple[Taken, ...]:
        return tuple(taken for each, taken in self.by_id.items() if each in self.new)

    def add(self, taken: Taken, new: bool) -> None:
        feedback_id = taken.feedback.feedback_id
        self.by_id[feedback_id] = taken
        if new:
            self.new.add(feedback_id)

    def hold(self, feedback_id: str) -> None:
        """Earlier feedback is suspect: hold it before it is stored, or note it."""
        if feedback_id not in self.new:
            self.suspect[feedback_id] = None
            return
        feedback = self.by_id[feedback_id].feedback
        if feedback.status is FeedbackStatus.QUARANTINED:
            return
        held = replace(
            feedback,
            status=FeedbackStatus.QUARANTINED,
            quality_reasons=(*feedback.quality_reasons, _GIVEN_AWAY),
        )
        self.by_id[feedback_id] = Taken(held, ())

    def now(self, feedback: FeedbackInstance) -> FeedbackInstance:
        """A feedback as it stands by now."""
        taken = self.by_id.get(feedback.feedback_id)
        return feedback if taken is None else taken.feedback


def _judge(service: Service, tenant: str, sent: Sequence[SentFeedback], now: datetime) -> _Judged:
    spoken = spoken_of(service, (one.log_id for one in sent), tenant)
    arrived = [receive(one, spoken[one.log_id].interaction, now) for one in sent]
    store = service.workspace.feedback
    stored = store.known([one.identity for one in sent], tenant)
    fresh = {one.session_id for one in arrived if one.sent.identity not in stored}
    histories = dict(store.session_histories(sorted(fresh), HISTORY, tenant)) if fresh else {}
    judged, outlines = _Judged(), Outlines()
    for received in arrived:
        identity, session = received.sent.identity, received.session_id
        about = spoken[received.sent.log_id]
        judged.order.append(identity)
        known = judged.by_id.get(identity)
        if known is None and identity in stored:
            known = Taken(stored[identity], about.signals(stored[identity]))
        if known is not None:
            _refuse_conflict(received, known.feedback)
            judged.add(known, new=identity in judged.new)
            continue
        before = histories.get(session, ())
        history = tuple(sent_of(each) for each in before)
        incoming = received.incoming
        evidence, fleet = service.crowd.evidence(session, tenant, incoming)
        verdict = assess(incoming, history, now, evidence, outlines)
        feedback = capture(received, verdict, dwell_seconds=about.dwell_seconds)
        judged.add(Taken(feedback, about.signals(feedback)), new=True)
        service.crowd.observe(feedback.feedback_id, session, tenant, incoming)
        for earlier in (*retrospective(history, verdict), *(fleet if verdict.quarantined else ())):
            judged.hold(earlier)
        told = (feedback, *before)[:HISTORY]
        histories[session] = tuple(judged.now(each) for each in told)
    return judged


def _refuse_conflict(received: Received, stored: FeedbackInstance) -> None:
    """A replay says what was said; anything else under the same id is a conflict."""
    sent = received.sent
    said = (
        (sent.log_id, stored.log_id),
        (received.user_id, stored.user_id),
        (received.session_id, stored.session_id),
        (sent.timestamp, stored.timestamp),
        (sent.feedback_type, stored.feedback_type),
        (sent.target_element, stored.target_element),
        (canonical_json(sent.raw_value), canonical_json(stored.raw_value)),
        (sent.target, stored.target),
        (dict(sent.client), dict(stored.client)),
    )
    if any(now != before for now, before in said):
        raise ShouldResolveConflict(
            f"Feedback {stored.feedback_id} was stored with another payload.",
            "Send another feedback under an id of its own.",
        )


def _quarantine(service: Service, tenant: str, feedback_ids: Sequence[str], now: datetime) -> int:
    """Hold stored feedback; how much of it was not held before."""
    held = 0
    for feedback_id in feedback_ids:
        with contextlib.suppress(ShouldNameKnownId, ShouldFixFeedback):  # erased meanwhile
            held += _hold(service, tenant, feedback_id, now)
    return held


def _hold(service: Service, tenant: str, feedback_id: str, now: datetime) -> bool:
    feedback = service.workspace.feedback.feedback(feedback_id, tenant)
    if feedback.status is not FeedbackStatus.ACCEPTED:
        return False
    about = spoken_of(service, (feedback.log_id,), tenant)[feedback.log_id]
    review = FeedbackReview(
        feedback_id=feedback_id,
        status=FeedbackStatus.QUARANTINED,
        reason=_GIVEN_AWAY,
        reviewer=REVIEWER,
        recorded_at=now,
        tenant=tenant,
    )
    service.workspace.feedback.review(review, about.signals(feedback), REVIEWER)
    return True
