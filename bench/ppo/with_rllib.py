"""RLlib's stock PPO on its new API stack, natively batched: the vectorised environment is its own.

Runner, connectors and learner are RLlib's; the module is ours only because no stock one masks actions
of a flat observation. It runs in one process: a runner beside the learner, no workers.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune.registry import register_env

from bench.ppo.problem import Greedy, Problem
from bench.ppo.terms import Terms
from bench.ppo.trace import Trace
from bench.ppo.views import NextStepVectorEnv
from bench.ppo.with_cleanrl import Agent
from everloop.contracts.datasets import Float, Float32
from rl.environment.views import JourneyEnv

_ENVIRONMENT = "bench-ppo"
_PIECES = 32


class MaskedModule(TorchRLModule, ValueFunctionAPI):
    """The network that everybody has."""

    def setup(self) -> None:
        given = cast("dict[str, Any]", self.model_config)
        torch.manual_seed(given["seed"])
        self.agent = Agent(given["width"], given["actions"], given["hidden"])

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.agent.get_logits(batch[Columns.OBS])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.agent.get_value(batch[Columns.OBS]).squeeze(-1)


def train(terms: Terms, problem: Problem, seed: int, trace: Trace) -> None:
    """Train by the terms."""
    source = problem.source(seed)
    register_env(_ENVIRONMENT, lambda given: NextStepVectorEnv(problem, source, given["num_envs"]))
    single = JourneyEnv(source)
    corners = [i / _PIECES for i in range(_PIECES + 1)]
    config = (
        PPOConfig()
        .environment(
            _ENVIRONMENT,
            observation_space=single.observation_space,
            action_space=single.action_space,
        )
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=terms.journeys,
            rollout_fragment_length=terms.length,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .learners(num_learners=0)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=MaskedModule,
                model_config={
                    "width": terms.size.width,
                    "actions": terms.size.actions,
                    "hidden": terms.hidden,
                    "seed": seed,
                },
            )
        )
        .training(
            lr=[[round(terms.steps * at), terms.rate_at(at)] for at in corners],
            gamma=terms.discount,
            lambda_=terms.gae_lambda,
            train_batch_size_per_learner=terms.batch,
            minibatch_size=terms.minibatch,
            num_epochs=terms.epochs,
            clip_param=terms.clip,
            entropy_coeff=terms.entropy,
            vf_loss_coeff=terms.value_weight / 2.0,  # its value loss is not halved
            vf_clip_param=1e9,
            use_kl_loss=False,
            grad_clip=terms.gradient_norm,
            grad_clip_by="global_norm",
        )
        .debugging(seed=seed, log_level="ERROR")
    )
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    algorithm = config.build_algo()
    torch.set_num_threads(1)
    trace.start()
    done = 0
    while done < terms.steps:
        done = int(algorithm.train()[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        trace.mark(done, _greedy(algorithm))
    algorithm.stop()


def _greedy(algorithm: Any) -> Greedy:
    module = algorithm.get_module().unwrapped()  # a runner's, which has just been given the weights

    def greedy(observation: Float32) -> Float:
        scores: Float = module.agent.get_logits(torch.from_numpy(observation)).numpy()
        return scores

    return greedy
