"""The decision engine: models side by side, swapped while requests run, polled in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.contracts.ports import Clock
from everloop.contracts.serving import Decision
from everloop.serving.decisions.answering import Batch
from everloop.serving.decisions.breaker import CircuitBreaker
from everloop.serving.decisions.constraining import Asked, Constraining
from everloop.serving.decisions.models import (
    ModelSource,
    PatientModels,
    RegisteredModels,
    ServedModel,
    Source,
    brief,
)
from everloop.serving.decisions.pairing import RegisteredPairings, ServedPairing
from everloop.serving.decisions.question import Catalogue, Question, states_of
from everloop.serving.decisions.randomness import OperatingSystem, Uniform
from everloop.serving.decisions.scorers import read_scorer
from everloop.serving.decisions.serving import EngineState, Serving, next_serving, state_of
from everloop.serving.decisions.stats import DecisionCounts, DecisionStats, label_of
from everloop.serving.decisions.watching import TrialWatch
from everloop.wiring import Workspace

FIRST_TENANT = "default"
"""The tenant whose loops are loaded at the start and stay loaded."""
MOST_SLOTS = 256
"""Pairs of loop and tenant that are held loaded; the one asked least recently goes first."""
IDLE_S = 600.0
"""After so long without a question a pair of loop and tenant is let go of."""
_POLLING_SHARE = 0.1
_JOIN_S = 5.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions in the order of their questions; ``under``: loop -> revision of what served it then."""

    decisions: Sequence[Decision]
    under: Mapping[str, int]


class _Slot:
    """One loop of one tenant: what serves it, and how to find out what should."""

    def __init__(
        self,
        serving: Serving,
        models: PatientModels[ServedModel],
        pairings: PatientModels[ServedPairing],
        workspace: Workspace,
        pinned: bool,
    ) -> None:
        self.serving = serving
        self.used_at = 0.0
        self.pinned = pinned
        self._models = models
        self._pairings = pairings
        self._workspace = workspace
        self._refreshing = threading.Lock()

    def refresh(self) -> None:
        """Build what should serve now and put it in place; requests never wait for this."""
        with self._refreshing:
            self._refresh()

    def catch_up(self, revision: int) -> None:
        """As ``refresh``, unless somebody did since this revision was what served."""
        with self._refreshing:
            if self.serving.revision == revision:
                self._refresh()

    def _refresh(self) -> None:
        workspace = self._workspace
        try:
            self.serving = next_serving(
                self.serving,
                self._models,
                self._pairings,
                workspace.registry,
                workspace.deployments,
                workspace.jobs,
            )
        except Exception as problem:  # what is known serves on while the database is away
            reason = f"Deployments can't be read: {brief(problem)}"
            if self.serving.problem != reason:
                _LOG.warning("%s", reason)
            self.serving = replace(self.serving, problem=reason)


