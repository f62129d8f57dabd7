"""What the engine notes of trials and of safety-critical actions while it decides.

In ``shadow`` the questions that were answered are put to the candidate unseen. Once people meet it, its
real answers are counted, and what the active model does for everyone else meanwhile. A call that fails for
many people at once is one failure: its questions are put to the candidate again, one by one and unseen, to
count how many of them it can't answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Float, Int
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import States
from everloop.contracts.rollouts import RolloutRecord
from everloop.rollout.health import SHADOW, TRIAL
from everloop.serving.decisions.serving import Serving
from everloop.serving.decisions.shadow import Shadow, Unseen
from everloop.serving.decisions.tallying import Tallies
from everloop.serving.decisions.voice_counts import VoiceCounts

GRACE_S = 60.0
"""How long a candidate may take to load on a worker before that counts against it: until then the questions
that it should have been asked are dropped, since a store that is away for a moment says nothing of it."""
BLOCK = 5_000
"""Decisions after which the share of safety-critical actions is counted anew."""


@dataclass(frozen=True, slots=True)
class CriticalShare:
    """Of the last ``decisions`` of an active model that could have done something else, ``taken`` were
    safety-critical."""

    taken: int
    decisions: int


class TrialWatch:
    """Counts of one engine. Thread-safe; nothing here waits for a database.

    Args:
        monotonic: seconds that never step back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self.tallies = Tallies(monotonic)
        self.shadow = Shadow(self.tallies)
        self.voices = VoiceCounts(self.tallies, monotonic)
        self._unloaded: dict[tuple[str, str], float] = {}
        self._critical: dict[tuple[str, str], CriticalShare] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        self.shadow.start()

    def close(self) -> None:
        """Stop asking."""
        self.shadow.close()

    def met(self, serving: Serving, trial: RolloutRecord, found: Float, seconds: float) -> None:
        """The candidate answered (n, A) for people on trial."""
        self._loaded(trial)
        ids = serving.catalogue.spec.action_ids
        self.tallies.count(
            serving.catalogue.spec,
            trial,
            TRIAL,
            asked=len(found),
            actions=[ids[index] for index in found.argmax(axis=1)],
            seconds=seconds,
        )

    def missed(self, serving: Serving, trial: RolloutRecord, n: int) -> None:
        """The candidate could not be asked for n people on trial: it did not load, or is left alone."""
        self._not_asked(serving, trial, TRIAL, n)

    def failed(
        self, serving: Serving, trial: RolloutRecord, states: States, failure: Exception
    ) -> None:
        """A call of the candidate for n people on trial failed."""
        broken = isinstance(failure, ShouldRestoreArtefact)
        spec = serving.catalogue.spec
        self.tallies.count(spec, trial, TRIAL, asked=1, invalid=int(broken), failed=int(not broken))
        if len(states.mask) > 1 and serving.candidate is not None:
            nobody = np.full(len(states.mask), -1, dtype=np.int64)
            self.shadow.offer(_unseen(serving, trial, TRIAL, states, nobody))

    def meanwhile(self, serving: Serving, trial: RolloutRecord, likely: Int) -> None:
        """What serves would most likely do, (n,), for those who don't meet the candidate; as
        ``Unseen.active``."""
        ids = serving.catalogue.spec.action_ids
        self.tallies.count(
            serving.catalogue.spec, trial, TRIAL, active_actions=[ids[index] for index in likely]
        )

    def unseen(self, serving: Serving, trial: RolloutRecord, states: States, likely: Int) -> None:
        """Put n questions to the candidate unseen; ``likely`` as ``Unseen.active``."""
        if serving.candidate is None:
            self._not_asked(serving, trial, SHADOW, len(likely))
            return
        self._loaded(trial)
        self.shadow.offer(_unseen(serving, trial, SHADOW, states, likely))

    def _not_asked(self, serving: Serving, trial: RolloutRecord, phase: str, n: int) -> None:
        key, spared = (trial.tenant, trial.rollout_id), False
        if serving.candidate is None:
            with self._lock:
                since = self._unloaded.setdefault(key, self._now())
            spared = self._now() - since < GRACE_S
        dropped = n if spared else 0
        self.tallies.count(
            serving.catalogue.spec, trial, phase, asked=n, dropped=dropped, failed=n - dropped
        )

    def _loaded(self, trial: RolloutRecord) -> None:
        if self._unloaded:  # no lock: every healthy decision of a trial passes here
            with self._lock:
                self._unloaded.pop((trial.tenant, trial.rollout_id), None)

    def took(self, tenant: str, loop: str, critical: int, decisions: int) -> None:
        """The active model took so many safety-critical actions where it could do something else."""
        with self._lock:
            known = self._critical.get((tenant, loop), CriticalShare(0, 0))
            if known.decisions >= BLOCK:
                known = CriticalShare(0, 0)
            self._critical[tenant, loop] = CriticalShare(
                known.taken + critical, known.decisions + decisions
            )

    def critical_shares(self) -> Mapping[tuple[str, str], CriticalShare]:
        """By tenant and loop."""
        with self._lock:
            return dict(self._critical)

    def forget_critical(self, tenant: str, loop: str) -> None:
        """Count a loop's safety-critical actions anew."""
        with self._lock:
            self._critical.pop((tenant, loop), None)


def _unseen(
    serving: Serving, trial: RolloutRecord, phase: str, states: States, likely: Int
) -> Unseen:
    if serving.candidate is None:
        raise ShouldRestoreArtefact(
            f"The candidate of {trial.rollout_id} is not loaded.", "See why in the service's state."
        )
    return Unseen(
        serving.catalogue, trial, phase, serving.candidate, serving.epsilon, states, likely
    )
