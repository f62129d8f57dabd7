"""What a review does to feedback and to the reward signals that came of it.

Released feedback teaches: its signals are stored, and nothing that a review did holds them. Rejected
feedback doesn't: its stored signals are disputed (``upheld``). Quarantining feedback that was accepted
holds them while it waits for a person (``open``). A dispute by the person themselves outlives all that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from everloop.contracts.episodes import RewardSignal
from everloop.contracts.errors import ShouldFixFeedback, ShouldNameKnownId
from everloop.contracts.feedback import FeedbackReview, FeedbackStatus
from everloop.storage.service_tables import feedback, feedback_reviews
from everloop.storage.sql import ingest_counters as counters
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.implied_signals import hold, lift, store_signals

REVIEWS = "reviews"
"""The counter that numbers a tenant's reviews."""

_ACTIONS = {
    FeedbackStatus.RELEASED: "feedback.release",
    FeedbackStatus.REJECTED: "feedback.reject",
    FeedbackStatus.QUARANTINED: "feedback.quarantine",
}


def apply_review(
    connection: Connection,
    review: FeedbackReview,
    signals: Sequence[RewardSignal],
    actor: str,
    now: datetime,
) -> None:
    """Append a review with all that follows from it, and an audit entry; a repetition adds nothing.

    ``quarantined`` changes accepted feedback alone: what a person has decided stays decided.

    Args:
        connection: of ``writing(engine)``.
        review: ``released``, ``rejected`` or ``quarantined``.
        signals: what the feedback implies; those that are stored already stay as they are.
        actor: who reviews, for the audit log.
        now: the ingest clock.

    Raises:
        ShouldFixFeedback: the review's status is ``accepted``.
        ShouldNameKnownId: the tenant has no such feedback.
        ShouldFixSignal: a signal is another tenant's, or its episode is unknown.
    """
    if review.status not in _ACTIONS:
        raise ShouldFixFeedback(
            f"Feedback {review.feedback_id}: a review can't make it {review.status.value!r}.",
            f"Use one of {', '.join(status.value for status in _ACTIONS)}.",
        )
    before = _status(connection, review)
    if review.status is FeedbackStatus.QUARANTINED and before not in {
        FeedbackStatus.ACCEPTED,
        FeedbackStatus.QUARANTINED,
    }:
        return
    detail: dict[str, str | int] = {"before": str(before)}
    reviews = _append(connection, review)
    if review.status is FeedbackStatus.RELEASED:
        rows, numbers = store_signals(connection, review.tenant, signals, now)
        if rows:
            detail["signals"] = numbers
        ruled = lift(connection, review, signals)
    else:
        rows = 0
        ruled = hold(connection, review, signals)
    if ruled:
        detail["disputes"] = ruled
    if touched := reviews + rows + ruled:
        append_audit(
            connection,
            review.tenant,
            actor,
            _ACTIONS[review.status],
            review.feedback_id,
            touched,
            detail,
            now,
        )


def _status(connection: Connection, review: FeedbackReview) -> FeedbackStatus:
    status = connection.scalar(
        select(feedback.c.status).where(
            feedback.c.tenant == review.tenant, feedback.c.feedback_id == review.feedback_id
        )
    )
    if status is None:
        raise ShouldNameKnownId(
            f"Tenant {review.tenant!r} has no feedback {review.feedback_id!r}.",
            "Give the id of one that was logged.",
        )
    return FeedbackStatus(status)


def _append(connection: Connection, review: FeedbackReview) -> int:
    """Append the review unless the newest says the same; how many rows that is."""
    row = {
        "status": str(review.status),
        "reason": review.reason,
        "reviewer": review.reviewer,
    }
    newest = connection.execute(
        select(*(feedback_reviews.c[name] for name in row))
        .where(
            feedback_reviews.c.tenant == review.tenant,
            feedback_reviews.c.feedback_id == review.feedback_id,
        )
        .order_by(feedback_reviews.c.revision.desc())
        .limit(1)
    ).first()
    if newest is not None and newest._asdict() == row:
        return 0
    connection.execute(
        insert(feedback_reviews).values(
            tenant=review.tenant,
            revision=counters.advance(connection, review.tenant, REVIEWS, 1),
            feedback_id=review.feedback_id,
            recorded_at=review.recorded_at,
            **row,
        )
    )
    connection.execute(
        update(feedback)
        .where(feedback.c.tenant == review.tenant, feedback.c.feedback_id == review.feedback_id)
        .values(status=str(review.status))
    )
    return 1
