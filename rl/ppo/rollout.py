"""Batched sampling: a network plays N journeys for T decisions with epsilon-greedy exploration."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldRestoreArtefact
from rl.environment.journeys import JourneyBatch
from rl.module import PolicyNetwork, log_behaviour
from rl.ppo.advantage import generalised_advantages


@dataclass(frozen=True, slots=True)
class Rollout:
    """M = T * N decisions, time-major and flat.

    Attributes:
        observation: (M, d + A) float32.
        action: (M,) indices.
        log_policy: (M, A) float32, log pi_old(a | s).
        log_behaviour: (M,) float32, log of the action's true propensity b, exploration included.
        value: (M,) float32, V_old(s).
        advantage, target: (M,) float32, from generalised advantage estimation.
    """

    observation: Float32
    action: Int
    log_policy: Float32
    log_behaviour: Float32
    value: Float32
    advantage: Float32
    target: Float32

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True, slots=True)
class RewardSummary:
    """What the sampled decisions earned.

    Attributes:
        decisions: T * N.
        journey_reward: (N,) mean reward per decision of each of the N independent streams.
    """

    decisions: int
    journey_reward: Float

    @classmethod
    def together(cls, parts: list[RewardSummary]) -> RewardSummary:
        """The summaries of several runners as one."""
        return cls(
            sum(part.decisions for part in parts),
            np.concatenate([part.journey_reward for part in parts]),
        )

    @property
    def mean(self) -> float:
        """Mean reward per decision."""
        return float(self.journey_reward.mean())

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean: streams are independent, decisions in one are not."""
        n = len(self.journey_reward)
        return 1.96 * float(self.journey_reward.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan


def concatenate(parts: list[Rollout]) -> Rollout:
    """Rollouts of several runners as one, in the given order."""
    if len(parts) == 1:
        return parts[0]
    return Rollout(
        **{
            f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(Rollout)
        }
    )


def collect(
    network: PolicyNetwork,
    journeys: JourneyBatch,
    rng: np.random.Generator,
    length: int,
    epsilon: float,
    discount: float,
    gae_lambda: float,
) -> tuple[Rollout, RewardSummary]:
    """Play all journeys from a fresh start for ``length`` decisions each.

    Raises:
        ShouldRestoreArtefact: the user model or the network answered NaN.
    """
    n, width = journeys.size, network.width
    size = (length, n)
    observation = np.empty((*size, width + network.actions), dtype=np.float32)
    following = np.empty_like(observation)
    log_policy = np.empty((*size, network.actions), dtype=np.float32)
    behaviour = np.empty(size, dtype=np.float32)
    action = np.empty(size, dtype=np.int64)
    reward = np.empty(size)
    terminated = np.empty(size, dtype=np.bool_)
    done = np.empty(size, dtype=np.bool_)
    rows = np.arange(n)
    state = journeys.reset(rng)
    with torch.inference_mode():
        for t in range(length):
            observation[t] = state
            seen = torch.from_numpy(state)
            log_pi = torch.log_softmax(network.logits(seen), dim=1)
            log_b = log_behaviour(log_pi, seen[:, width:], epsilon).numpy()
            if np.isnan(log_b).any():
                raise ShouldRestoreArtefact(
                    "The policy network answered NaN.", "Train again with a lower learning rate."
                )
            # the largest of log b + Gumbel noise is distributed as b; -inf is never the largest
            action[t] = (log_b + rng.gumbel(size=log_b.shape)).argmax(axis=1)
            step = journeys.step(action[t])
            log_policy[t], behaviour[t] = log_pi.numpy(), log_b[rows, action[t]]
            reward[t], terminated[t], done[t] = step.reward, step.terminated, step.done
            following[t] = step.following
            state = journeys.observation
        value = _values(network, observation)
        next_value = np.concatenate([value[1:], _values(network, following[-1:])])
        cut = done & ~terminated
        cut[-1] = False
        next_value[cut] = network.values(torch.from_numpy(following[cut])).double().numpy()
    advantage, target = generalised_advantages(
        reward, value, next_value, terminated, done, discount, gae_lambda
    )
    rollout = Rollout(
        observation=observation.reshape(length * n, -1),
        action=action.reshape(-1),
        log_policy=log_policy.reshape(length * n, -1),
        log_behaviour=behaviour.reshape(-1),
        value=value.reshape(-1).astype(np.float32),
        advantage=advantage.reshape(-1).astype(np.float32),
        target=target.reshape(-1).astype(np.float32),
    )
    return rollout, RewardSummary(length * n, reward.mean(axis=0))


def _values(network: PolicyNetwork, observation: Float32) -> Float:
    flat = torch.from_numpy(observation.reshape(-1, observation.shape[-1]))
    values: Float = network.values(flat).double().numpy()
    return values.reshape(observation.shape[:-1])
