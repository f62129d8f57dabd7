"""What people are told without asking: failures, holds, rollbacks, approvals that wait, budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from everloop.contracts.episodes import Json


class NoticeKind(StrEnum):
    FAILURE = "failure"
    HOLD = "hold"
    ROLLBACK = "rollback"
    AWAITING_APPROVAL = "awaiting_approval"
    BUDGET = "budget"
    PROMOTION = "promotion"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell.

    ``key``: says what happened; the same key is told once, however often it is noticed. ``facts``: small
    machine-readable details without people in them.
    """

    key: str
    kind: NoticeKind
    loop: str
    title: str
    body: str
    at: datetime
    facts: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class QueuedNotice:
    """A notice on its way through one channel (``webhook``, ``slack``, ``email``).

    ``state``: ``queued``, ``sent`` or ``given_up``.
    """

    notice_id: str
    channel: str
    notice: Notice
    state: str
    attempts: int
    last_error: str = ""
    next_attempt_at: datetime | None = None
    sent_at: datetime | None = None
