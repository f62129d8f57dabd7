"""Decisions that nobody confirmed are forgotten after a while."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from types import TracebackType
from typing import Self

from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import AuditLog, DecisionStore

ACTOR = "system:retention"
_EVERY_S = 3600.0
_AGAIN_S = 60.0
_log = logging.getLogger(__name__)


class Retention:
    """A thread that deletes decisions older than ``keep``; episodes made from them stay.

    Several workers may run it: deleting what is gone deletes nothing.

    Args:
        decisions: where they are.
        audit: notes how many were forgotten, under the first tenant.
        clock: says how old a decision is.
        keep: how long one is kept.
    """

    def __init__(
        self, decisions: DecisionStore, audit: AuditLog, clock: Clock, keep: timedelta
    ) -> None:
        self._decisions = decisions
        self._audit = audit
        self._clock = clock
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="everloop-retention", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether somebody forgets."""
        return self._thread.is_alive()

    def forget(self) -> int:
        """Delete what is too old now; how many."""
        before = self._clock.now() - self._keep
        forgotten = self._decisions.forget_unconfirmed(before)
        if forgotten:
            self._audit.append(
                "default", ACTOR, "decisions.forget", f"before {before.isoformat()}", forgotten
            )
        return forgotten

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = _EVERY_S
            try:
                self.forget()
            except Exception:
                # Busy, full or away: it may be well in a minute.
                _log.warning("Old decisions cannot be forgotten; trying again.", exc_info=True)
                pause = _AGAIN_S
