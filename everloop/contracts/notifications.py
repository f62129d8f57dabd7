"""What people are told without asking: failures, holds, rollbacks, approvals that wait, budgets."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument

_NAMESPACE = uuid.UUID("2a9d8c1e-64d1-4d0a-9a63-7f2f0a0d9e31")


class NoticeKind(StrEnum):
    FAILURE = "failure"
    HOLD = "hold"
    ROLLBACK = "rollback"
    AWAITING_APPROVAL = "awaiting_approval"
    BUDGET = "budget"
    PROMOTION = "promotion"
    BREAKER = "breaker"


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

    def __post_init__(self) -> None:
        if not self.key or not self.title or "\n" in self.title or "\r" in self.title:
            raise ShouldFixArgument(
                f"Notice key={self.key!r}, title={self.title!r}: both are needed, on one line.",
                "Say what happened in one line.",
            )
        if self.at.tzinfo is None:
            raise ShouldFixArgument(f"Notice {self.key}: {self.at} has no time zone.", "Use UTC.")

    @property
    def notice_id(self) -> str:
        """UUID of the key within its tenant."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.tenant}\0{self.key}"))


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Where notices go; an empty address means not there. Secrets never show in ``repr``.

    Attributes:
        webhook_url, webhook_secret: an HTTP endpoint, and the key that its requests are signed with.
        slack_url: an incoming webhook of Slack's.
        smtp_url: ``smtp://`` (STARTTLS where offered) or ``smtps://`` ``user:password@host:port``.
        mail_from, mail_to: sender and recipients.
    """

    webhook_url: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    slack_url: str = field(default="", repr=False)
    smtp_url: str = field(default="", repr=False)
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()


class NoticeChannel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """``webhook``, ``slack`` or ``email``."""

    def send(self, notice: Notice) -> None:
        """Deliver. ``ShouldRetryLater`` where it may work later, ``ShouldFixArgument`` where it won't.

        Constraints: carries ``notice_id``, so that a receiver can tell a repetition."""


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
