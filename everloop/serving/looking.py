"""A thread that looks at something every few seconds, for as long as the service runs."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

_log = logging.getLogger(__name__)


class Looking(ABC):
    """Looks until it is closed; a look that fails is repeated at the next one.

    Args:
        name: of the thread, and of what is logged where a look fails.
        every_s: seconds before the first look and between looks.
        works: whether there is anything to look at; without, no thread starts.
        first_s, again_s: seconds before the first look, and after one that failed; None: ``every_s``.
    """

    def __init__(
        self,
        name: str,
        every_s: float,
        works: bool = True,
        first_s: float | None = None,
        again_s: float | None = None,
    ) -> None:
        self._name, self._every_s, self._works = name, every_s, works
        self._first_s = every_s if first_s is None else first_s
        self._again_s = every_s if again_s is None else again_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"everloop-{name}", daemon=True)

    def __enter__(self) -> Self:
        if self._works:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._works:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether it looks, or has nothing to look at."""
        return not self._works or self._thread.is_alive()

    @property
    def closing(self) -> bool:
        """Whether a look that takes long is to end where it is."""
        return self._stop.is_set()

    @abstractmethod
    def look(self) -> object:
        """Look once."""

    def _run(self) -> None:
        pause = self._first_s
        while not self._stop.wait(pause):
            pause = self._every_s
            try:
                self.look()
            except Exception:  # busy or away: it may be well at the next look
                _log.warning("A look for %s failed; trying again.", self._name, exc_info=True)
                pause = self._again_s
