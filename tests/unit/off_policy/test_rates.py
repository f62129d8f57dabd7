"""Acceptance and rejection of a policy's interventions, by hand and against a known truth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from everloop.contracts.actions import ActionKind
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from rl.off_policy.evaluate import evaluate
from rl.off_policy.rates import ACCEPTED, REJECTED, intervention_rates, weighted_share
from tests.unit.off_policy.test_allowed import Eager, flagged


def intervening(spec: LoopSpec) -> LoopSpec:
    """The world's items 2 and 3 are interventions."""
    actions = tuple(
        a.model_copy(update={"kind": ActionKind.INTERVENTION})
        if a.id in ("item-2", "item-3")
        else a
        for a in spec.actions
    )
    return spec.model_copy(update={"actions": actions})


def test_by_hand() -> None:
    """Weights 2, 1 | 3 | 2 of three people, hits 1, 0 | 1 | 0: V = 5/8.

    Residuals by person: 2 * 3/8 - 5/8 = 1/8; 3 * 3/8 = 9/8; -2 * 5/8 = -10/8, squares 182/64;
    var = 3/2 * 182/64 / 64 = 0.0666504, V (1 - V) / var = 3.5165 and (sum w)^2 / sum w^2 = 64/18 = 3.5556.
    """
    found = weighted_share(
        "share",
        np.array([True, False, True, False]),
        np.array([2.0, 1.0, 3.0, 2.0]),
        np.array([4, 4, 7, 9]),
    )
    assert found.value == pytest.approx(0.625)
    effective = (15 / 64) / (1.5 * 182 / 64 / 64)
    assert effective == pytest.approx(3.5165, abs=1e-4)
    assert (found.low, found.high) == pytest.approx(wilson(0.625, effective, critical(0.95)))
    assert (found.n, found.clusters, found.confidence) == (3, 3, 0.95)
    assert "4 logged interventions" in found.method


def test_nothing_rejected_is_not_certainty() -> None:
    """Two people with weights 1 + 1 and 2: (4)^2 / (2^2 + 2^2) = 2 of them."""
    found = weighted_share(
        "s", np.zeros(3, dtype=bool), np.array([1.0, 1.0, 2.0]), np.array([0, 0, 1])
    )
    assert found.value == 0.0
    assert found.n == 2
    assert (found.low, found.high) == pytest.approx(wilson(0.0, 2.0, critical(0.95)))
    alone = weighted_share("s", np.zeros(2, dtype=bool), np.ones(2), np.zeros(2, dtype=int))
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_only_interventions_that_the_policy_would_make_count(world: Any) -> None:
    spec, episodes = intervening(world.spec), world.episodes
    kind = episodes.action >= 2
    ones = np.ones(len(episodes))
    accepted, rejected = intervention_rates(spec, episodes, ones)
    assert (accepted.name, rejected.name) == (ACCEPTED, REJECTED)
    assert accepted.value == pytest.approx((episodes.reward[kind] >= 0.5).mean())
    assert rejected.value == pytest.approx((episodes.reward[kind] <= -0.5).mean())
    assert intervention_rates(spec, episodes, np.where(kind, 0.0, ones)) == ()
    assert intervention_rates(world.spec, episodes, ones) == ()
    nobody = episodes.where(np.zeros(len(episodes), dtype=bool))
    assert evaluate(spec, nobody, world.good, None).rates == ()


def truth(drawn: Any) -> tuple[float, float]:
    """P(y | the good policy intervenes): rewards are the mean plus a uniform in [-.4, .4], clipped."""
    states = States(drawn.episodes.context, drawn.episodes.mask)
    pi = drawn.good.act(states, drawn.spec.exploration.serving_floor).propensity[:, 2:]
    mean = drawn.truth[:, 2:]
    above = np.clip((mean + 0.4 - 0.5) / 0.8, 0, 1)
    below = np.clip((-0.5 - (mean - 0.4)) / 0.8, 0, 1)
    return float((pi * above).sum() / pi.sum()), float((pi * below).sum() / pi.sum())


def test_intervals_cover_the_truth(draw_world: Callable[..., Any]) -> None:
    """At 95 %, within four errors; the product's own rate, which ignores weights, is another one."""
    trials = 150
    large = draw_world(999, people=20_000, mean_episodes=3)
    wanted = truth(large)
    spec = intervening(large.spec)
    logged = intervention_rates(spec, large.episodes, np.ones(len(large.episodes)))[0]
    assert not logged.low < wanted[0] < logged.high
    hits = np.zeros(2)
    for seed in range(trials):
        drawn = draw_world(seed, people=300, mean_episodes=3)
        rates = evaluate(spec, drawn.episodes, drawn.good, None).rates
        hits += [r.low <= want <= r.high for r, want in zip(rates, wanted, strict=True)]
    assert (hits / trials > 0.95 - 4 * math.sqrt(0.95 * 0.05 / trials)).all(), hits


def test_interventions_that_flags_forbid_have_no_part(world: Any) -> None:
    """Where flags forbid them all are accepted, elsewhere all rejected: nothing accepted is seen."""
    spec, episodes = flagged(world, ("item-2", "item-3"))
    hot = episodes.context[:, 0] >= 0.5
    reward = np.where(episodes.action >= 2, np.where(hot, 1.0, -1.0), episodes.reward)
    episodes = dataclasses.replace(episodes, reward=reward)
    policy = Eager(episodes.encoder)
    accepted, rejected = evaluate(intervening(spec), episodes, policy, None).rates
    assert accepted.value == 0.0
    assert rejected.value == pytest.approx(1.0)
