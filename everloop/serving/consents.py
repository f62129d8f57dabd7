"""Who withdrew from what, known in this process within a second of being said anywhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Protocol, Self

from everloop.contracts.episodes import Consent
from everloop.contracts.errors import ShouldFixArgument, ShouldRespectConsent, ShouldRetryLater

SERVE = "serve"
TRAIN = "train"
PURPOSES = (SERVE, TRAIN)

STALE_S = 30.0
"""A view that could not be refreshed for this long answers nobody: consents may have changed."""

_log = logging.getLogger(__name__)


class ConsentLog(Protocol):
    """What the view asks of the event log."""

    def record_consent(self, consent: Consent, actor: str | None = None) -> None:
        """See ``EventLog``."""

    def consents_changed(
        self, after: Mapping[str, int]
    ) -> tuple[Mapping[str, int], tuple[Consent, ...]]:
        """See ``EventLog``."""


class ConsentView:
    """Withdrawals in memory, read before every use of a person's data.

    Changes made through ``record`` count at once, those of other processes after ``poll_s``. Without
    any consent, everything is allowed.

    Args:
        log: the event log of the workspace.
        poll_s: seconds between looks at the log, > 0.

    Raises:
        ShouldFixArgument: ``poll_s`` is not above 0.
    """

    def __init__(self, log: ConsentLog, poll_s: float = 1.0) -> None:
        if not poll_s > 0:
            raise ShouldFixArgument(f"poll_s={poll_s} is not above 0.", "Give seconds.")
        self._log = log
        self._poll_s = poll_s
        self._withdrawn: dict[str, set[tuple[str, str]]] = {name: set() for name in PURPOSES}
        self._known: Mapping[str, int] = {}
        self._refreshing = Lock()
        self._closed = Event()
        self._fresh_until = 0.0
        self.refresh()
        self._poller = Thread(target=self._poll, name="consents", daemon=True)
        self._poller.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop looking at the log; idempotent."""
        self._closed.set()
        self._poller.join()

    @property
    def alive(self) -> bool:
        """Whether the log is looked at."""
        return self._poller.is_alive()

    def withdrawn(self, tenant: str, person: str, purpose: str) -> bool:
        """Whether a person's newest word on a purpose is a refusal.

        Raises:
            ShouldRetryLater: the log could not be read for ``STALE_S`` seconds.
        """
        if time.monotonic() > self._fresh_until:
            raise ShouldRetryLater(
                f"Consents could not be read for {STALE_S:g} seconds.",
                "Try again; nothing is done for anyone who may have withdrawn.",
            )
        return (tenant, person) in self._withdrawn[purpose]

    def require(self, tenant: str, person: str, purpose: str) -> None:
        """Refuse what a person withdrew from.

        Args:
            person: pseudonym.
            purpose: ``serve`` or ``train``.

        Raises:
            ShouldRespectConsent: the person withdrew.
            ShouldRetryLater: as ``withdrawn`` does.
        """
        if self.withdrawn(tenant, person, purpose):
            raise ShouldRespectConsent(
                f"The person withdrew from {purpose!r}.",
                "Do without a decision or a record for this person, or ask them again.",
            )

    def record(self, consent: Consent, actor: str | None = None) -> None:
        """Record a consent durably and follow it from now on.

        Args:
            actor: who recorded it, for the audit log; ``None`` leaves no entry.

        Raises:
            ShouldFixInput: as ``EventLog.record_consent`` does.
        """
        self._log.record_consent(consent, actor)
        self.refresh()

    def refresh(self) -> None:
        """Look at the log now."""
        with self._refreshing:
            began = time.monotonic()
            known, changed = self._log.consents_changed(self._known)
            for consent in changed:
                people = self._withdrawn.get(consent.purpose)
                if people is None:
                    continue
                who = (consent.tenant, consent.user_id)
                if consent.granted:
                    people.discard(who)
                else:
                    people.add(who)
            self._known = known
            self._fresh_until = began + STALE_S

    def _poll(self) -> None:
        failing = False
        while not self._closed.wait(self._poll_s):
            try:
                self.refresh()
            except Exception:
                if not failing:
                    _log.exception("Consents cannot be read; trying again.")
                failing = True
            else:
                failing = False
