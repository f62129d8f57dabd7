"""Policies are judged under today's flags: what they forbid has weight 0 and nothing is asked of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from everloop.contracts.constraint_spec import ConstraintSpec, FlagSpec
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import PolicyOutput, States
from rl.encoders.context import layout
from rl.off_policy import bounds
from rl.off_policy.allowed import allowed
from rl.off_policy.evaluate import evaluate

EVERY = ("nothing", "item-1", "item-2", "item-3")


class Eager:
    """Always the last action that is valid, explored; keeps the masks that it was asked about."""

    version = "eager"

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self.masks: list[np.ndarray[Any, Any]] = []

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        self.masks.append(states.mask)
        last = states.mask.shape[1] - 1 - states.mask[:, ::-1].argmax(axis=1)
        greedy = np.eye(states.mask.shape[1])[last]
        uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
        mixed = (1 - epsilon) * greedy + epsilon * uniform
        return PolicyOutput(mixed, mixed, np.zeros(len(mixed)))


def flagged(world: Any, never: tuple[str, ...]) -> tuple[LoopSpec, EncodedEpisodes]:
    """The world under a flag on high x0, its contexts in the loop's encoding."""
    flag = FlagSpec(field="x0", at_least=0.5, never=never, when_missing=False)
    spec = world.spec.model_copy(update={"constraints": ConstraintSpec(flags=(flag,))})
    own = layout(spec)
    context = np.zeros((len(world.episodes), own.width), dtype=np.float32)
    for place in range(3):
        block = next(b for b in own.blocks if b.field == f"x{place}")
        context[:, block.start] = world.episodes.context[:, place]
    interacting = np.zeros(own.width, dtype=np.bool_)
    return spec, dataclasses.replace(world.episodes, context=context, interacting=interacting)


def test_a_flag_takes_its_actions_from_every_policy_that_is_judged(world: Any) -> None:
    spec, episodes = flagged(world, ("item-3",))
    candidate, active = Eager(episodes.encoder), Eager(episodes.encoder)
    found = evaluate(spec, episodes, candidate, active)
    setting = bounds.prepare(spec, episodes, 0.1, 1)
    hot = setting.judged.context[:, 0] >= 0.5
    forbidden = hot & (setting.judged.action == 3)
    assert 0.02 < forbidden.mean() < 0.2
    for policy in (candidate, active):
        asked = policy.masks[0]
        assert not asked[hot, 3].any()
        np.testing.assert_array_equal(asked[~hot], setting.judged.mask[~hot])
    assert found.overlap.n == len(setting.judged)
    assert found.overlap.excluded_share == pytest.approx(forbidden.mean())
    assert found.overlap.kept_as_logged == 0
    assert found.overlap.problems == ()
    assert found.action_share["item-3"] <= (~hot & setting.judged.mask[:, 3]).mean()
    assert setting.known.overshoot == pytest.approx(4 / 0.1 - 1)


def test_the_value_is_that_of_what_would_be_served(draw_world: Callable[..., Any]) -> None:
    world = draw_world(3, people=4_000)
    spec, episodes = flagged(world, ("item-3",))
    hot = episodes.context[:, 0] >= 0.5
    reward, truth, mask = episodes.reward.copy(), world.truth.copy(), episodes.mask.copy()
    reward[hot & (episodes.action == 3)] = truth[hot, 3] = 1.0
    mask[hot, 3] = False
    episodes = dataclasses.replace(episodes, reward=reward)
    policy = Eager(episodes.encoder)
    found = evaluate(spec, episodes, policy, None)
    served = policy.act(States(episodes.context, mask), spec.exploration.serving_floor).propensity
    as_logged = policy.act(States(episodes.context, episodes.mask), 0.1).propensity
    want, wrong = ((pi * truth).sum(axis=1).mean() for pi in (served, as_logged))
    worth = {e.name: e for e in found.estimates}["dr"]
    assert worth.low < want < worth.high
    assert not worth.low < wrong < worth.high


def test_a_state_where_nothing_is_left_stays_as_logged(world: Any) -> None:
    spec, episodes = flagged(world, EVERY)
    found = allowed(spec, episodes)
    hot = episodes.context[:, 0] >= 0.5
    np.testing.assert_array_equal(found.mask, episodes.mask)
    np.testing.assert_array_equal(found.kept, hot)
    assert not found.excluded.any()
    judged = evaluate(spec, episodes, Eager(episodes.encoder), None).overlap
    assert judged.kept_as_logged == (bounds.prepare(spec, episodes, 0.1, 1).allowed.kept).sum() > 0


def test_without_flags_the_log_is_taken_as_it_is(world: Any) -> None:
    found = allowed(world.spec, world.episodes)
    assert found.mask is world.episodes.mask
    assert evaluate(world.spec, world.episodes, world.good, None).overlap.excluded_share == 0.0


def test_flags_are_not_read_from_another_encoding(world: Any) -> None:
    spec, _ = flagged(world, ("item-3",))
    with pytest.raises(ShouldFixArgument, match="Contexts have 3 dimensions"):
        allowed(spec, world.episodes)
