"""Journeys as Gymnasium environments, single and batched, for trainers from outside.

An observation is the context, then the mask of what is valid, and ``action_masks()`` is that mask alone,
under the name by which trainers with invalid actions ask for it. Outsiders may not know masks. So here,
and only here, an action that the mask excludes is not refused: it is not taken either, the first valid
action of the catalogue is, and ``info["taken"]`` says which. An index outside the catalogue is an error.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.errors import ShouldFixArgument
from rl.environment.journeys import JourneyBatch, Step
from rl.environment.source import JourneySource

TAKEN = "taken"
"""Key of the info that names the action taken in place of one that the mask excludes."""


def _spaces(source: JourneySource) -> tuple[Box, Discrete[np.int64]]:
    width = source.width
    low = np.concatenate([np.full(width, -1.0), np.zeros(source.actions)]).astype(np.float32)
    high = np.ones(width + source.actions, dtype=np.float32)
    return Box(low, high, dtype=np.float32), Discrete(source.actions)


def _permitted(journeys: JourneyBatch, asked: Int) -> Int:
    """(N,) the actions asked for, and the first valid one in place of one that is not."""
    if asked.shape != (journeys.size,):
        raise ShouldFixArgument(
            f"actions of shape {asked.shape} are not one per journey ({journeys.size},)."
        )
    outside = (asked < 0) | (asked >= journeys.source.actions)
    if outside.any():
        raise ShouldFixArgument(
            f"Action {int(asked[np.argmax(outside)])} is not in the catalogue of "
            f"{journeys.source.actions}.",
            "Choose an index of the action space.",
        )
    mask = journeys.mask
    valid = mask[np.arange(journeys.size), asked]
    return asked if valid.all() else np.where(valid, asked, mask.argmax(axis=1))


class JourneyEnv(gymnasium.Env[Float32, np.int64]):
    """One journey at a time; see the module for actions that the mask excludes."""

    def __init__(self, source: JourneySource) -> None:
        self.metadata = {"render_modes": []}
        self._journeys = JourneyBatch(source, 1)
        self.observation_space, self.action_space = _spaces(source)

    def action_masks(self) -> Bool:
        """(A,) what is valid now."""
        mask: Bool = self._journeys.mask[0]
        return mask

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start a journey with a sampled person."""
        super().reset(seed=seed, options=options)
        return self._journeys.reset(self.np_random)[0], {}

    def step(self, action: np.int64) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """Make one decision."""
        asked = np.array([action], dtype=np.int64)
        taken = _permitted(self._journeys, asked)
        step = self._journeys.step(taken)
        return (
            step.following[0],
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            {} if taken is asked else {TAKEN: taken[0]},
        )


class JourneyVectorEnv(VectorEnv[Float32, Int, NDArray[Any]]):
    """N journeys with resets in the same step; ``journeys`` is what runners drive directly.

    One generator draws for all journeys: a seed is one number, and the same seed, size and actions give
    the same observations.
    """

    def __init__(self, source: JourneySource, size: int) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.journeys = JourneyBatch(source, size)
        self.num_envs = size
        self.single_observation_space, self.single_action_space = _spaces(source)
        self.observation_space = batch_space(self.single_observation_space, size)
        self.action_space = batch_space(self.single_action_space, size)

    def action_masks(self) -> Bool:
        """(N, A) what is valid now."""
        return self.journeys.mask

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start N journeys.

        Raises:
            ShouldFixArgument: a seed for each journey, or a part of them to start.
        """
        if not (seed is None or isinstance(seed, int | np.integer)):
            raise ShouldFixArgument(
                f"seed={seed!r} is not one number.", "One generator draws for all journeys."
            )
        if options is not None and "reset_mask" in options:
            raise ShouldFixArgument(
                "reset_mask starts a part of the journeys.", "They start anew by themselves."
            )
        super().reset(seed=seed, options=options)
        return self.journeys.reset(self.np_random), {}

    def step(self, actions: Int) -> tuple[Float32, Float, Bool, Bool, dict[str, Any]]:
        """Make N decisions; where a journey ended, ``final_obs`` holds what followed its decision and
        ``final_info`` what would have been said of it."""
        asked = np.asarray(actions, dtype=np.int64)
        taken = _permitted(self.journeys, asked)
        step = self.journeys.step(taken)
        infos = _infos(step, asked, taken)
        return self.journeys.observation, step.reward, step.terminated, step.truncated, infos


def _infos(step: Step, asked: Int, taken: Int) -> dict[str, Any]:
    replaced, done = asked != taken, step.done
    infos = _taken(taken, replaced & ~done)
    if done.any():
        final = np.full(len(done), None, dtype=object)
        for row in np.flatnonzero(done):
            final[row] = step.following[row]
        infos |= {"final_obs": final, "_final_obs": done}
        infos |= {"final_info": _taken(taken, replaced & done), "_final_info": done.copy()}
    return infos


def _taken(taken: Int, where: Bool) -> dict[str, Any]:
    return {TAKEN: np.where(where, taken, 0), f"_{TAKEN}": where} if where.any() else {}
