"""The same journeys as each peer's own kind of environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from bench.ppo.problem import Problem
from everloop.contracts.datasets import Bool, Float, Float32, Int
from rl.environment.journeys import JourneyBatch, JourneySource
from rl.environment.views import JourneyVectorEnv


class NextStepVectorEnv(JourneyVectorEnv):
    """N journeys as RLlib's runner plays them: the step after a journey's end starts the next one.

    That step's action counts for nothing and earns nothing. With resets in the same step RLlib would
    take what the first decision led to for a journey's start, and never learn from first decisions.
    """

    def __init__(self, problem: Problem, source: JourneySource, size: int) -> None:
        super().__init__(source, size)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self._problem = problem
        self._people = source.profiles
        self._person: Int = np.zeros(size, dtype=np.int64)
        self._context = self._people.context[self._person]
        self._over: Bool = np.zeros(size, dtype=np.bool_)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start N journeys."""
        super().reset(seed=seed, options=options)
        self._start(np.ones(self.num_envs, dtype=np.bool_))
        self._over = np.zeros(self.num_envs, dtype=np.bool_)
        return self._observed(), {}

    def step(self, actions: Int) -> tuple[Float32, Float, Bool, Bool, dict[str, Any]]:
        """Make a decision in each journey that is not over, and start the others anew."""
        over = self._over
        responses = self._problem.respond(
            self._people.context[self._person], self._context, np.asarray(actions), self.np_random
        )
        self._context = responses.context
        self._start(over)
        self._over = responses.ended & ~over
        reward = np.where(over, 0.0, responses.reward)
        return self._observed(), reward, self._over, np.zeros_like(self._over), {}

    def _start(self, which: Bool) -> None:
        self._person[which] = self.np_random.integers(len(self._people), size=int(which.sum()))
        self._context[which] = self._people.context[self._person[which]]

    def _observed(self) -> Float32:
        mask = self._people.mask[self._person].astype(np.float32)
        return np.hstack([self._context, mask])


class JourneyVecEnv(VecEnv):
    """N journeys as stable-baselines3 plays them.

    Args:
        source: people and their responses.
        size: N.
        folded: an action that is not valid counts as action 0, for a policy that knows no mask.
    """

    def __init__(self, source: JourneySource, size: int, folded: bool = False) -> None:
        spaces = JourneyVectorEnv(source, 1)
        super().__init__(size, spaces.single_observation_space, spaces.single_action_space)
        self._journeys = JourneyBatch(source, size)
        self._width = source.width
        self._folded = folded
        self._rows = np.arange(size)
        self._action: Int = np.zeros(size, dtype=np.int64)
        self._observation: Float32 = self._journeys.observation
        self._rng, _ = np_random()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Whom journeys are about, from the next reset on."""
        self._rng, _ = np_random(seed)
        return [seed] * self.num_envs

    def reset(self) -> Float32:
        self._observation = self._journeys.reset(self._rng)
        return self._observation

    def step_async(self, actions: NDArray[Any]) -> None:
        self._action = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> tuple[Float32, NDArray[np.float32], Bool, list[dict[str, Any]]]:
        action = self._action
        if self._folded:
            action = np.where(self.action_masks()[self._rows, action], action, 0)
        step = self._journeys.step(action)
        self._observation = self._journeys.observation
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(step.done):
            infos[row] = {
                "terminal_observation": step.following[row],
                "TimeLimit.truncated": bool(step.truncated[row]),
            }
        return self._observation, step.reward.astype(np.float32), step.done, infos

    def action_masks(self) -> Bool:
        """(N, A) valid actions."""
        return self._observation[:, self._width :] > 0.5

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Only ``action_masks`` is there to be called."""
        if method_name != "action_masks":
            raise AttributeError(method_name)
        return list(self.action_masks())

    def has_attr(self, attr_name: str) -> bool:
        return attr_name == "action_masks"

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def close(self) -> None:
        """Nothing was opened."""
