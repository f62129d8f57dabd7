"""A day as the product's service decides it: hour by hour, under what the head says serves then.

Assignment, tallies, health and the controller are the product's own; HTTP, the event queue between request
and commit, and several workers are left out (``make bench-ingest`` has them). Everybody of an hour is
asked at once, and each of them waits for the whole call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.private.population_log import encode_wide
from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.contracts.rollouts import POLICY, Head, RolloutRecord
from everloop.registry.loading import load
from everloop.rollout.assignment import arms_of
from everloop.sdk.demo.deciders import FIRST
from everloop.sdk.demo.door import TENANT
from everloop.serving.decisions.tallying import Tallies
from everloop.wiring import Workspace
from rl.runtime import OnnxPolicy, load_policy
from synthetic.population import (
    DayOfDecisions,
    Population,
    Visitors,
    WideContexts,
    logging_policy,
)

SHADOW, TRIAL = "shadow", "trial"
_WITH_TRAFFIC: Final = ("started", "paused")
Look = Callable[[datetime], object]
"""Asked every hour: the controller's look between two analyses."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A day that was served: n decisions.

    Attributes:
        played: the day. people: n pseudonyms.
        version: (n,) what decided. arm: (n,) value of ``Arm``. fallback: (n,) whether something else than
            the candidate had to decide for one of its people.
    """

    played: DayOfDecisions
    people: tuple[str, ...]
    version: NDArray[np.str_]
    arm: NDArray[np.str_]
    fallback: Bool


class Service:
    """Decides for a loop of a workspace.

    Args:
        place: whose head says what serves.
        spec: the loop.
        look: asked at the end of every hour.
    """

    def __init__(self, place: Workspace, spec: LoopSpec, look: Look) -> None:
        self.place, self.spec, self.look = place, spec, look
        self.tallies = Tallies()
        self._models: dict[str, OnnxPolicy] = {}
        self.episodes = 0

    def serve(self, population: Population, on: date) -> Served:
        """Play one day."""
        day = _Day(self, on)
        played = population.day(on, day.decide, day.greet)
        self.episodes += len(played)
        return Served(played, day.people, day.version, day.arm, day.fallback)

    def model(self, checkpoint_id: str) -> OnnxPolicy:
        """A registered policy, its checksum verified; loaded once."""
        if checkpoint_id not in self._models:
            found = load(checkpoint_id, self.place.registry, self.place.blobs)
            policy = load_policy(found.weights, found.checkpoint.weights_sha256, self.spec)
            self._models[checkpoint_id] = policy
        return self._models[checkpoint_id]

    @property
    def epsilon(self) -> float:
        return self.spec.serving_epsilon(self.episodes)


class _Day:
    """Fills a day's decisions hour by hour."""

    def __init__(self, service: Service, on: date) -> None:
        self._of, self._on = service, on
        self._spec, self._place, self._tallies = service.spec, service.place, service.tallies
        self.people: tuple[str, ...] = ()

    def greet(self, visitors: Visitors) -> None:
        """Who comes, in order of time."""
        self.people = tuple(self._place.pseudonyms.of(user, TENANT) for user in visitors.user_ids)
        n = len(self.people)
        self.version = np.full(n, "", dtype=np.dtype("U64"))
        self.arm = np.full(n, Arm.ACTIVE.value, dtype=np.dtype("U16"))
        self.fallback = np.zeros(n, dtype=np.bool_)

    def decide(self, contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:
        """(n, A) propensities of everybody who comes."""
        states, chances = encode_wide(self._spec, contexts), np.zeros(valid.shape)
        rules = logging_policy(contexts, valid, rng)
        midnight = datetime(self._on.year, self._on.month, self._on.day, tzinfo=UTC)
        for hour in range(24):
            rows = np.flatnonzero(contexts.hour == hour)
            chances[rows] = self._hour(rows, states, valid, rules)
            now = midnight + timedelta(hours=hour + 1)
            self._tallies.flush(self._place.tallies, now)
            self._of.look(now)
        return chances

    def _hour(self, rows: Int, states: Float32, valid: Bool, rules: Float) -> Float:
        head = self._place.deployments.head(self._spec.name, TENANT)
        asked = States(states[rows], valid[rows])
        chances, self.version[rows] = self._active(head, asked, rules[rows])
        trial = head.trial
        if trial is None or not len(rows):
            return chances
        if trial.state == SHADOW:
            self._candidate(trial, SHADOW, asked, chances)
        elif trial.state in _WITH_TRAFFIC:
            arms = arms_of([self.people[r] for r in rows], trial, trial.traffic_percent)
            self.arm[rows] = arms
            met = np.flatnonzero(arms == Arm.CANDIDATE.value)
            others = np.flatnonzero(arms != Arm.CANDIDATE.value)
            self._tell_active(trial, chances, others)
            if len(met):
                told = States(asked.context[met], asked.mask[met])
                found = self._candidate(trial, TRIAL, told, None)
                if found is None:
                    self.fallback[rows[met]] = True
                else:
                    chances[met], self.version[rows[met]] = found
        return chances

    def _active(self, head: Head, asked: States, rules: Float) -> tuple[Float, str]:
        serves = head.serves.get(POLICY)
        if serves is None or serves.checkpoint_id is None:
            return rules.copy(), FIRST
        model = self._of.model(serves.checkpoint_id)
        return model.act(asked, self._of.epsilon).propensity, model.version

    def _candidate(
        self, trial: RolloutRecord, phase: str, asked: States, active: Float | None
    ) -> tuple[Float, str] | None:
        """What the candidate would do; None where it gave no answer. ``active``: what serves did with the
        same questions."""
        n, actions = len(asked.context), np.array(self._spec.action_ids)
        try:
            model = self._of.model(trial.candidate)
            started = time.perf_counter()
            greedy = model.act(asked, 0.0).propensity
            answer = model.act(asked, self._of.epsilon).propensity
        except ShouldRestoreArtefact:  # NaN, or files that do not load
            self._tallies.count(self._spec, trial, phase, asked=n, invalid=n)
            return None
        seconds = time.perf_counter() - started
        likely = greedy.argmax(axis=1)
        theirs = likely[:0] if active is None else active.argmax(axis=1)
        self._tallies.count(
            self._spec,
            trial,
            phase,
            asked=n,
            agreed=int((likely[: len(theirs)] == theirs).sum()),
            actions=actions[likely].tolist(),
            active_actions=actions[theirs].tolist(),
        )
        for _ in range(n):
            self._tallies.count(self._spec, trial, phase, seconds=seconds)
        return answer, model.version

    def _tell_active(self, trial: RolloutRecord, chances: Float, others: Int) -> None:
        likely = chances[others].argmax(axis=1)
        actions = np.array(self._spec.action_ids)[likely].tolist()
        self._tallies.count(self._spec, trial, TRIAL, active_actions=actions)
