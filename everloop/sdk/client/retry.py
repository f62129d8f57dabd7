"""When a request is sent again, and how long that waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk.client.call import Call
from everloop.sdk.client.failures import Failure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential backoff with full jitter.

    Attributes:
        attempts: requests at most, the first one included.
        base, longest: seconds; before attempt n + 1 passes a random time of at most base * 2^(n-1) and
            at most ``longest``, or what ``Retry-After`` says where that is longer.
        patience: seconds of ``Retry-After`` beyond which the caller is told at once.
    """

    attempts: int = 4
    base: float = 0.2
    longest: float = 5.0
    patience: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ShouldFixArgument(f"attempts={self.attempts} is below 1.", "Give 1 or more.")
        for name in ("base", "longest", "patience"):
            if not getattr(self, name) >= 0:
                raise ShouldFixArgument(f"{name}={getattr(self, name)} is below 0.")

    def wait(self, sent: int, failure: Failure, jitter: Callable[[], float]) -> float | None:
        """Seconds before the next attempt after ``sent`` of them; ``None``: there is none."""
        if sent >= self.attempts or not failure.transient:
            return None
        asked = failure.retry_after or 0.0
        if asked > self.patience:
            return None
        return max(asked, jitter() * min(self.longest, self.base * 2.0 ** (sent - 1)))


ONCE = Retries(attempts=1)


@dataclass(frozen=True, slots=True)
class Send:
    """Step: send a request; answered with a ``Reply``."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """Step: run a function that waits for the disk; answered with what it returns."""

    work: Callable[[], Any]


Reply = bytes | Failure
"""The body of an answer that is a success, or why there is none."""

Steps = Generator[Send | Pause | Blocking, Any, T]
"""What to do, without doing it: each client carries the steps out in its own way."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends calls again until they succeed or can't."""

    retries: Retries
    jitter: Callable[[], float] = field(default=random.random)

    def send(self, call: Call[Any], retries: Retries | None = None) -> Steps[Reply]:
        """The body of the answer, or why the last attempt failed."""
        policy = retries or self.retries
        sent = 0
        while True:
            reply: Reply = yield Send(call)
            sent += 1
            if isinstance(reply, bytes) or not _may_repeat(call, reply):
                return reply
            wait = policy.wait(sent, reply, self.jitter)
            if wait is None:
                return reply
            yield Pause(wait)


def _may_repeat(call: Call[Any], failure: Failure) -> bool:
    """Whether a first request that did something would make a second one wrong."""
    return call.repeatable or failure.unsent or failure.status == 429
