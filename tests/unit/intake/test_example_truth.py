"""The example's formulas, recomputed by hand and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.intake import example_truth as truth
from everloop.intake.example_journeys import generate


def test_fit_by_hand() -> None:
    latent = np.array([[1.0, 0.0, 0.0, 0.0, 0.5, 0.0]])
    repeats = np.zeros((1, 8))
    repeats[0, 5] = 2
    calm = truth.fit(latent, np.array([22]), repeats)[0, 5]
    assert calm == pytest.approx(1.6 + 0.5 * 0.3 - 0.05 + 0.15 - 2 * 0.1)
    assert truth.fit(latent, np.array([10]), np.zeros((1, 8)))[0, 5] == pytest.approx(
        1.6 + 0.15 - 0.05 - 0.15
    )


def test_signal_means_by_hand() -> None:
    latent = np.zeros((1, 6))
    latent[0, truth.LATENT.index("gladness")] = -1.0
    means = truth.signal_means(latent, np.array([9]), np.zeros((1, 8)))[0]
    assert means[0].tolist() == pytest.approx([0.2, 0.5, 0.5])
    suits = 1.6 - 0.1 + 0.1
    for kind, (slope, threshold) in enumerate([(2.0, 0.55), (2.4, 0.7), (2.2, 0.65)]):
        expected = 0.05 + 0.9 / (1 + math.exp(-slope * (suits - threshold)))
        assert means[6, kind] == pytest.approx(expected)


def test_expected_reward_by_hand() -> None:
    """no_action at rest: engagement .3, resonance and feedback .5, so only the weights matter."""
    reward = truth.expected_reward(np.zeros((1, 6)), np.array([0]), np.zeros((1, 8)))[0, 0]
    late = 0.04
    engaged = 0.9 * (1 - late + late * 0.05 * (1 - late)) * 0.3 * 0.3
    there = 0.05 * (1 - late)
    by_hand = (
        (1 - there) ** 2 * engaged / 0.3
        + there * (1 - there) * engaged / 0.7
        + (1 - there) * there * engaged / 0.6
        + there**2 * engaged / 1.0
    )
    assert reward == pytest.approx(by_hand, rel=1e-12)


def test_expected_reward_is_the_mean_of_realised_ones() -> None:
    """Law of large numbers, by action: 40,000 people, 4 standard errors."""
    log = generate(people=40_000, seed=11)
    expected = log.expected[np.arange(len(log)), log.action]
    for action in range(len(truth.ACTIONS)):
        off = (log.reward - expected)[log.action == action]
        assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))


def test_the_logging_policy_by_hand() -> None:
    valid = np.ones((2, 8), dtype=bool)
    valid[1, list(truth.PAIRINGS)] = False
    policy = truth.logging_policy(np.array([20, 12]), np.array([90.0, 60.0]), valid)
    evening = [math.exp(s) for s in (1.4, 0.5, 0.5, 0, 0, 0.8, 0, 0)]
    assert policy[0] == pytest.approx([0.6 * e / sum(evening) + 0.05 for e in evening])
    noon = [math.exp(1.4), 0, 0, math.exp(0.5), 1, 1, 1, 1]
    assert policy[1] == pytest.approx(
        [0.6 * e / sum(noon) + 0.4 / 6 * (e > 0) for e in noon], abs=1e-12
    )


def test_the_truth_is_written_for_the_shipped_companion(companion: LoopSpec) -> None:
    assert companion.action_ids == truth.ACTIONS
    assert companion.signal_names == truth.SIGNALS
    assert [s.weight for s in companion.signals] == truth.WEIGHTS.tolist()
    assert companion.reward.closes_after_seconds == truth.CLOSES_AFTER
    low, high = companion.reward.attainable_low, companion.reward.attainable_high
    grid = np.random.default_rng(0).uniform(-1, 1, (5000, 6))
    rewards = truth.expected_reward(grid, np.full(5000, 12), np.zeros((5000, 8)))
    assert low < rewards.min() < rewards.max() < high
