"""RLlib's side of PPO: the module, the runner, the learner and the algorithm around our update.

Stock RLlib handles journeys one at a time through connectors; here a runner returns flat arrays with
advantages, and the learner walks over them in one loop. Checkpoints, Tune, clusters and the restart
of failed runners stay RLlib's own.
"""

# RLlib leaves functions untyped, declares attributes as None until they are set up, and lets
# subclasses take and return other things than it declares.
# mypy: disable-error-code="no-untyped-call, union-attr, override"

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.policy.sample_batch import MultiAgentBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
)

from everloop.contracts.datasets import Int
from everloop.contracts.errors import ShouldRestoreArtefact, ShouldRetryLater
from rl.environment.views import JourneyEnv, JourneyVectorEnv
from rl.module import PolicyNetwork
from rl.ppo.messages import ITERATION, as_batch, clock
from rl.ppo.peers import SharedNetwork, add_gradients, together
from rl.ppo.plan import Plan
from rl.ppo.rollout import RewardSummary, Rollout, collect, concatenate
from rl.ppo.schedule import stream
from rl.ppo.update import UpdateSummary, gradient_step, update

_LEARNER_STREAM = 2**31
"""Permutations are drawn from streams above every runner's index."""

RESTORED_WITHIN_S = 120.0
"""A runner starts in ten seconds; one that is not back by then has no node to start on."""

_NOISY_LOGGERS = ("ray.rllib", "ray._common.deprecation")
"""They warn of RLlib's own new defaults and of RLlib's own use of what it deprecated."""

T = TypeVar("T")

Sample = tuple[int, Rollout, RewardSummary]
"""(worker index, decisions, what they earned)"""


