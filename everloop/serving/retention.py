"""Decisions that nobody confirmed are forgotten after a while."""

from __future__ import annotations

from datetime import timedelta

from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import AuditLog, DecisionStore
from everloop.serving.looking import Looking

ACTOR = "system:retention"
_EVERY_S = 3600.0
_AGAIN_S = 60.0


class Retention(Looking):
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
        super().__init__("retention", _EVERY_S, first_s=0.0, again_s=_AGAIN_S)
        self._decisions = decisions
        self._audit = audit
        self._clock = clock
        self._keep = keep

    def look(self) -> int:
        """See ``forget``."""
        return self.forget()

    def forget(self) -> int:
        """Delete what is too old now; how many."""
        before = self._clock.now() - self._keep
        forgotten = self._decisions.forget_unconfirmed(before)
        if forgotten:
            self._audit.append(
                "default", ACTOR, "decisions.forget", f"before {before.isoformat()}", forgotten
            )
        return forgotten
