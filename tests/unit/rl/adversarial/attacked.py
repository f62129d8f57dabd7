"""A loop with every kind of field, logged states in its own encoding, and a policy that may be fragile."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States
from rl.encoders.context import encode_context, layout

SPEC = LoopSpec.model_validate(
    {
        "name": "attacked",
        "version": 1,
        "context": [
            {"name": "mood", "kind": "number", "low": -1, "high": 1},
            {"name": "voice", "kind": "vector", "width": 3, "low": 0, "high": 2},
            {"name": "age", "kind": "category", "choices": ["young", "old"]},
            {"name": "hour", "kind": "cycle", "period": 24},
            {"name": "past", "kind": "history", "width": 2},
        ],
        "actions": [
            {"id": "nothing", "kind": "no_action"},
            {"id": "one", "kind": "recommend_hive", "event_id": "1"},
            {"id": "two", "kind": "recommend_hive", "event_id": "2"},
            {"id": "alarm", "kind": "recommend_hive", "event_id": "3", "safety_critical": True},
        ],
        "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
        "reward": {
            "attainable_low": -1,
            "attainable_high": 1,
            "half_life_seconds": 60,
            "closes_after_seconds": 60,
            "success_at": 0.5,
            "failure_at": -0.5,
        },
        "exploration": {"start": 0.1, "serving_floor": 0.1},
    }
)
LAYOUT = layout(SPEC)
ACTIONS = len(SPEC.actions)


@dataclass(frozen=True)
class Linear:
    """Softmax of x.w among valid actions, explored; refuses what a served policy refuses."""

    sharpness: float = 3.0
    version: str = "sound"
    encoder: str = LAYOUT.encoder
    weights: Float = field(
        default_factory=lambda: np.random.default_rng(61).normal(0, 1, (LAYOUT.width, ACTIONS))
    )

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        if not states.mask.any(axis=1).all():
            raise ShouldFixArgument("A state has no valid action.", "Leave at least one.")
        logits = self.sharpness * (states.context.astype(np.float64) @ self.weights)
        logits = np.where(states.mask, logits, -1e9)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
        return PolicyOutput(logits, (1 - epsilon) * p + epsilon * uniform, np.zeros(len(p)))


def logged_states(seed: int = 62, people: int = 700) -> EncodedEpisodes:
    """Three decisions a person by a half random policy; rewards follow the sound policy's taste."""
    rng = np.random.default_rng(seed)
    n = 3 * people
    contexts = [
        {
            "mood": float(rng.uniform(-1, 1)) if rng.random() < 0.9 else None,
            "voice": rng.uniform(0, 2, 3).tolist(),
            "age": ["young", "old"][int(rng.integers(2))],
            "hour": float(rng.uniform(0, 24)),
            "past": [],
        }
        for _ in range(n)
    ]
    context = encode_context(SPEC, contexts)
    mask = np.ones((n, ACTIONS), dtype=bool)
    chance = Linear(1.0).act(States(context, mask), 0.5).propensity
    action = (rng.random((n, 1)) < np.cumsum(chance, axis=1)).argmax(axis=1)
    taste = np.tanh(context.astype(float) @ Linear().weights)
    taste[:, 3] = -0.8  # the alarm is the worst that can be done
    reward = np.clip(0.5 * taste[np.arange(n), action] + rng.uniform(-0.3, 0.3, n), -1, 1)
    person = np.repeat(np.arange(people), 3)
    held = np.random.default_rng(63).random(people) < 0.6
    return EncodedEpisodes(
        episode_id=np.array([f"e{i:06d}" for i in range(n)]),
        person=person,
        people=np.array([f"p{i:05d}" for i in range(people)]),
        context=context,
        interacting=np.ones(LAYOUT.width, dtype=bool),
        action=action,
        mask=mask,
        propensity=chance[np.arange(n), action],
        reward=reward,
        signals=reward[:, None],
        holdout=held[person],
        comparison=np.zeros(n, dtype=bool),
        timestamp=np.arange(n, dtype=float),
        encoder=LAYOUT.encoder,
    )