class DecisionEngine:
    """Decides for every loop and tenant. Thread-safe; a decision waits for no other one and no swap.

    ``watch`` counts what candidates do; ``flush`` should be called every few seconds.

    Loops of other tenants than ``default`` are loaded with their first question, so ``prepare`` should
    be called off the event loop where ``is_ready`` says no.

    Args:
        workspace: where models, aliases and rollouts are.
        loops: loop name -> specification.
        clock: dates decisions.
        poll_s: seconds between looks at what is deployed; longer where looking takes long.
        rng: draws actions; the operating system's numbers by default.
        models: loads models; the workspace's by default.
        pairings: loads pairing models; the workspace's by default.
        monotonic: seconds that never step back, for breakers, retries and idle loops.
        most: how many pairs of loop and tenant are held loaded.
        idle_s: after how long without a question one is let go of.
    """

    def __init__(
        self,
        workspace: Workspace,
        loops: Mapping[str, LoopSpec],
        clock: Clock,
        poll_s: float = 1.0,
        rng: Uniform | None = None,
        models: ModelSource | None = None,
        pairings: Source[ServedPairing] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        most: int = MOST_SLOTS,
        idle_s: float = IDLE_S,
    ) -> None:
        self._workspace = workspace
        self._catalogues = {name: Catalogue(spec) for name, spec in loops.items()}
        self._clock = clock
        self._poll_s = poll_s
        self._uniform = rng or OperatingSystem()
        self._now = monotonic
        self._models = models or RegisteredModels(
            workspace.registry, workspace.blobs, lambda: CircuitBreaker(monotonic=monotonic)
        )
        self._pairings = pairings or RegisteredPairings(
            workspace.registry,
            workspace.blobs,
            read_scorer,
            lambda: CircuitBreaker(monotonic=monotonic),
        )
        self._most = most
        self._idle_s = idle_s
        self._stats = DecisionStats()
        self.watch = TrialWatch(monotonic)
        self._constraining = Constraining(lambda: workspace.decisions, monotonic, _LOG.warning)
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._opening = threading.Lock()
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None

    def start(self) -> None:
        """Load what is deployed for the first tenant and begin to poll."""
        for loop in self._catalogues:
            self._open(FIRST_TENANT, loop, pinned=True)
        self._poller = threading.Thread(target=self._poll, name="decision-models", daemon=True)
        self._poller.start()
        self.watch.start()

    def close(self) -> None:
        """Stop polling, and store what was counted of trials; what is loaded still answers."""
        self._stop.set()
        if self._poller is not None:
            self._poller.join(_JOIN_S)
        self.watch.close()
        self.flush()

    def flush(self) -> None:
        """Store what was counted of trials since the last time. Where that fails it is tried again with
        the next."""
        try:
            self.watch.tallies.flush(self._workspace.tallies, self._clock.now())
        except Exception:  # busy, full or away: decisions go on
            _LOG.warning("What was counted of a trial cannot be stored now.", exc_info=True)

    @property
    def alive(self) -> bool:
        """Whether what is deployed is looked at."""
        return self._poller is not None and self._poller.is_alive()

    def is_ready(self, tenant: str, loop: str) -> bool:
        """Whether a decision needs no loading."""
        return (tenant, loop) in self._slots

    def prepare(self, tenant: str, loop: str) -> None:
        """Load what is deployed for a tenant's loop, if that was not done."""
        self._slot(tenant, loop)

    def decide(self, tenant: str, question: Question) -> Decision:
        """What to do, with the probability of having chosen it; nothing is written down yet.

        Raises:
            ShouldFixArgument: the context or the valid actions do not fit the loop, or its constraints
                leave none of them.
            ShouldNameKnownId: there is no such loop.
            ShouldRetryLater: no model decides, and only safety-critical actions are valid; or what the
                person met can't be read, and only limited ones are.
        """
        return self.decide_under(tenant, question).decisions[0]

    def decide_under(self, tenant: str, question: Question) -> Decided:
        """As ``decide``, with the revision that the database compares when it stores the decision."""
        slot = self._slot(tenant, question.spec.name)
        decisions, revision = self._decided(slot, (question,), lambda _: "")
        return Decided(decisions, {question.spec.name: revision})

    def decide_many(self, tenant: str, questions: Sequence[Question]) -> list[Decision]:
        """As ``decide``, in order, with one runtime call per loop and model; all or none."""
        return list(self.decide_many_under(tenant, questions).decisions)

    def decide_many_under(self, tenant: str, questions: Sequence[Question]) -> Decided:
        """As ``decide_many``, with the revisions that the database compares."""
        under: dict[str, int] = {}
        places: dict[str, list[int]] = {}
        for place, question in enumerate(questions):
            places.setdefault(question.spec.name, []).append(place)
        found: dict[int, Decision] = {}
        for loop, rows in places.items():
            slot = self._slot(tenant, loop)
            asked = [questions[place] for place in rows]
            named = [f"decisions[{place}]: " for place in rows].__getitem__
            decisions, under[loop] = self._decided(slot, asked, named)
            found.update(zip(rows, decisions, strict=True))
        return Decided([found[place] for place in range(len(questions))], under)

    def catch_up(self, tenant: str, under: Mapping[str, int]) -> None:
        """Look at what serves now where these revisions still serve here; the caller waits for it."""
        for loop, revision in under.items():
            self._slot(tenant, loop).catch_up(revision)

    def storing(self, decisions: Sequence[Decision]) -> AbstractContextManager[None]:
        """The context in which these decisions are given to the database: until it has them, they count
        in the limits of their people."""
        return self._constraining.storing(self._catalogues.__getitem__, decisions)

    def waits(self, loop: str) -> bool:
        """Whether a decision of the loop waits for a database server, so that it had better not be asked
        for on the event loop."""
        remote = self._workspace.engine.dialect.name != "sqlite"
        return remote and self._catalogues[loop].rules.remembers

    def stored(self, decisions: Iterable[Decision]) -> None:
        """Count decisions that were written down now; what was only asked again is not one."""
        for decision in decisions:
            self._stats.decided(label_of(decision))

    def state(self, tenant: str, loop: str) -> EngineState:
        """What serves a loop of a tenant; loads it where that was not done."""
        return state_of(self._slot(tenant, loop).serving)

    def states(self) -> tuple[EngineState, ...]:
        """What serves, for every pair of tenant and loop that is loaded."""
        return tuple(state_of(slot.serving) for slot in list(self._slots.values()))

    def counts(self) -> DecisionCounts:
        """Decisions that were ``stored``, failed loads and openings of breakers since the start."""
        return self._stats.counts()

    def refresh(self) -> None:
        """Look at what is deployed now; what the poller does all the time."""
        for key, slot in list(self._slots.items()):
            if not slot.pinned and self._now() - slot.used_at > self._idle_s:
                self._slots.pop(key, None)
            else:
                slot.refresh()

    def _decided(
        self, slot: _Slot, questions: Sequence[Question], named: Callable[[int], str]
    ) -> tuple[list[Decision], int]:
        serving = slot.serving  # once: a swap must not change it half-way
        states, now = states_of(serving.catalogue, questions, named), self._clock.now()
        if not serving.catalogue.rules.any:
            return self._batch(serving, questions, states).decide(now), serving.revision
        asked = Asked(serving.tenant, serving.catalogue, questions, now, named)
        with self._constraining.within(asked, states) as (allowed, tell):
            decisions = self._batch(serving, questions, allowed).decide(now)
            tell(decisions)
        return decisions, serving.revision

    def _batch(self, serving: Serving, questions: Sequence[Question], states: States) -> Batch:
        return Batch(
            serving, questions, states, self._uniform, self._stats, self.watch, _LOG.warning
        )

    def _slot(self, tenant: str, loop: str) -> _Slot:
        slot = self._slots.get((tenant, loop)) or self._open(tenant, loop)
        slot.used_at = self._now()
        return slot

    def _open(self, tenant: str, loop: str, pinned: bool = False) -> _Slot:
        catalogue = self._catalogues.get(loop)
        if catalogue is None:
            raise ShouldNameKnownId(
                f"This service has no loop {loop!r}.",
                f"It has: {', '.join(sorted(self._catalogues))}.",
            )
        with self._opening:
            known = self._slots.get((tenant, loop))
            if known is not None:
                return known

            def failed(checkpoint_id: str, reason: str) -> None:
                self._stats.load_failed(loop, checkpoint_id)
                _LOG.warning("Checkpoint %s of %s can't serve: %s", checkpoint_id, loop, reason)

            spec = catalogue.spec
            models = PatientModels(self._models, tenant, spec, self._now, failed)
            pairings = PatientModels(self._pairings, tenant, spec, self._now, failed)
            serving = Serving(tenant, catalogue, spec.exploration.start, unread=True)
            slot = _Slot(serving, models, pairings, self._workspace, pinned)
            slot.refresh()
            slot.used_at = self._now()
            self._make_room()
            self._slots[tenant, loop] = slot
            return slot

    def _make_room(self) -> None:
        free = [(slot.used_at, key) for key, slot in self._slots.items() if not slot.pinned]
        for _, key in sorted(free)[: max(0, len(self._slots) + 1 - self._most)]:
            self._slots.pop(key, None)

    def _poll(self) -> None:
        pause = self._poll_s
        while not self._stop.wait(pause):
            began = time.thread_time()  # while others hold the interpreter, looking costs nothing
            try:
                self.refresh()
            except Exception:
                _LOG.exception("What is deployed cannot be looked at; trying again.")
            took = time.thread_time() - began
            pause = max(self._poll_s, took * (1.0 - _POLLING_SHARE) / _POLLING_SHARE)
