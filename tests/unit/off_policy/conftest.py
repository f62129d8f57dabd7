"""A small world with a known truth: linear-ish rewards, a known logging policy, two candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States

ACTIONS, WIDTH = 4, 3
ENCODER = "encoder-1"


@dataclass(frozen=True)
class SoftmaxPolicy:
    """pi(a|x) proportional to exp(sharpness x.w_a), explored epsilon-greedily."""

    weights: Float
    sharpness: float = 4.0
    version: str = "candidate-1"
    encoder: str = ENCODER

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        logits = self.sharpness * (states.context.astype(float) @ self.weights)
        logits = np.where(states.mask, logits, -1e9)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
        return PolicyOutput(logits, (1 - epsilon) * p + epsilon * uniform, np.zeros(len(p)))


@dataclass(frozen=True)
class World:
    """Truth and log. ``truth`` (n, A) expected rewards, ``logging`` (n, A) probabilities."""

    spec: LoopSpec
    weights: Float
    episodes: EncodedEpisodes
    truth: Float
    logging: Float
    good: SoftmaxPolicy = field(init=False)
    bad: SoftmaxPolicy = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "good", SoftmaxPolicy(self.weights, version="good"))
        object.__setattr__(self, "bad", SoftmaxPolicy(-self.weights, version="bad"))

    def value(self, policy: SoftmaxPolicy | None) -> float:
        """True one-step value over all logged states."""
        states = States(self.episodes.context, self.episodes.mask)
        floor = self.spec.exploration.serving_floor
        pi = self.logging if policy is None else policy.act(states, floor).propensity
        return float((pi * self.truth).sum(axis=1).mean())


def _spec(low: float, **thresholds: float) -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": "world",
            "version": 1,
            "context": [
                {"name": f"x{i}", "kind": "number", "low": -1, "high": 1} for i in range(WIDTH)
            ]
            + [{"name": "age", "kind": "category", "choices": ["young", "old"]}],
            "actions": [
                {"id": "nothing", "kind": "no_action"},
                *(
                    {"id": f"item-{i}", "kind": "recommend_hive", "event_id": str(i)}
                    for i in range(1, ACTIONS)
                ),
            ],
            "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
            "reward": {
                "attainable_low": low,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
            "exploration": {"start": 0.1, "serving_floor": 0.1},
            "protected": ["age"],
            "thresholds": thresholds,
        }
    )


def make_world(
    seed: int,
    people: int = 800,
    mean_episodes: int = 4,
    *,
    sparse: float = 0.0,
    explore: float = 0.5,
    masked: bool = True,
    **thresholds: float,
) -> World:
    """Draw a log. ``sparse``: click probability instead of a dense reward in [-1, 1]."""
    rng = np.random.default_rng([seed, 5])
    weights = np.random.default_rng(99).normal(0, 1, (WIDTH, ACTIONS))
    counts = rng.poisson(mean_episodes - 1, people) + 1
    person = rng.permutation(np.repeat(np.arange(people), counts))
    n = len(person)
    context = np.clip(rng.normal(0, 0.5, (n, WIDTH)), -1, 1).astype(np.float32)
    mask = np.ones((n, ACTIONS), dtype=bool)
    if masked:
        mask[:, 1:] = rng.random((n, ACTIONS - 1)) < 0.9
    lean = np.where(mask, np.exp([1.0, 0.0, 0.0, 0.0]), 0.0)
    logging = (1 - explore) * lean / lean.sum(axis=1, keepdims=True)
    logging += explore * mask / mask.sum(axis=1, keepdims=True)
    drawn = (rng.random((n, 1)) < logging.cumsum(axis=1)).argmax(axis=1)
    action = np.where(mask[np.arange(n), drawn], drawn, 0)
    feeling = np.tanh(context @ weights)
    truth = sparse * (1 + feeling) if sparse else 0.2 + 0.4 * feeling
    chosen = truth[np.arange(n), action]
    reward = (
        (rng.random(n) < chosen).astype(float)
        if sparse
        else np.clip(chosen + rng.uniform(-0.4, 0.4, n), -1, 1)
    )
    held = rng.random(people) < 0.5
    episodes = EncodedEpisodes(
        episode_id=np.array([f"e{i:07d}" for i in range(n)]),
        person=person,
        people=np.array([f"p{i:06d}" for i in range(people)]),
        context=context,
        interacting=np.ones(WIDTH, dtype=bool),
        action=action,
        mask=mask,
        propensity=logging[np.arange(n), action],
        reward=reward,
        signals=reward[:, None],
        holdout=held[person],
        comparison=np.zeros(n, dtype=bool),
        timestamp=np.arange(n, dtype=float),
        encoder=ENCODER,
    )
    return World(_spec(0.0 if sparse else -1.0, **thresholds), weights, episodes, truth, logging)


@pytest.fixture(scope="session")
def draw_world() -> Callable[..., World]:
    return make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world(1)
