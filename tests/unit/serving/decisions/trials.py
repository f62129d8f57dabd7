"""Trials for the engine's tests, in any live state, and models that are slow, broken or one-sided."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States
from everloop.contracts.rollouts import RolloutRecord, RolloutState, Stay
from everloop.registry.loading import ACTIVE
from everloop.rollout.end import CANDIDATE
from everloop.serving.decisions.breaker import CircuitBreaker
from everloop.serving.decisions.models import ServedModel
from tests.unit.serving.decisions.conftest import START, World


def begun(
    world: World,
    spec: LoopSpec,
    version: str,
    state: RolloutState = "shadow",
    percent: float = 0.0,
    holdout: float = 0.0,
    **policy: Any,
) -> RolloutRecord:
    """A live trial of a policy made by hand."""
    made = world.checkpoint(spec, version, **policy)
    record = world.rollouts.start(
        RolloutRecord(
            rollout_id=str(uuid.uuid5(uuid.NAMESPACE_URL, version)),
            loop=spec.name,
            candidate=made.checkpoint_id,
            active=world.registry.alias(spec.name, ACTIVE)[0],
            state=state,
            traffic_percent=percent,
            reasons=("a test",),
            recorded_at=START,
            holdout_percent=holdout,
            history=(Stay(state, percent, START),),
        )
    )
    world.point(spec, made.checkpoint_id, CANDIDATE)
    return record


class Odd:
    """A policy that does what a test asks of it.

    Args:
        probabilities: (A,) before the mask.
        slow_s: how long an answer takes.
        fails_above: states whose first number is above this raise.
        nan_above: those are answered with NaN.
    """

    def __init__(
        self,
        probabilities: Sequence[float],
        slow_s: float = 0.0,
        fails_above: float = 9.0,
        nan_above: float = 9.0,
        version: str = "odd",
    ) -> None:
        self._probabilities = np.array(probabilities)
        self._slow_s = slow_s
        self._fails_above = fails_above
        self._nan_above = nan_above
        self.version = version
        self.encoder = ""
        self.asked: list[States] = []

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        self.asked.append(states)
        time.sleep(self._slow_s)
        if (states.context[:, 0] > self._fails_above).any():
            raise RuntimeError("out of memory")
        weighed = np.where(states.mask, self._probabilities, 0.0)
        pi = weighed / weighed.sum(axis=1, keepdims=True)
        uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
        found = (1 - epsilon) * pi + epsilon * uniform
        found[states.context[:, 0] > self._nan_above] = np.nan
        return PolicyOutput(found, found, np.zeros(len(found)))

    def served(self) -> ServedModel:
        return ServedModel("odd-checkpoint", self, CircuitBreaker())
