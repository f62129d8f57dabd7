"""What the driver sends to learners: an iteration's decisions, and what time it is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from rl.ppo.plan import Plan
from rl.ppo.rollout import Rollout

ITERATION = "everloop_iteration"


def as_batch(rollout: Rollout) -> MultiAgentBatch:
    """A rollout in the form that learner groups carry."""
    columns: dict[str, NDArray[Any]] = {f.name: getattr(rollout, f.name) for f in fields(Rollout)}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=len(rollout))


def clock(plan: Plan, iteration: int) -> dict[str, int]:
    """What a learner is told of time: derived from the iteration, so that a resume cannot drift."""
    return {
        ITERATION: iteration,
        NUM_ENV_STEPS_SAMPLED_LIFETIME: (iteration + 1) * plan.steps_per_iteration,
    }
