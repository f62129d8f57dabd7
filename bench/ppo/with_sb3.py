"""stable-baselines3: MaskablePPO, which is its own for masked actions, and plain PPO.

Plain PPO knows no mask: an action that is not valid counts as action 0 there. It is run for its speed.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from bench.ppo.problem import Greedy, Problem
from bench.ppo.terms import Terms
from bench.ppo.trace import Trace
from bench.ppo.views import JourneyVecEnv
from everloop.contracts.datasets import Float, Float32


class ContextAlone(BaseFeaturesExtractor):
    """The networks see the context, as everybody's do; the mask after it is not theirs."""

    def __init__(self, observation_space: gymnasium.Space[Any], width: int) -> None:
        super().__init__(observation_space, width)
        self._width = width

    def forward(self, observations: Tensor) -> Tensor:
        return observations[:, : self._width]


class Marking(BaseCallback):
    """Marks the trace where an update has ended: before the next rollout, and at the end."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            self._trace.mark(self.num_timesteps, _greedy(self.model.policy))

    def _on_training_end(self) -> None:
        self._trace.mark(self.num_timesteps, _greedy(self.model.policy))

    def _on_step(self) -> bool:
        return True


def train(terms: Terms, problem: Problem, seed: int, trace: Trace) -> None:
    """Train MaskablePPO by the terms."""
    _learn(MaskablePPO, "MlpPolicy", False, terms, problem, seed, trace)


def train_plain(terms: Terms, problem: Problem, seed: int, trace: Trace) -> None:
    """Train PPO by the terms, the mask folded into the environment."""
    _learn(PPO, "MlpPolicy", True, terms, problem, seed, trace)


def _learn(
    algorithm: Any,
    policy: str,
    folded: bool,
    terms: Terms,
    problem: Problem,
    seed: int,
    trace: Trace,
) -> None:
    model = algorithm(
        policy,
        JourneyVecEnv(problem.source(seed), terms.journeys, folded),
        learning_rate=lambda remaining: terms.rate_at(1.0 - remaining),
        n_steps=terms.length,
        batch_size=terms.minibatch,
        n_epochs=terms.epochs,
        gamma=terms.discount,
        gae_lambda=terms.gae_lambda,
        clip_range=terms.clip,
        ent_coef=terms.entropy,
        vf_coef=terms.value_weight / 2.0,  # its value loss is not halved
        max_grad_norm=terms.gradient_norm,
        seed=seed,
        device="cpu",
        policy_kwargs={
            "activation_fn": nn.Tanh,
            "net_arch": {"pi": [terms.hidden] * 2, "vf": [terms.hidden] * 2},
            "features_extractor_class": ContextAlone,
            "features_extractor_kwargs": {"width": terms.size.width},
            "optimizer_kwargs": {"eps": terms.adam_eps},
        },
    )
    torch.set_num_threads(1)
    trace.start()
    model.learn(total_timesteps=terms.steps, callback=Marking(trace), log_interval=None)


def _greedy(policy: Any) -> Greedy:
    def greedy(observation: Float32) -> Float:
        features = policy.extract_features(torch.from_numpy(observation))
        latent = policy.mlp_extractor.forward_actor(features)
        scores: Float = policy.action_net(latent).numpy()
        return scores

    return greedy
