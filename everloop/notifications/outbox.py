"""Sending what is due, and trying again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from everloop.contracts.errors import EverloopError, ShouldWait
from everloop.contracts.notifications import NoticeChannel, QueuedNotice
from everloop.contracts.rollout_ports import NoticeStore

MOST_ATTEMPTS = 12
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(hours=6)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of the notices that were due."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0


def deliver(
    store: NoticeStore, channels: Sequence[NoticeChannel], now: datetime, limit: int = 20
) -> Delivered:
    """Send up to ``limit`` notices that are due; never raises for one that can't be sent.

    One whose channel is no longer configured is given up. A process that dies between sending and
    writing it down sends again: receivers tell by ``notice_id``.
    """
    known = {channel.name: channel for channel in channels}
    sent = failed = given_up = 0
    for queued in store.due(now, limit):
        channel = known.get(queued.channel)
        if channel is None:
            store.failed(queued.notice_id, queued.channel, "This channel is not configured.", None)
            given_up += 1
            continue
        try:
            channel.send(queued.notice)
        except EverloopError as problem:
            again = again_at(queued, problem, now)
            store.failed(queued.notice_id, queued.channel, problem.message, again)
            _LOG.warning("Notice %s: %s", queued.notice_id, problem.message)
            failed, given_up = failed + (again is not None), given_up + (again is None)
        else:
            store.sent(queued.notice_id, queued.channel, now)
            sent += 1
    return Delivered(sent, failed, given_up)


def again_at(queued: QueuedNotice, problem: EverloopError, now: datetime) -> datetime | None:
    """When a failed notice is tried again: 30 s doubled with every attempt, at most 6 hours, and not
    before the receiver asks; None where it won't work, or was tried ``MOST_ATTEMPTS`` times."""
    attempts = queued.attempts + 1
    if not isinstance(problem, ShouldWait) or attempts >= MOST_ATTEMPTS:
        return None
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * (1 << (attempts - 1)))
    return now + max(wait, timedelta(seconds=problem.retry_after))
