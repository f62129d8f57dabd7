"""What comes before an answer reads and loads: threads of its own for it, and an end to who may wait.

A base that loads slowly, or adapters that are swapped, would otherwise take every thread from the routes
that have nothing to do with voices.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from everloop.contracts.errors import ShouldRetryLater, ShouldSlowDown

THREADS = 4
MOST = 32
"""Questions that may be begun at once: no more than may wait for a batch."""
RETRY_AFTER_S = 5.0
Made = TypeVar("Made")


class Openings:
    """Begins questions in threads of its own. Used from one event loop, closed from any thread.

    Args:
        threads: that read and load.
        most: questions that may be there at once; further ones are told to come back.
    """

    def __init__(self, threads: int = THREADS, most: int = MOST) -> None:
        self._threads, self._most = threads, most
        self._room = threading.BoundedSemaphore(most)
        self._pool = ThreadPoolExecutor(threads, "opening-voices")

    async def run(self, begin: Callable[[], Made], timeout_s: float) -> Made:
        """What ``begin`` gives, or raises.

        Raises:
            ShouldSlowDown: too many are being begun already.
            ShouldRetryLater: it took longer than ``timeout_s``, or the service ends. What is loaded by
                then goes on loading, for the next question.
        """
        if not self._room.acquire(blocking=False):
            raise ShouldSlowDown(
                f"{self._most} questions wait for their voice to be opened already.",
                "Ask again later, with the same log_id.",
                retry_after=RETRY_AFTER_S,
            )
        under_way = self._submitted(begin)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(under_way)
        except TimeoutError:
            raise ShouldRetryLater(
                "The voice is being opened since long.", "Ask again.", retry_after=RETRY_AFTER_S
            ) from None
        except asyncio.CancelledError:
            if not _cancelled_here():
                raise _ends() from None
            raise

    def close(self) -> None:
        """Begin nothing any more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submitted(self, begin: Callable[[], Made]) -> Future[Made]:
        try:
            under_way = self._pool.submit(begin)
        except RuntimeError:
            self._room.release()
            raise _ends() from None
        # Whoever stops waiting leaves a thread that works on: its place is taken until it ends.
        under_way.add_done_callback(lambda _: self._room.release())
        return under_way


def _cancelled_here() -> bool:
    """Whether who waits is cancelled, and not what they wait for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _ends() -> ShouldRetryLater:
    return ShouldRetryLater("The service ends.", "Ask again in a moment.")
