"""The candidate is asked unseen: off the critical path, about the questions that were just answered.

A bounded queue and one background thread per process. Whoever decides puts the states and masks that
served into the queue and goes on; where it is full they are dropped and counted. Nothing that the candidate
answers leaves this module but counts: no answer is touched, no decision is written.

Questions are put to it many at a time. Where such a call fails they are put one by one, so that one state
that it can't answer is one failure and not many: the checks of a trial count failures as separate events.
The thread spends at most ``BUSY`` of one core.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Int
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.models import States
from everloop.contracts.rollouts import RolloutRecord
from everloop.serving.decisions.models import ServedModel
from everloop.serving.decisions.question import Catalogue
from everloop.serving.decisions.tallying import Tallies

WAITING = 4096
"""Questions that may wait; each holds its state, about a kilobyte."""
TOGETHER = 64
"""Questions of one call, unless more were asked in one request."""
BUSY = 0.2
"""Share of one core that asking may take."""
_LINGER_S = 0.1
_JOIN_S = 5.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """n questions to put to a candidate.

    Attributes:
        phase: which of its tallies they count in.
        states: the n states and masks that served.
        active: (n,) the most likely action of what serves for each: the active model's (its
            predecessor's where it stands in), or, where none is deployed, the explorer's (the first of
            equally likely ones); -1 where nothing answered.
    """

    catalogue: Catalogue
    trial: RolloutRecord
    phase: str
    model: ServedModel
    epsilon: float
    states: States
    active: Int

    def __len__(self) -> int:
        return len(self.active)

    def goes_with(self, other: Unseen) -> bool:
        """Whether both may be put in one call."""
        return (
            self.model is other.model
            and self.catalogue is other.catalogue
            and (self.trial.rollout_id, self.phase) == (other.trial.rollout_id, other.phase)
        )


class Shadow:
    """The queue and its thread.

    Args:
        tallies: where answers are counted.
        waiting: questions that may wait.
    """

    def __init__(self, tallies: Tallies, waiting: int = WAITING) -> None:
        self._tallies = tallies
        self._most = waiting
        self._queue: deque[Unseen] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="decision-shadow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop asking; whoever still waits counts as dropped."""
        self._stop.set()
        self._filled.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        with self._lock:
            left, self._waiting = list(self._queue), 0
            self._queue.clear()
        for unseen in left:
            self._dropped(unseen)

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._waiting

    def offer(self, unseen: Unseen) -> None:
        """Put questions in the queue, or count them as dropped. Waits for nothing."""
        with self._lock:
            taken = self._waiting + len(unseen) <= self._most and not self._stop.is_set()
            if taken:
                self._queue.append(unseen)
                self._waiting += len(unseen)
        if taken:
            self._filled.set()
        else:
            self._dropped(unseen)

    def work(self) -> int:
        """Put everything that waits to its candidate; how many questions that were."""
        done = 0
        while batch := self._next():
            self._ask(batch[0] if len(batch) == 1 else _together(batch))
            done += sum(map(len, batch))
        return done

    def _run(self) -> None:
        while not self._stop.is_set():
            self._filled.wait()
            self._stop.wait(_LINGER_S)  # company comes meanwhile, and a call costs less for each
            self._filled.clear()
            while not self._stop.is_set() and (batch := self._next()):
                began = time.thread_time()
                try:
                    self._ask(batch[0] if len(batch) == 1 else _together(batch))
                except Exception:
                    _LOG.exception("What a candidate answered cannot be counted.")
                took = time.thread_time() - began
                self._stop.wait(took * (1.0 - BUSY) / BUSY)

    def _next(self) -> list[Unseen]:
        """The oldest questions that go together."""
        with self._lock:
            batch: list[Unseen] = []
            rows = 0
            while self._queue:
                found = self._queue[0]
                if batch and (rows + len(found) > TOGETHER or not found.goes_with(batch[0])):
                    break
                batch.append(self._queue.popleft())
                rows += len(found)
            self._waiting -= rows
            return batch

    def _dropped(self, unseen: Unseen) -> None:
        n = len(unseen)
        self._tallies.count(unseen.catalogue.spec, unseen.trial, unseen.phase, asked=n, dropped=n)

    def _ask(self, unseen: Unseen) -> None:
        began = time.perf_counter()
        try:
            found = unseen.model.propensities(unseen.states, unseen.epsilon)
        except Exception as failure:  # whatever a runtime raises is the candidate's
            if len(unseen) > 1:
                self._one_by_one(unseen)
            else:
                self._failed(unseen, failure)
            return
        seconds = time.perf_counter() - began
        ids = unseen.catalogue.spec.action_ids
        answers = found.argmax(axis=1)
        known = unseen.active >= 0
        self._tallies.count(
            unseen.catalogue.spec,
            unseen.trial,
            unseen.phase,
            asked=len(unseen),
            agreed=int((answers[known] == unseen.active[known]).sum()),
            actions=[ids[index] for index in answers],
            active_actions=[ids[index] for index in unseen.active[known]],
            seconds=seconds,
        )

    def _one_by_one(self, unseen: Unseen) -> None:
        for row in range(len(unseen)):
            if self._stop.is_set():
                return
            self._ask(_row(unseen, row))

    def _failed(self, unseen: Unseen, failure: Exception) -> None:
        broken = isinstance(failure, ShouldRestoreArtefact)
        self._tallies.count(
            unseen.catalogue.spec,
            unseen.trial,
            unseen.phase,
            asked=1,
            invalid=int(broken),
            failed=int(not broken),
        )


def _together(batch: list[Unseen]) -> Unseen:
    first = batch[0]
    return Unseen(
        first.catalogue,
        first.trial,
        first.phase,
        first.model,
        first.epsilon,
        States(
            np.concatenate([unseen.states.context for unseen in batch]),
            np.concatenate([unseen.states.mask for unseen in batch]),
        ),
        np.concatenate([unseen.active for unseen in batch]),
    )


def _row(unseen: Unseen, row: int) -> Unseen:
    place = slice(row, row + 1)
    return Unseen(
        unseen.catalogue,
        unseen.trial,
        unseen.phase,
        unseen.model,
        unseen.epsilon,
        States(unseen.states.context[place], unseen.states.mask[place]),
        unseen.active[place],
    )
