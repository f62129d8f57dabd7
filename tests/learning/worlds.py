"""Small worlds with a known best policy, and loops to go with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.loop_spec import ExplorationSpec, LoopSpec, TrainingSpec
from everloop.contracts.simulation import ProfileBatch, Responses
from rl.encoders import layout
from rl.environment import JourneySource
from rl.module import PolicyNetwork
from rl.ppo.plan import Plan
from rl.ppo.session import InProcess

Answer = tuple[Float, Float32, "np.ndarray[Any, Any]"]


def loop_of(fields: int, actions: int, **training: Any) -> LoopSpec:
    """A loop with ``fields`` numbers in -1..1 (two dimensions each) and ``actions`` events."""
    return LoopSpec.model_validate(
        {
            "name": "tiny",
            "version": 1,
            "context": [
                {"name": f"x{i}", "kind": "number", "low": -1, "high": 1} for i in range(fields)
            ],
            "actions": [
                {"id": f"event-{i}", "kind": "recommend_hive", "event_id": str(i)}
                for i in range(actions)
            ],
            "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
            "training": {"head_start": 0} | training,
        }
    )


@dataclass(frozen=True)
class World:
    """A user model made of one function: (context, action, rng) -> (reward, next context, ended)."""

    answer: Callable[[Float32, Int, np.random.Generator], Answer]
    release_id: str = "world"
    parameters: int = 0

    def expected_reward(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return self.answer(context, action, np.random.default_rng(0))[0]

    def expected_signals(
        self, context: Float32, action: Int, slate: Float32 | None = None
    ) -> Float:
        return self.expected_reward(context, action)[:, None]

    def acceptance(self, context: Float32, action: Int, slate: Float32 | None = None) -> Float:
        return (self.expected_reward(context, action) > 0.5).astype(np.float64)

    def end_chance(self, context: Float32, action: Int) -> Float:
        ended: Float = self.answer(context, action, np.random.default_rng(0))[2].astype(np.float64)
        return ended

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        reward, following, ended = self.answer(context, action, rng)
        return Responses(reward[:, None], reward, following, ended)


def never(n: int) -> np.ndarray[Any, Any]:
    return np.zeros(n, dtype=np.bool_)


def identity(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
    """The action must equal the state's bit (the first dimension's sign); bits are drawn anew."""
    reward = (action == (context[:, 0] > 0)).astype(np.float64)
    return (
        reward,
        rng.choice([-1.0, 1.0], size=context.shape).astype(np.float32),
        never(len(action)),
    )


def bandit(means: list[float]) -> Callable[[Float32, Int, np.random.Generator], Answer]:
    """One decision a journey; action i earns 1 with probability ``means[i]``."""

    def answer(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        reward = (rng.random(len(action)) < np.array(means)[action]).astype(np.float64)
        return reward, context, np.ones(len(action), dtype=np.bool_)

    return answer


def delayed(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
    """Three decisions; only the first matters, and it is paid after the third.

    Dimension 0 is the phase (-1, 0, 1), dimension 2 remembers the first action (-1 or 1).
    """
    phase, memory = context[:, 0], context[:, 2]
    following = context.copy()
    following[:, 0] = np.minimum(phase + 1.0, 1.0)
    following[:, 2] = np.where(phase < -0.5, np.where(action == 1, 1.0, -1.0), memory)
    last = phase > 0.5
    return np.where(last & (memory > 0), 1.0, 0.0), following, last


def people(
    spec: LoopSpec,
    n: int = 40,
    context: Float32 | None = None,
    mask: np.ndarray[Any, Any] | None = None,
) -> ProfileBatch:
    """``n`` people with random bits for a context, every action valid."""
    own = layout(spec)
    rng = np.random.default_rng(11)
    if context is None:
        context = rng.choice([-1.0, 1.0], size=(n, own.width)).astype(np.float32)
    if mask is None:
        mask = np.ones((len(context), len(spec.actions)), dtype=np.bool_)
    return ProfileBatch(context, mask, np.ones(len(context)), own.encoder, "people")


@dataclass(frozen=True)
class Learned:
    """A trained network and what its iterations earned."""

    network: PolicyNetwork
    rewards: list[float] = field(default_factory=list)

    def probabilities(self, context: Float32, mask: np.ndarray[Any, Any]) -> Float:
        observation = np.concatenate([context, mask.astype(np.float32)], axis=1)
        with torch.inference_mode():
            logits = self.network.logits(torch.from_numpy(observation))
        chosen: Float = torch.softmax(logits, dim=1).double().numpy()
        return chosen


def plan_of(
    world: World, profiles: ProfileBatch, seed: int = 1, journey: int = 10, **training: Any
) -> Plan:
    spec = TrainingSpec(**({"environments": 32, "hidden": 32, "learning_rate": 1e-3} | training))
    return Plan(JourneySource(world, profiles, journey), spec, ExplorationSpec(), seed)


def learn(plan: Plan) -> Learned:
    """Train in this process, without any file."""
    session = InProcess(plan)
    rewards = [session.iterate(i)[0].mean for i in range(plan.training.iterations)]
    network = plan.network()
    network.load_state_dict(
        {name: torch.from_numpy(a.copy()) for name, a in session.state().weights.items()}
    )
    session.close()
    return Learned(network, rewards)