class PolicyModule(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """``PolicyNetwork`` as an RLModule."""

    network: PolicyNetwork

    def setup(self) -> None:
        """Build the network from ``model_config``, to which RLlib adds keys of its own."""
        given = cast("dict[str, Any]", self.model_config)
        self.network = PolicyNetwork(
            given["width"],
            given["actions"],
            given["hidden"],
            given["seed"],
            given.get("features"),
        )

    def get_non_inference_attributes(self) -> list[str]:
        """Nothing: runners compute advantages, so they need the value network too.

        If it were listed, a restore would leave the runner's copy at its initial weights in silence.
        """
        return []

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.network.logits(batch[Columns.OBS])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:  # noqa: ARG002
        """(N,) values of ``batch["obs"]``."""
        return self.network.values(batch[Columns.OBS])


class JourneyRunner(SingleAgentEnvRunner):
    """Plays batched journeys and returns flat rollouts with advantages."""

    def make_env(self) -> None:
        """Build the batch of journeys that the plan asks for."""
        plan = _plan(self.config)
        if self.worker_index:
            torch.set_num_threads(1)  # in a process of its own; sums then have one order
        self.env = JourneyVectorEnv(plan.source, plan.journeys_per_runner)
        self.num_envs = plan.journeys_per_runner
        self._needs_initial_reset = True

    def sample(self, *, iteration: int = 0, **_: Any) -> list[Sample]:
        """One rollout of an iteration. Journeys start anew, so nothing has to survive a restart."""
        plan = _plan(self.config)
        worker = int(self.worker_index or 0)
        rollout, rewards = collect(
            network_of(self.module),
            self.env.journeys,
            stream(plan.seed, iteration, worker, 0),
            plan.training.rollout_length,
            plan.epsilon(iteration),
            plan.training.discount,
            plan.training.gae_lambda,
        )
        self._increase_sampled_metrics(len(rollout), 0)
        self.num_env_steps_sampled_lifetime += len(rollout)
        return [(worker, rollout, rewards)]


class JourneyLearner(PPOTorchLearner):
    """Applies ``rl.ppo.update`` to the rollouts of an iteration."""

    summary: UpdateSummary

    def build(self) -> None:
        """As RLlib's; in a process of its own sums have one order."""
        super().build()
        if self.config.num_learners:
            torch.set_num_threads(1)

    def set_state(self, state: dict[str, Any]) -> None:
        """As RLlib's, on a copy: it would let every learner's Adam write into one shared array."""
        super().set_state(copy.deepcopy(state))

    def _make_modules_ddp_if_necessary(self) -> None:
        """Nothing: ``rl.ppo.peers`` adds gradients up, so that one rule serves one and several."""

    def configure_optimizers_for_module(
        self, module_id: str, config: AlgorithmConfig | None = None
    ) -> None:
        """Fused Adam; its rate follows the plan's schedule."""
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, eps=1e-5, fused=True),
            params=parameters,
            lr_or_lr_schedule=(config or self.config).lr,
        )

    def update(
        self,
        batch: MultiAgentBatch | None = None,
        *,
        training_data: Any = None,
        timesteps: dict[str, Any] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """One update; ``timesteps`` holds the iteration and the steps sampled before its update.

        Every learner gets the whole rollout, draws the same minibatches and computes its part of each.

        Raises:
            ShouldFixArgument: the loss is not finite.
            ShouldRestoreArtefact: the rollouts came from other weights.
        """
        plan = _plan(self.config)
        clock = timesteps or {}
        iteration = int(clock[ITERATION])
        self.before_gradient_based_update(timesteps=clock)
        given = batch if batch is not None else training_data.batch
        columns = given.policy_batches[DEFAULT_MODULE_ID]
        # what comes from Ray's object store is read-only, which torch does not take
        rollout = Rollout(
            **{f.name: np.require(columns[f.name], requirements="W") for f in fields(Rollout)}
        )
        network = network_of(self.module[DEFAULT_MODULE_ID])
        (optimizer,) = (o for _, o in self.get_optimizers_for_module(DEFAULT_MODULE_ID))

        def permutation(epoch: int, size: int) -> Int:
            rng = stream(plan.seed, iteration, _LEARNER_STREAM, epoch)
            return rng.permutation(size)

        rule, several = plan.rule_at(iteration), together()
        self.summary = update(
            cast("PolicyNetwork", SharedNetwork(network)) if several else network,
            gradient_step(
                network,
                optimizer,
                rule,
                partial(add_gradients, network) if several else None,
            ),
            rollout,
            rule,
            plan.epsilon(iteration),
            permutation,
        )
        self._weights_seq_no += 1
        self.metrics.log_dict(
            {f.name: float(getattr(self.summary, f.name)) for f in fields(UpdateSummary)},
            key=DEFAULT_MODULE_ID,
            window=1,
        )
        self.after_gradient_based_update(timesteps=clock)
        return cast("dict[str, Any]", self.metrics.reduce())


class JourneyPpo(PPO):
    """PPO whose training step hands flat rollouts to the learner."""

    rewards: RewardSummary
    summary: UpdateSummary

    @classmethod
    def get_default_config(cls) -> JourneyPpoConfig:
        """Our own: with the stock one, Tune would train with the stock learner, without a word."""
        return JourneyPpoConfig()

    def training_step(self) -> None:
        """Sample on every runner, update, hand the new weights back."""
        iteration = int(self.iteration)
        plan = _plan(self.config)
        runners = cast("EnvRunnerGroup", self.env_runner_group)
        samples = self._sample_all(runners, iteration)
        rollout = concatenate([rollout for _, rollout, _ in samples])
        self.rewards = RewardSummary.together([rewards for _, _, rewards in samples])
        batch: Any = as_batch(rollout)
        if plan.learners:
            batch = ray.put(batch)
        learned = self._on_learners(partial(_learn, batch=batch, timesteps=clock(plan, iteration)))
        self.summary = learned[0][1]
        if any(repr(summary) != repr(self.summary) for _, summary in learned):
            raise ShouldRestoreArtefact(
                f"Learners came to different results: {[summary for _, summary in learned]!s:.400}.",
                "Run them on machines of one kind.",
            )
        local = runners.num_remote_env_runners() == 0
        self.metrics.aggregate(
            runners.foreach_env_runner(_metrics, local_env_runner=local), key=ENV_RUNNER_RESULTS
        )
        self.metrics.aggregate([results for results, _ in learned], key=LEARNER_RESULTS)
        self._hand_over()

    def _sample_all(self, runners: EnvRunnerGroup, iteration: int) -> list[Sample]:
        """Every runner's rollout, by worker index.

        What a runner samples depends on seed, iteration, index and weights alone. A runner that was lost
        is started anew by Ray; its part alone is sampled again and is what it would have been.
        """
        count = runners.num_remote_env_runners()
        ask = partial(_sample, iteration=iteration)
        if not count:
            return [part[0] for part in runners.foreach_env_runner(ask)]
        found: dict[int, Sample] = {}
        give_up = time.monotonic() + RESTORED_WITHIN_S
        while True:
            missing = [worker for worker in range(1, count + 1) if worker not in found]
            parts = runners.foreach_env_runner(
                ask, local_env_runner=False, remote_worker_ids=missing
            )
            found |= {sample[0]: sample for part in parts for sample in part}
            if len(found) == count:
                return [found[worker] for worker in sorted(found)]
            if time.monotonic() > give_up:
                raise ShouldRetryLater(
                    f"Runners {sorted(set(missing) - set(found))} were lost and did not come back "
                    f"within {RESTORED_WITHIN_S:g} s.",
                    "See that the cluster has nodes for them, and repeat the command: it continues.",
                )
            if self.restore_env_runners(runners):
                self._hand_over()

    def _on_learners(self, function: Callable[[Learner], T]) -> list[T]:
        """What a function answers on each learner, the first learner's first.

        Raises:
            RayError, RuntimeError: a learner was lost, or its connection to the others.
        """
        answers: Any = list(self.learner_group.foreach_learner(function))
        for answer in answers:
            if not answer.ok:
                raise answer.get()
        return [answer.get() for answer in answers]

    def _hand_over(self) -> None:
        """Give every runner the learners' weights, and wait until all have them.

        RLlib's own ``sync_weights`` drops a message while the one before is under way. Without a sequence
        number weights are always taken.
        """
        learner = self.learner_group.get_state([f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"])
        weights: Any = {COMPONENT_RL_MODULE: learner[COMPONENT_LEARNER][COMPONENT_RL_MODULE]}
        if self.env_runner_group.num_remote_env_runners():
            weights = ray.put(weights)
        self.env_runner_group.foreach_env_runner(partial(_take, weights=weights))

    def resume(self, learner_state: dict[str, Any], iteration: int) -> None:
        """Continue after ``iteration`` finished iterations with a learner's state."""
        self.learner_group.set_state({"learner": learner_state})
        self._hand_over()
        self._iteration = iteration


class JourneyPpoConfig(PPOConfig):
    """Configuration of ``JourneyPpo``; made from a plan by ``configure``."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or JourneyPpo)
        self.env_runners(env_runner_cls=JourneyRunner)
        self.use_kl_loss = False

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=PolicyModule)

    def get_default_learner_class(self) -> type[JourneyLearner]:
        return JourneyLearner


def configure(plan: Plan) -> JourneyPpoConfig:
    """RLlib's configuration of a plan."""
    training, rule = plan.training, plan.rule
    view = JourneyEnv(plan.source)
    config = JourneyPpoConfig()
    config.environment(
        env=JourneyEnv,
        env_config={"plan": plan},
        observation_space=view.observation_space,
        action_space=view.action_space,
    )
    config.env_runners(
        num_env_runners=plan.runners,
        num_envs_per_env_runner=plan.journeys_per_runner,
        rollout_fragment_length=training.rollout_length,
    )
    config.learners(num_learners=plan.learners, num_cpus_per_learner=1)
    config.fault_tolerance(
        restart_failed_env_runners=True,
        env_runner_health_probe_timeout_s=RESTORED_WITHIN_S / 2.0,
        env_runner_restore_timeout_s=RESTORED_WITHIN_S,
    )
    config.debugging(log_level="ERROR")
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(config.log_level)
    config.rl_module(
        model_config={
            "width": plan.source.width,
            "actions": plan.source.actions,
            "hidden": training.hidden,
            "seed": plan.seed,
            "features": plan.features,
        }
    )
    config.training(
        lr=[list(corner) for corner in plan.learning_rates],
        gamma=training.discount,
        lambda_=training.gae_lambda,
        train_batch_size_per_learner=plan.steps_per_iteration,
        minibatch_size=min(training.minibatch, plan.steps_per_iteration),
        num_epochs=training.epochs,
        clip_param=training.clip,
        entropy_coeff=training.entropy,
        grad_clip=rule.gradient_norm,
    )
    return config


def _plan(config: AlgorithmConfig | None) -> Plan:
    return cast("Plan", cast("AlgorithmConfig", config).env_config["plan"])


def network_of(module: RLModule | None) -> PolicyNetwork:
    """The network within a module of ours."""
    return cast("PolicyModule", cast("RLModule", module).unwrapped()).network


def _sample(runner: EnvRunner, iteration: int) -> list[Sample]:
    return cast("JourneyRunner", runner).sample(iteration=iteration)


def _take(runner: EnvRunner, weights: dict[str, Any] | ray.ObjectRef) -> None:
    runner.set_state(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)


def _metrics(runner: EnvRunner) -> dict[str, Any]:
    return cast("dict[str, Any]", runner.get_metrics())


def _learn(
    learner: Learner, batch: MultiAgentBatch | ray.ObjectRef, timesteps: dict[str, int]
) -> tuple[dict[str, Any], UpdateSummary]:
    given = ray.get(batch) if isinstance(batch, ray.ObjectRef) else batch
    ours = cast("JourneyLearner", learner)
    return ours.update(given, timesteps=timesteps), ours.summary
