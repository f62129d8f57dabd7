"""A thread that puts what trials have to tell into the workspace's outbox, and sends it."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.contracts.notifications import NoticeChannel
from everloop.contracts.ports import Clock
from everloop.notifications.noticing import news
from everloop.notifications.outbox import deliver
from everloop.serving.looking import Looking
from everloop.wiring import Workspace

_EVERY_S = 15.0


class Postman(Looking):
    """Sends what is due; see ``Looking``. Several workers may: whoever takes a notice has it alone.

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
        super().__init__("notices", every_s, works=bool(channels))

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
