"""Journeys as Gymnasium environments, single and batched."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, Float, Float32, Int
from rl.environment.journeys import JourneyBatch, JourneySource


def _spaces(source: JourneySource) -> tuple[Box, Discrete[np.int64]]:
    width = source.width
    low = np.concatenate([np.full(width, -1.0), np.zeros(source.actions)]).astype(np.float32)
    high = np.ones(width + source.actions, dtype=np.float32)
    return Box(low, high, dtype=np.float32), Discrete(source.actions)


class JourneyEnv(gymnasium.Env[Float32, np.int64]):
    """One journey at a time. An observation is the context, then the action mask."""

    def __init__(self, source: JourneySource) -> None:
        self.metadata = {"render_modes": []}
        self._journeys = JourneyBatch(source, 1)
        self.observation_space, self.action_space = _spaces(source)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start a journey with a sampled person."""
        super().reset(seed=seed, options=options)
        return self._journeys.reset(self.np_random)[0], {}

    def step(self, action: np.int64) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """Make one decision; ``ShouldFixArgument`` for an action that the mask excludes."""
        step = self._journeys.step(np.array([action], dtype=np.int64))
        return (
            step.following[0],
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            {},
        )


class JourneyVectorEnv(VectorEnv[Float32, Int, NDArray[Any]]):
    """N journeys with resets in the same step; ``journeys`` is what runners drive directly."""

    def __init__(self, source: JourneySource, size: int) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.journeys = JourneyBatch(source, size)
        self.num_envs = size
        self.single_observation_space, self.single_action_space = _spaces(source)
        self.observation_space = batch_space(self.single_observation_space, size)
        self.action_space = batch_space(self.single_action_space, size)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start N journeys."""
        super().reset(seed=seed, options=options)  # type: ignore[arg-type]
        return self.journeys.reset(self.np_random), {}

    def step(self, actions: Int) -> tuple[Float32, Float, Bool, Bool, dict[str, Any]]:
        """Make N decisions; ``final_obs`` holds what followed them where a journey ended."""
        step = self.journeys.step(np.asarray(actions, dtype=np.int64))
        infos = {"final_obs": step.following, "_final_obs": step.done} if step.done.any() else {}
        return self.journeys.observation, step.reward, step.terminated, step.truncated, infos
