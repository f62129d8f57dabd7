"""What this process has counted of candidates, and how it reaches the workspace.

Counts of four hours make one tally; then a new one begins under another worker's name, so that whoever
judges the candidate can tell these hours from the month before. What a process counted since it last
flushed is lost with it when it is killed.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollout_ports import TallyStore
from everloop.contracts.rollouts import TrialTally

EDGES_MS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Edges of the latency histogram; a loop's own limits join them, so that they are judged exactly."""
VOICE_EDGES_MS = (10_000, 20_000, 60_000)
"""Further ones of a loop with a voice, which takes longer to answer."""
STINT_S = 4 * 3600.0
"""After so long a tally is closed and another one begins."""


class OnTrial(Protocol):
    """Names a trial, as its record does."""

    @property
    def rollout_id(self) -> str: ...

    @property
    def tenant(self) -> str: ...


def edges_of(spec: LoopSpec) -> tuple[float, ...]:
    """Upper edges of a loop's latency histogram in milliseconds; what is slower is in "inf"."""
    terms = spec.rollout
    limits = [terms.shadow.max_p99_ms, terms.hard_limits.max_p99_ms]
    if spec.voice is not None:
        limits += [*VOICE_EDGES_MS, terms.hard_limits.max_voice_p99_ms]
    return tuple(sorted({float(edge) for edge in (*EDGES_MS, *limits)}))


@dataclass(slots=True)
class _Counts:
    rollout_id: str
    phase: str
    tenant: str
    worker: str
    edges: tuple[float, ...]
    began: float
    changes: int = 0
    stored: int = 0
    asked: int = 0
    failed: int = 0
    invalid: int = 0
    dropped: int = 0
    agreed: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    active_actions: Counter[str] = field(default_factory=Counter)
    latency: Counter[str] = field(default_factory=Counter)

    def tally(self) -> TrialTally:
        return TrialTally(
            rollout_id=self.rollout_id,
            phase=self.phase,
            worker=self.worker,
            tenant=self.tenant,
            asked=self.asked,
            failed=self.failed,
            invalid=self.invalid,
            dropped=self.dropped,
            agreed=self.agreed,
            actions=dict(self.actions),
            active_actions=dict(self.active_actions),
            latency=dict(self.latency),
        )


class Tallies:
    """Thread-safe counts of one process, by rollout and phase.

    Args:
        monotonic: seconds that never step back.
        worker: this process's name; unique by default, so that a restarted one has another.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, worker: str | None = None
    ) -> None:
        self._now = monotonic
        self._worker = worker or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stints = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._counts: dict[tuple[str, str, str], _Counts] = {}
        self._totals: dict[tuple[str, str], Counter[str]] = {}

    def count(
        self,
        spec: LoopSpec,
        trial: OnTrial,
        phase: str,
        *,
        asked: int = 0,
        failed: int = 0,
        invalid: int = 0,
        dropped: int = 0,
        agreed: int = 0,
        actions: Iterable[str] = (),
        active_actions: Iterable[str] = (),
        seconds: float | None = None,
    ) -> None:
        """Add to a trial's counts; see ``TrialTally``. ``invalid`` answers are no ``failed`` ones.

        ``actions``, ``active_actions``: the most likely ones, exploration aside: a policy that has
        collapsed still explores. ``seconds``: how long one call of the candidate took, whatever number
        of questions it answered: they all waited for it together.
        """
        with self._lock:
            counts = self._of(spec, trial, phase)
            counts.changes += 1
            counts.asked += asked
            counts.failed += failed
            counts.invalid += invalid
            counts.dropped += dropped
            counts.agreed += agreed
            counts.actions.update(actions)
            counts.active_actions.update(active_actions)
            if seconds is not None:
                place = bisect_left(counts.edges, seconds * 1000.0)
                edge = repr(counts.edges[place]) if place < len(counts.edges) else "inf"
                counts.latency[edge] += 1
            total = self._totals.setdefault((spec.name, phase), Counter())
            total.update(
                asked=asked, failed=failed, invalid=invalid, dropped=dropped, agreed=agreed
            )

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """Loop and phase -> what was counted since the process began, over all trials and tenants."""
        with self._lock:
            return {key: dict(total) for key, total in self._totals.items()}

    def taken(self) -> tuple[TrialTally, ...]:
        """What was counted by the tallies that are not closed yet."""
        with self._lock:
            return tuple(counts.tally() for counts in self._counts.values())

    def flush(self, store: TallyStore, now: datetime) -> int:
        """Store what has changed since the last time; how many tallies that was.

        What could not be stored is stored the next time. Raises what the store raises.
        """
        stored = 0
        with self._flushing:
            with self._lock:
                changed = [
                    (key, counts, counts.changes, counts.tally())
                    for key, counts in self._counts.items()
                    if counts.changes != counts.stored
                ]
            for _, counts, changes, tally in changed:
                store.add(tally, now)
                counts.stored = changes
                stored += 1
            with self._lock:
                old = self._now() - STINT_S
                for key, counts in list(self._counts.items()):
                    if counts.began <= old and counts.changes == counts.stored:
                        del self._counts[key]
        return stored

    def _of(self, spec: LoopSpec, trial: OnTrial, phase: str) -> _Counts:
        key = (trial.tenant, trial.rollout_id, phase)
        found = self._counts.get(key)
        if found is None:
            self._stints += 1
            found = self._counts[key] = _Counts(
                rollout_id=trial.rollout_id,
                phase=phase,
                tenant=trial.tenant,
                worker=f"{self._worker}:{self._stints}",
                edges=edges_of(spec),
                began=self._now(),
            )
        return found
