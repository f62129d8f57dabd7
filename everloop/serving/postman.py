"""A thread that puts what trials have to tell into the workspace's outbox, and sends it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from everloop.contracts.notifications import NoticeChannel
from everloop.contracts.ports import Clock
from everloop.notifications.noticing import news
from everloop.notifications.outbox import deliver
from everloop.wiring import Workspace

_EVERY_S = 15.0
_log = logging.getLogger(__name__)


class Postman:
    """Sends what is due, every few seconds. Several workers may: whoever takes a notice has it alone.

    Args:
        workspace: its outbox, and its trials.
        channels: where to; without any the thread has nothing to do and does not start.
        clock: says what is due.
        every_s: seconds between looks.
    """

    def __init__(
        self,
        workspace: Workspace,
        channels: Sequence[NoticeChannel],
        clock: Clock,
        every_s: float = _EVERY_S,
    ) -> None:
        self._workspace, self._channels, self._clock = workspace, channels, clock
        self._seen: dict[tuple[str, str], int] = {}
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="everloop-notices", daemon=True)

    def __enter__(self) -> Self:
        if self._channels:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._channels:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether notices are sent, or there is nowhere to send them."""
        return not self._channels or self._thread.is_alive()

    def look(self) -> None:
        """Queue what happened since the last look, and send what is due."""
        workspace, now = self._workspace, self._clock.now()
        names = [channel.name for channel in self._channels]
        for head in workspace.deployments.heads():
            key = (head.tenant, head.loop)
            told, self._seen[key] = news(
                workspace.deployments,
                workspace.rollouts,
                head.loop,
                now,
                self._seen.get(key, 0),
                head.tenant,
            )
            for notice in told:
                workspace.notices.queue(notice, names)
        deliver(workspace.notices, self._channels, now)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.look()
            except Exception:
                # The database is busy or away: it may be well at the next look.
                _log.warning("Notices cannot be read; trying again.", exc_info=True)
