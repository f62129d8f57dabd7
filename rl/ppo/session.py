"""Two ways to run the same runner and learner: in this process, or as RLlib's algorithm on a cluster."""

# RLlib leaves functions untyped and declares attributes as None until they are set up.
# mypy: disable-error-code="no-untyped-call, union-attr"

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Protocol, cast

import numpy as np
from ray.exceptions import RayError
from ray.rllib.core import COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID

from everloop.contracts.errors import EverloopError, ShouldRetryLater
from rl.module import PolicyNetwork
from rl.ppo.algorithm import (
    JourneyLearner,
    JourneyPpo,
    JourneyRunner,
    configure,
    network_of,
)
from rl.ppo.checkpoint import TrainerState
from rl.ppo.cluster import Cluster, connected
from rl.ppo.messages import as_batch, clock
from rl.ppo.plan import Plan
from rl.ppo.rollout import RewardSummary
from rl.ppo.update import UpdateSummary

_NETWORK = "network."


class Session(Protocol):
    """A training under way."""

    def iterate(self, iteration: int) -> tuple[RewardSummary, UpdateSummary]:
        """Sample and update once; iterations count from 0."""

    def state(self) -> TrainerState:
        """What the next iteration starts from."""

    def resume(self, state: TrainerState, iterations: int) -> None:
        """Continue after so many finished iterations."""

    def close(self) -> None:
        """Give back what was started."""


class InProcess:
    """RLlib's runner and learner, driven directly: no Ray processes, no start-up of a cluster."""

    def __init__(self, plan: Plan) -> None:
        config = configure(plan)
        config.validate()
        config.freeze()
        self._plan = plan
        self._runner = JourneyRunner(config=config, worker_index=0)
        learner = config.build_learner(env=self._runner.env, spaces=self._runner.get_spaces())
        self._learner = cast("JourneyLearner", learner)
        self._hand_over()

    def iterate(self, iteration: int) -> tuple[RewardSummary, UpdateSummary]:
        ((_, rollout, rewards),) = self._runner.sample(iteration=iteration)
        self._learner.update(as_batch(rollout), timesteps=clock(self._plan, iteration))
        self._hand_over()
        return rewards, self._learner.summary

    def state(self) -> TrainerState:
        return _to_trainer(self._learner.get_state())

    def resume(self, state: TrainerState, iterations: int) -> None:  # noqa: ARG002
        self._learner.set_state(_to_learner(state, self._learner.get_state()))
        self._hand_over()

    @property
    def network(self) -> PolicyNetwork:
        """The policy as it is now."""
        return network_of(self._learner.module[DEFAULT_MODULE_ID])

    def close(self) -> None:
        self._runner.stop()

    def _hand_over(self) -> None:
        """Give the runner the learner's weights; without a sequence number they are always taken."""
        state = self._learner.get_state(components=COMPONENT_RL_MODULE)
        self._runner.set_state({COMPONENT_RL_MODULE: state[COMPONENT_RL_MODULE]})


REBUILDS = 3
"""Times that a training begins an iteration anew on new learners before it gives up."""


class OnCluster:
    """RLlib's algorithm with the same runner and learner.

    A runner that is lost is replaced within the iteration. When a learner is lost, all are started anew
    with the state from before the iteration, and it is repeated. Weights come out the same either way.
    """

    def __init__(self, plan: Plan, cluster: Cluster) -> None:
        self._plan = plan
        self._room = ExitStack()
        self._room.enter_context(connected(cluster.address, cluster.cpus))
        self._kept: TrainerState | None = None
        try:
            self._build()
        except BaseException:
            self._room.close()
            raise

    def iterate(self, iteration: int) -> tuple[RewardSummary, UpdateSummary]:
        for attempt in range(REBUILDS + 1):
            try:
                if attempt:
                    self._rebuild(iteration)
                self._algorithm.train()
                if self._plan.learners:
                    self._kept = self.state()
                return self._algorithm.rewards, self._algorithm.summary
            except (RayError, RuntimeError) as problem:
                ours = getattr(problem, "cause", None)
                if isinstance(ours, EverloopError):
                    raise ours from problem
                if not self._plan.learners or attempt == REBUILDS:
                    raise _lost(iteration, problem) from problem
        raise AssertionError  # the last attempt returned or raised

    def state(self) -> TrainerState:
        return _to_trainer(self._learner_state())

    def resume(self, state: TrainerState, iterations: int) -> None:
        self._algorithm.resume(_to_learner(state, self._learner_state()), iterations)
        self._kept = state

    def close(self) -> None:
        try:
            self._algorithm.stop()
        finally:
            self._room.close()

    def _build(self) -> None:
        self._algorithm = cast("JourneyPpo", configure(self._plan).build_algo())

    def _rebuild(self, iteration: int) -> None:
        self._algorithm.stop()
        self._build()
        if self._kept is not None:
            self.resume(self._kept, iteration)

    def _learner_state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._algorithm.learner_group.get_state()["learner"]
        return state


def _lost(iteration: int, problem: Exception) -> ShouldRetryLater:
    return ShouldRetryLater(
        f"Iteration {iteration + 1} failed on the cluster ({type(problem).__name__}: {problem!s:.300}).",
        "See to the cluster, and repeat the command: it continues from the last checkpoint.",
    )


def _to_trainer(learner: dict[str, Any]) -> TrainerState:
    """The parts of a learner's state that learning needs, as plain arrays."""
    weights = learner[COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
    ((_, entry),) = learner[COMPONENT_OPTIMIZER].items()
    buffers = {
        f"{index}/{name}": np.asarray(values, dtype=np.float32)
        for index, named in entry["state"]["state"].items()
        for name, values in named.items()
    }
    return TrainerState(
        weights={name.removeprefix(_NETWORK): np.asarray(v) for name, v in weights.items()},
        optimizer=buffers,
        learning_rate=float(entry["state"]["param_groups"][0]["lr"]),
    )


def _to_learner(state: TrainerState, current: dict[str, Any]) -> dict[str, Any]:
    """A learner's state with ours in place of its own; ``current`` gives the form."""
    ((name, entry),) = current[COMPONENT_OPTIMIZER].items()
    buffers: dict[int, dict[str, Any]] = {}
    for key, values in state.optimizer.items():
        index, _, buffer = key.partition("/")
        buffers.setdefault(int(index), {})[buffer] = values
    groups = [group | {"lr": state.learning_rate} for group in entry["state"]["param_groups"]]
    return {
        COMPONENT_RL_MODULE: {
            DEFAULT_MODULE_ID: {_NETWORK + key: values for key, values in state.weights.items()}
        },
        COMPONENT_OPTIMIZER: {name: entry | {"state": {"state": buffers, "param_groups": groups}}},
    }
