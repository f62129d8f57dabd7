"""A circuit breaker: a model that keeps failing is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

FAILURES = 3
"""Consecutive failures that open a breaker."""
COOL_DOWN_S = 10.0
"""How long an open breaker keeps everyone away before it lets one request try again."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The cool-down is over: one request at a time may try."""


class CircuitBreaker:
    """Thread-safe. Whoever was admitted reports ``succeeded`` or ``failed``.

    Args:
        failures: consecutive failures that open it, >= 1.
        cool_down_s: seconds that it stays open, > 0.
        monotonic: seconds that never step back.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        cool_down_s: float = COOL_DOWN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._cool_down = cool_down_s
        self._now = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def _is_closed(self) -> bool:
        return self._opened_at is None

    @property
    def state(self) -> BreakerState:
        with self._lock:
            if self._opened_at is None:
                return BreakerState.CLOSED
            cooled = self._now() - self._opened_at >= self._cool_down
            return BreakerState.HALF_OPEN if cooled else BreakerState.OPEN

    def admits(self) -> bool:
        """Whether the model may be asked now; a half-open breaker says yes to one at a time."""
        if self._is_closed:  # no lock: every healthy decision passes here
            return True
        with self._lock:
            if self._opened_at is None:
                return True
            if self._trying or self._now() - self._opened_at < self._cool_down:
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        """The model answered: whatever was counted is forgotten."""
        if self._is_closed and self._failures == 0:
            return
        with self._lock:
            self._failures = 0
            self._opened_at = None
            self._trying = False

    def failed(self) -> bool:
        """The model failed; True when this opens the breaker."""
        with self._lock:
            self._failures += 1
            self._trying = False
            was_closed = self._opened_at is None
            if was_closed and self._failures < self._limit:
                return False
            self._opened_at = self._now()
            return was_closed
