"""What is sent at once, what waits in the buffer, and in which order it is delivered."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from everloop.contracts.errors import EverloopError, ShouldUpdateClient
from everloop.sdk.client.buffer import Buffer, Waiting
from everloop.sdk.client.call import Call
from everloop.sdk.client.failures import Failure
from everloop.sdk.client.reading import json_of
from everloop.sdk.client.retry import ONCE, Blocking, Reply, Retries, Sender, Steps

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between deliveries that log calls try on their way."""
_ON_THE_WAY = 200
"""Entries at most that a log call delivers before its own."""
MOST_FAULTS = 20
"""Times that the service may fail at an entry (500) before it is put aside."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a delivery did.

    Attributes:
        delivered: requests that the service has stored.
        refused: requests that it will not take; ``buffer.refused()`` says why.
        left: requests that still wait.
        problem: why it stopped; ``None`` when nothing is left, or another client is delivering.
    """

    delivered: int = 0
    refused: int = 0
    left: int = 0
    problem: EverloopError | None = None


class Delivery:
    """Records reach the service in the order in which they were logged, now or later."""

    def __init__(
        self, sender: Sender, buffer: Buffer | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sender = sender
        self._buffer = buffer
        self._clock = clock
        self._pause = FIRST_PAUSE_S
        self._not_before = -float("inf")

    def ask(self, call: Call[T]) -> Steps[T]:
        """Send a request that is of use only now.

        Raises:
            EverloopError: as the service answered, or ``ShouldRetryLater``.
        """
        return _read(call, (yield from self._sender.send(call)))

    def ask_or(self, call: Call[T], offline: Callable[[], T]) -> Steps[T]:
        """As ``ask``, with something else where the service can't be asked."""
        reply: Reply = yield from self._sender.send(call)
        if isinstance(reply, Failure) and reply.transient and reply.status != 429:
            return offline()
        return _read(call, reply)

    def store(self, call: Call[T]) -> Steps[T]:
        """Send records, behind those that wait; keep them here where the service can't be told.

        Raises:
            EverloopError: the service refused them, or the buffer has no room.
        """
        buffer = self._buffer
        if buffer is None or call.kept is None:
            return (yield from self.ask(call))
        if (yield Blocking(buffer.first)) is not None:
            if self._clock() >= self._not_before:
                yield from self._deliver(buffer, ONCE, _ON_THE_WAY)
            if (yield Blocking(buffer.first)) is not None:
                return (yield from _keep(buffer, call, call.kept))
        reply: Reply = yield from self._sender.send(call)
        if isinstance(reply, Failure) and reply.transient:
            self._back_off(reply)
            return (yield from _keep(buffer, call, call.kept))
        return _read(call, reply)

    def flush(self) -> Steps[Flushed]:
        """Deliver what waits, in order, until the service can't be told."""
        if self._buffer is None:
            return Flushed()
        return (yield from self._deliver(self._buffer, self._sender.retries, None))

    def _deliver(self, buffer: Buffer, retries: Retries, most: int | None) -> Steps[Flushed]:
        delivered = refused = 0
        problem: EverloopError | None = None
        with buffer.delivering() as mine:
            while mine and (most is None or delivered + refused < most):
                entry: Waiting | None = yield Blocking(buffer.first)
                if entry is None:
                    yield Blocking(buffer.tidy)
                    break
                reply: Reply = yield from self._sender.send(_call(entry), retries)
                failure = _failure(reply)
                if failure is None:
                    yield Blocking(functools.partial(buffer.delivered, entry.sequence))
                    self._pause, self._not_before = FIRST_PAUSE_S, -float("inf")
                    delivered += 1
                elif (yield from _put_aside(buffer, entry, failure)):
                    refused += 1
                else:
                    self._back_off(failure)
                    problem = failure.error
                    break
        left: int = yield Blocking(buffer.__len__)
        return Flushed(delivered, refused, left, problem)

    def _back_off(self, failure: Failure) -> None:
        self._not_before = self._clock() + max(self._pause, failure.retry_after or 0.0)
        self._pause = min(LONGEST_PAUSE_S, self._pause * 2)


def _keep(buffer: Buffer, call: Call[T], kept: T) -> Steps[T]:
    yield Blocking(lambda: buffer.append(call))
    return kept


def _put_aside(buffer: Buffer, entry: Waiting, failure: Failure) -> Steps[bool]:
    """Whether the entry is out of the way of those behind it."""
    faulty = failure.status == 500
    if faulty:
        yield Blocking(lambda: buffer.failed(entry.sequence))
    if not failure.final and not (faulty and entry.faults + 1 >= MOST_FAULTS):
        return False
    yield Blocking(lambda: buffer.refuse(entry.sequence, failure.error))
    return True


def _call(entry: Waiting) -> Call[object]:
    return Call("POST", entry.path, entry.path, json_of, body=entry.body)


def _failure(reply: Reply) -> Failure | None:
    """A success counts only when it is the service's: a hotel's login page is a success, too."""
    if isinstance(reply, Failure):
        return reply
    try:
        json_of(reply)
    except ShouldUpdateClient as problem:
        return Failure(problem, 200)
    return None


def _read(call: Call[T], reply: Reply) -> T:
    if isinstance(reply, Failure):
        raise reply.error
    return call.read(reply)
