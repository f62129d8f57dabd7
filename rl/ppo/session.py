"""Two ways to run the same runner and learner: in this process, or as RLlib's algorithm on a cluster."""

# RLlib leaves functions untyped and declares attributes as None until they are set up.
# mypy: disable-error-code="no-untyped-call, union-attr"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import ray
from ray.rllib.core import COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID

from everloop.contracts.errors import ShouldFixArgument
from rl.ppo.algorithm import (
    JourneyLearner,
    JourneyPpo,
    JourneyRunner,
    as_batch,
    clock,
    configure,
)
from rl.ppo.checkpoint import TrainerState
from rl.ppo.plan import Plan
from rl.ppo.rollout import RewardSummary
from rl.ppo.update import UpdateSummary

_NETWORK = "network."


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where to train with Ray instead of in this process.

    Attributes:
        address: of a running Ray cluster; ``None`` starts one on this machine and stops it after.
            A cluster asks for token authentication: every process needs Ray's token settings.
        runners: remote runners that share the environments; 0 samples in the driver.
    """

    address: str | None = None
    runners: int = 2

    def __post_init__(self) -> None:
        if self.runners < 0:
            raise ShouldFixArgument(f"runners={self.runners} is negative.")


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

    def close(self) -> None:
        self._runner.stop()

    def _hand_over(self) -> None:
        """Give the runner the learner's weights; without a sequence number they are always taken."""
        state = self._learner.get_state(components=COMPONENT_RL_MODULE)
        self._runner.set_state({COMPONENT_RL_MODULE: state[COMPONENT_RL_MODULE]})


class OnCluster:
    """RLlib's algorithm with the same runner and learner."""

    def __init__(self, plan: Plan, cluster: Cluster) -> None:
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(
                address=cluster.address,
                include_dashboard=None if cluster.address else False,
                log_to_driver=False,
            )
        self._algorithm = cast("JourneyPpo", configure(plan).build_algo())

    def iterate(self, iteration: int) -> tuple[RewardSummary, UpdateSummary]:  # noqa: ARG002
        self._algorithm.train()
        return self._algorithm.rewards, self._algorithm.summary

    def state(self) -> TrainerState:
        return _to_trainer(self._algorithm.learner_group.get_state()["learner"])

    def resume(self, state: TrainerState, iterations: int) -> None:
        current = self._algorithm.learner_group.get_state()["learner"]
        self._algorithm.resume(_to_learner(state, current), iterations)

    def close(self) -> None:
        self._algorithm.stop()
        if self._started:
            ray.shutdown()


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
