"""A person's decision on a feedback: it teaches, or it does not, and what follows for its signals."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.feedback import FeedbackInstance, FeedbackReview, FeedbackStatus
from everloop.serving.feedback_context import Loops, spoken_of


def review(
    loops: Loops,
    feedback_id: str,
    status: FeedbackStatus,
    reason: str,
    reviewer: str,
    now: datetime,
    tenant: str,
) -> FeedbackInstance:
    """Decide on a feedback, and return it as it is then. Reads and writes the database.

    Released feedback's reward signals are stored, rejected feedback's are disputed. The same decision
    again changes nothing.

    Raises:
        ShouldNameKnownId: the tenant has no such feedback.
        ShouldFixArgument: it is to be released and speaks of a loop that is not among ``loops``.
        ShouldResolveConflict: it is to be quarantined and a person decided on it before.
    """
    store = loops.workspace.feedback
    feedback = store.feedback(feedback_id, tenant)
    about = spoken_of(loops, (feedback.log_id,), tenant)[feedback.log_id]
    if status is FeedbackStatus.RELEASED and about.spec is None:
        _refuse_unknown_loop(loops, feedback, tenant)
    # What it implies once it teaches: a rejection takes back these same signals.
    signals = about.signals(replace(feedback, status=FeedbackStatus.RELEASED))
    decided = FeedbackReview(feedback.feedback_id, status, reason, reviewer, now, tenant)
    store.review(decided, signals, reviewer)
    after = store.feedback(feedback_id, tenant)
    if after.status is not status:
        raise ShouldResolveConflict(
            f"Feedback {feedback_id} was {after.status.value} by a person.",
            "Reject it instead of quarantining it again.",
        )
    return after


def _refuse_unknown_loop(loops: Loops, feedback: FeedbackInstance, tenant: str) -> None:
    """Releasing without the loop would lose the feedback's signals."""
    if feedback.log_id is None:
        return
    episode_id = loops.workspace.feedback.interaction(feedback.log_id, tenant).episode_id
    if episode_id is None:
        return
    for loop, _ in loops.workspace.log.decided_at([episode_id], tenant).values():
        raise ShouldFixArgument(
            f"Feedback {feedback.feedback_id} speaks of a decision of loop {loop!r}, which is not "
            "loaded.",
            "Name that loop with --loop.",
        )
