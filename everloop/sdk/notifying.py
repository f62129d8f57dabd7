"""Telling people what a run or a trial came to, through the channels that the environment names."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop import settings
from everloop.contracts.notifications import Notice, NoticeChannel, QueuedNotice
from everloop.notifications.channels import channels_of
from everloop.notifications.outbox import Delivered, deliver
from everloop.wiring import Workspace


def configured() -> tuple[NoticeChannel, ...]:
    """The channels that the environment names; none where it names nothing.

    Raises:
        ShouldFixArgument, ShouldProvideKey: as ``settings.notifications``.
    """
    return channels_of(settings.notifications())


def queue(workspace: Workspace, *notices: Notice | None) -> int:
    """Put notices in the outbox; how many are new. A running service sends them.

    ``None`` is nothing to tell. Without any channel nothing is queued: it would wait for ever, and all be
    told on the day when one is named.
    """
    names = [channel.name for channel in configured()]
    return sum(
        workspace.notices.queue(notice, names) for notice in notices if notice is not None and names
    )


def tell(workspace: Workspace, *notices: Notice | None) -> Delivered:
    """Put notices in the outbox and send what is due; what can't be sent now stays in it."""
    queue(workspace, *notices)
    return deliver_due(workspace)


def deliver_due(workspace: Workspace, limit: int = 20) -> Delivered:
    """Send what is due."""
    return deliver(workspace.notices, configured(), datetime.now(UTC), limit)


def outbox(
    workspace: Workspace, limit: int = 50, tenant: str = "default"
) -> tuple[QueuedNotice, ...]:
    """What was queued, newest first, and what became of it."""
    return workspace.notices.queued(limit, tenant)
