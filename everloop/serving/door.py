"""Between the event loop and the writer's thread: requests wait for their commit without a thread each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from everloop.contracts.errors import EverloopError
from everloop.contracts.serving import Receipt, Submission
from everloop.storage.sql.group_commit import GroupCommit

Outcome = Receipt | EverloopError


class Door:
    """Stores submissions from one event loop.

    Args:
        queue: the process's group commit.
    """

    def __init__(self, queue: GroupCommit) -> None:
        self._queue = queue
        self._loop: asyncio.AbstractEventLoop | None = None

    async def store(self, submission: Submission) -> Receipt:
        """Store a submission; returns once it is durable.

        Raises:
            EverloopError: as ``IngestQueue`` says.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Receipt] = loop.create_future()
        self._queue.enqueue(submission, self._settled, waiter)
        return await waiter

    def _settled(self, outcomes: Sequence[tuple[asyncio.Future[Receipt], Outcome]]) -> None:
        if self._loop is None or self._loop.is_closed():
            return  # nobody waits any more; what was stored is stored
        self._loop.call_soon_threadsafe(self._wake, outcomes)

    @staticmethod
    def _wake(outcomes: Sequence[tuple[asyncio.Future[Receipt], Outcome]]) -> None:
        for waiter, outcome in outcomes:
            if waiter.done():  # its client has gone
                continue
            if isinstance(outcome, Receipt):
                waiter.set_result(outcome)
            else:
                waiter.set_exception(outcome)
