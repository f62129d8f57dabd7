from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rl.off_policy.groups import group_values, merged


def test_small_groups_are_merged() -> None:
    person = np.arange(200)
    labels = np.array(["big"] * 120 + ["middle"] * 60 + ["tiny"] * 12 + ["least"] * 8)
    names, counts = np.unique(merged(labels, person, 50), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "big": 120,
        "least + middle + tiny": 80,
    }


def test_small_groups_that_are_enough_together_take_nobody_else() -> None:
    labels = np.array(["big"] * 120 + ["a"] * 30 + ["b"] * 30)
    assert set(merged(labels, np.arange(180), 50).tolist()) == {"big", "a + b"}


def test_people_count_not_rows() -> None:
    """A hundred decisions of two people are a group of two."""
    labels = np.array(["many"] * 100 + ["few"] * 100)
    person = np.r_[np.arange(100), np.tile([100, 101], 50)]
    assert set(merged(labels, person, 50).tolist()) == {"few + many"}


def test_one_group_alone_and_unknown_people_stay() -> None:
    labels = np.array(["only"] * 5 + [""] * 3)
    assert set(merged(labels, np.arange(8), 50).tolist()) == {"only", ""}


def test_values_are_rescaled_and_aligned(draw_world: Callable) -> None:
    world = draw_world(1, fairness_min_group=2)
    episodes = world.episodes
    labels = np.where(episodes.person % 2 == 0, "even", "odd")
    labels[:10] = ""
    found = group_values(world.spec, episodes, {"age": labels}, episodes.reward)
    assert [(g.attribute, g.group) for g in found] == [("age", "even"), ("age", "odd")]
    for g in found:
        rows = labels == g.group
        # attainable range [-1, 1]
        assert g.estimate.value == pytest.approx((episodes.reward[rows].mean() + 1) / 2)
        assert g.people == len(set(episodes.person[rows].tolist()))
        assert g.estimate.n == rows.sum()
        assert g.estimate.low < g.estimate.value < g.estimate.high


def test_sparse_rewards_keep_their_scale(draw_world: Callable) -> None:
    """Attainable range [0, 1]: the value is the click rate; (r + 1) / 2 would make all groups alike."""
    world = draw_world(1, sparse=0.2)
    labels = np.full(len(world.episodes), "all")
    (found,) = group_values(world.spec, world.episodes, {"age": labels}, world.episodes.reward)
    assert found.estimate.value == pytest.approx(world.episodes.reward.mean())


def test_rewards_that_hardly_differ_give_no_interval(draw_world: Callable) -> None:
    world = draw_world(1, sparse=0.002, fairness_min_group=2)
    labels = np.where(world.episodes.person % 2 == 0, "even", "odd")
    found = group_values(world.spec, world.episodes, {"age": labels}, world.episodes.reward)
    assert len(found) == 2
    for g in found:
        assert math.isnan(g.estimate.low)
        assert math.isfinite(g.estimate.value)
        assert "too few" in g.estimate.method
