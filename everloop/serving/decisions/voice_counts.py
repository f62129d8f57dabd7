"""What is counted while a voice is tried: how its answers ended in both arms, and how long its own took.

An answer that its asker did not wait for, or that too many others waited before, says nothing of a voice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from everloop.contracts.loop_spec import LoopSpec
from everloop.rollout.health import FAILED, SCREENED, SPOKEN, TRIAL
from everloop.serving.decisions.tallying import Tallies

GRACE_S = 60.0
"""How long a candidate may take to load on a worker before that counts against it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Who heard what: one question of a person while a voice is on trial.

    ``candidate``: whether the candidate answers. ``instead``: whether the active voice does, because the
    candidate could not be loaded.
    """

    rollout_id: str
    tenant: str
    candidate: bool
    instead: bool = False


class VoiceCounts:
    """Counts of one process. Thread-safe; nothing here waits for a database.

    Args:
        tallies: where they go.
        monotonic: seconds that never step back.
    """

    def __init__(self, tallies: Tallies, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tallies, self._now = tallies, monotonic
        self._unloaded: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def begun(self, spec: LoopSpec, tried: Tried) -> None:
        """A question has its voice. One that the candidate should have had, and could not be asked, is
        dropped for ``GRACE_S`` and counts as failed from then on."""
        key = (tried.tenant, tried.rollout_id)
        if tried.instead:
            with self._lock:
                since = self._unloaded.setdefault(key, self._now())
            spared = self._now() - since < GRACE_S
            self._tallies.count(
                *(spec, tried, TRIAL), asked=1, dropped=int(spared), failed=int(not spared)
            )
        elif tried.candidate:
            with self._lock:
                self._unloaded.pop(key, None)

    def said(self, spec: LoopSpec, tried: Tried, screened: bool, seconds: float) -> None:
        """An answer is complete; ``screened``: the safe sentence stands in its place."""
        how = SCREENED if screened else SPOKEN
        if tried.candidate:
            self._tallies.count(spec, tried, TRIAL, asked=1, actions=[how], seconds=seconds)
        elif not tried.instead:
            self._tallies.count(spec, tried, TRIAL, active_actions=[how])

    def failed(self, spec: LoopSpec, tried: Tried) -> None:
        """A voice gave no answer."""
        if tried.candidate:
            self._tallies.count(spec, tried, TRIAL, asked=1, failed=1)
        elif not tried.instead:
            self._tallies.count(spec, tried, TRIAL, active_actions=[FAILED])

    def dropped(self, spec: LoopSpec, tried: Tried) -> None:
        """A question was not put to its voice."""
        if tried.candidate:
            self._tallies.count(spec, tried, TRIAL, asked=1, dropped=1)
