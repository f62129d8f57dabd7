"""What a policy starts from: fitted to the best single decisions, before it learns to look ahead.

The user model says what every valid action is expected to earn at once, which sampled returns would
take many journeys to tell. On simulated states the policy is fitted to

    softmax_a((r(s, a) - pessimism se(s, a)) / TEMPERATURE)

by cross-entropy; se is the standard error of what a is expected to earn above doing nothing, see
``rl.belief``. PPO then starts from there and learns what decisions do to later ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.simulation import UserModel
from rl.belief import BelievedUserModel, one_each
from rl.environment.journeys import JourneyBatch
from rl.module import PolicyNetwork
from rl.ppo.checkpoint import Array
from rl.ppo.plan import Plan
from rl.ppo.schedule import stream

TEMPERATURE: Final = 0.01
"""In units of reward: how much better an action must be for the policy to be nearly sure of it."""
EPOCHS: Final = 16
BATCH: Final = 256
LEARNING_RATE: Final = 3e-3
"""At the first step, annealed to 0 by a cosine."""
_STREAM: Final = 2**31 - 1
"""States and batches are drawn from a stream that no runner or learner has."""


def head_start(plan: Plan, weights: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Weights fitted to the best single decisions on ``plan.training.head_start`` simulated states.

    The value network is left as it is. Deterministic in the plan and the weights.

    Args:
        plan: the training.
        weights: to start from; ``None``: the plan's own initial ones.

    Raises:
        ShouldRestoreArtefact: the user model answered NaN or an array of another shape.
    """
    network = plan.network()
    if weights is not None:
        network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
    if plan.training.head_start:
        rng = stream(plan.seed, 0, _STREAM, 0)
        states = simulated_states(plan, plan.training.head_start, rng)
        wanted = best_single_decisions(plan.source.model, states, network.width)
        _fit(network, states, wanted, rng)
    return {name: values.numpy().copy() for name, values in network.state_dict().items()}


def simulated_states(plan: Plan, count: int, rng: np.random.Generator) -> Float32:
    """(n, d + A) at least ``count`` observations of journeys decided uniformly among valid actions."""
    size = min(count, plan.journeys_per_runner)
    journeys = JourneyBatch(plan.source, size)
    seen = [journeys.reset(rng)]
    for _ in range(-(-count // size) - 1):
        valid = seen[-1][:, plan.source.width :] > 0.5
        drawn = np.where(valid, rng.random(valid.shape), -1.0)
        journeys.step(drawn.argmax(axis=1))
        seen.append(journeys.observation)
    return np.concatenate(seen)


def best_single_decisions(model: UserModel, states: Float32, width: int) -> Float32:
    """(n, A) probabilities that the policy is fitted to; 0 on invalid actions."""
    context, valid = np.ascontiguousarray(states[:, :width]), states[:, width:] > 0.5
    believed = model.cautious_reward if isinstance(model, BelievedUserModel) else None
    value = np.full(valid.shape, -np.inf)
    for action in range(valid.shape[1]):
        rows = np.flatnonzero(valid[:, action])
        if len(rows):
            chosen: Int = np.full(len(rows), action, dtype=np.int64)
            ask = believed or model.expected_reward
            expected = ask(context[rows], chosen)
            one_each(expected, len(rows), model.release_id, "rewards")
            value[rows, action] = expected
    if np.isnan(value).any():
        raise ShouldRestoreArtefact(
            f"User model {model.release_id} expects a reward that is not a number.",
            "Fit the user model again.",
        )
    scaled: Float = (value - value.max(axis=1, keepdims=True)) / TEMPERATURE
    wanted = np.exp(scaled)
    return np.asarray(wanted / wanted.sum(axis=1, keepdims=True), dtype=np.float32)


def _fit(
    network: PolicyNetwork, states: Float32, wanted: Float32, rng: np.random.Generator
) -> None:
    weights = [p for name, p in network.named_parameters() if not name.startswith("critic.")]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE, fused=True)
    observations, targets = torch.from_numpy(states), torch.from_numpy(wanted)
    steps = -(-EPOCHS * len(states) // BATCH)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        index = torch.from_numpy(rng.integers(len(states), size=BATCH))
        log_policy = torch.log_softmax(network.logits(observations[index]), dim=1)
        loss = -(targets[index] * log_policy).sum(dim=1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
