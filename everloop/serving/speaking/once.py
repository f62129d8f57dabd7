"""What is opened once for all who want it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class Once(Generic[Opened]):
    """One thing that takes long to open: whoever comes meanwhile waits for it, and for nothing else.
    Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: Opened | None = None

    def opened(self, make: Callable[[], Opened]) -> Opened:
        """What ``make`` gave; where it failed, the next one tries again."""
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = make()
        return self._opened
