"""Sampling, advantages and schedules."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import Float32, Int
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import ExplorationSpec, TrainingSpec
from rl.environment import JourneyBatch, JourneySource
from rl.module import PolicyNetwork, log_behaviour
from rl.ppo.advantage import generalised_advantages
from rl.ppo.plan import Plan
from rl.ppo.rollout import RewardSummary, Rollout, collect, concatenate
from rl.ppo.schedule import cosine_pieces, epsilon_at, stream
from tests.learning.worlds import Answer, World, bandit, identity, loop_of, never, people

SPEC = loop_of(fields=2, actions=4)


def rollout_of(
    answer: object = identity,
    epsilon: float = 0.3,
    journeys: int = 16,
    length: int = 8,
    journey: int = 3,
    discount: float = 0.9,
    gae_lambda: float = 0.95,
    mask: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[PolicyNetwork, Rollout, RewardSummary]:
    network = PolicyNetwork(4, 4, 8, 5)
    network.policy[-1].weight.data *= 300.0
    world = World(answer)  # type: ignore[arg-type]
    batch = JourneyBatch(JourneySource(world, people(SPEC, mask=mask), journey), journeys)
    rollout, rewards = collect(
        network, batch, stream(seed, 0, 0, 0), length, epsilon, discount, gae_lambda
    )
    return network, rollout, rewards


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def flags(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.bool_)[:, None]


def test_advantages_by_hand() -> None:
    reward, value, following = column(1, 0, 2), column(0.5, 1, 0), column(1, 0, 0.5)
    going = flags(0, 0, 0)
    advantage, target = generalised_advantages(reward, value, following, going, going, 0.5, 0.5)
    np.testing.assert_allclose(advantage, column(0.890625, -0.4375, 2.25))
    np.testing.assert_allclose(target, column(1.390625, 0.5625, 2.25))
    # the second decision ends the journey: nothing follows it, and nothing flows back over it
    ended = flags(0, 1, 0)
    advantage, _ = generalised_advantages(reward, value, following, ended, ended, 0.5, 0.5)
    np.testing.assert_allclose(advantage, column(0.75, -1.0, 2.25))
    # it is cut: the value of what followed counts, but nothing flows back over the cut
    advantage, _ = generalised_advantages(
        reward, value, column(1, 3, 0.5), going, flags(0, 1, 0), 0.5, 0.5
    )
    np.testing.assert_allclose(advantage, column(1.125, 0.5, 2.25))


def test_with_lambda_one_a_target_is_the_discounted_return() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 6, 3))
    following = np.concatenate([value[1:], rng.normal(size=(1, 3))])
    going = np.zeros((6, 3), dtype=np.bool_)
    _, target = generalised_advantages(reward, value, following, going, going, 0.9, 1.0)
    total = following[-1]
    for t in range(5, -1, -1):
        total = reward[t] + 0.9 * total
        np.testing.assert_allclose(target[t], total)


def test_logged_propensities_equal_recomputed_ones() -> None:
    for epsilon in (0.0, 0.05, 0.3, 1.0):
        network, rollout, _ = rollout_of(epsilon=epsilon)
        observation = torch.from_numpy(rollout.observation)
        with torch.inference_mode():
            log_pi = torch.log_softmax(network.logits(observation), 1)
            log_b = log_behaviour(log_pi, observation[:, 4:], epsilon).numpy()
            value = network.values(observation).numpy()
        chosen = np.exp(log_b[np.arange(len(rollout)), rollout.action])
        np.testing.assert_allclose(np.exp(rollout.log_behaviour), chosen, atol=3e-7)
        np.testing.assert_allclose(np.exp(rollout.log_policy), log_pi.exp().numpy(), atol=3e-7)
        np.testing.assert_allclose(rollout.value, value, atol=1e-5)


def test_actions_are_taken_as_often_as_their_propensity_says() -> None:
    start = np.tile(np.array([[1.0, 0, -1.0, 0]], dtype=np.float32), (3, 1))
    network = PolicyNetwork(4, 4, 8, 5)
    network.policy[-1].weight.data *= 100.0
    mask = np.ones((3, 4), dtype=np.bool_)
    mask[:, 3] = False
    source = JourneySource(World(bandit([0.0] * 4)), people(SPEC, context=start, mask=mask), 1)
    rollout, _ = collect(network, JourneyBatch(source, 500), stream(1, 0, 0, 0), 40, 0.4, 0.9, 0.9)
    observation = torch.from_numpy(rollout.observation[:1])
    with torch.inference_mode():
        log_pi = torch.log_softmax(network.logits(observation), 1)
        expected = log_behaviour(log_pi, observation[:, 4:], 0.4).exp().numpy()[0]
    found = np.bincount(rollout.action, minlength=4) / len(rollout)
    np.testing.assert_allclose(found, expected, atol=0.015)
    assert expected.max() > expected[:3].min() + 0.1


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_a_masked_action_is_never_taken(epsilon: float) -> None:
    mask = np.random.default_rng(2).random((40, 4)) < 0.4
    mask[:, 3] |= ~mask.any(axis=1)
    _, rollout, _ = rollout_of(mask=mask, epsilon=epsilon, journeys=64, length=16)
    assert (rollout.observation[np.arange(len(rollout)), 4 + rollout.action] == 1.0).all()


def test_a_cut_journey_is_worth_its_next_state_and_an_ended_one_nothing() -> None:
    def still(context: Float32, action: Int, rng: np.random.Generator) -> Answer:
        return np.zeros(len(action)), -context, never(len(action))

    network, rollout, _ = rollout_of(still, journeys=8, length=4, journey=2, gae_lambda=0.0)
    with torch.inference_mode():
        seen = torch.from_numpy(rollout.observation)
        turned = torch.cat([-seen[:, :4], seen[:, 4:]], dim=1)
        expected = 0.9 * network.values(turned)  # what followed, not the next person's state
    np.testing.assert_allclose(rollout.target, expected.numpy(), atol=1e-5)
    _, ended, _ = rollout_of(bandit([0.0] * 4), journeys=2, length=3)
    np.testing.assert_allclose(ended.target, 0.0, atol=1e-6)


def test_rewards_are_summarised_over_independent_streams() -> None:
    summary = RewardSummary(8, np.array([0.0, 0.5, 1.0, 0.5]))
    assert summary.mean == 0.5
    assert summary.half_width == pytest.approx(1.96 * math.sqrt(0.5 / 3) / 2)
    assert math.isnan(RewardSummary(2, np.array([1.0])).half_width)
    both = RewardSummary.together([summary, RewardSummary(2, np.array([1.0]))])
    assert both.decisions == 10
    assert both.mean == pytest.approx(0.6)
    _, rollout, rewards = rollout_of(journeys=16, length=8)
    assert rewards.decisions == len(rollout) == 128
    assert rewards.journey_reward.shape == (16,)


def test_rollouts_of_several_runners_are_joined_in_order() -> None:
    _, first, _ = rollout_of(seed=1)
    _, second, _ = rollout_of(seed=2)
    both = concatenate([first, second])
    assert len(both) == 256
    np.testing.assert_array_equal(both.action[128:], second.action)
    assert concatenate([first]) is first


def test_a_network_that_answers_nan_is_named() -> None:
    network = PolicyNetwork(4, 4, 8, 5)
    network.policy[0].weight.data[:] = math.nan
    batch = JourneyBatch(JourneySource(World(identity), people(SPEC), 3), 2)
    with pytest.raises(ShouldRestoreArtefact, match="answered NaN"):
        collect(network, batch, stream(0, 0, 0, 0), 2, 0.1, 0.9, 0.9)


def test_exploration_decays_to_its_training_floor() -> None:
    exploration = ExplorationSpec()
    assert epsilon_at(exploration, 0, 30) == 0.3
    assert epsilon_at(exploration, 29, 30) == pytest.approx(0.05)
    assert epsilon_at(exploration, 1, 3) == pytest.approx(0.175)
    assert epsilon_at(exploration, 0, 1) == 0.3


@given(rate=st.floats(1e-6, 1.0), steps=st.integers(1, 10**6))
def test_the_learning_rate_falls_as_a_cosine(rate: float, steps: int) -> None:
    pieces = cosine_pieces(rate, steps)
    assert pieces[0] == (0, rate)
    assert pieces[-1][0] == steps
    assert pieces[-1][1] == pytest.approx(0.0, abs=1e-12)
    xs, rates = zip(*pieces, strict=True)
    assert all(a < b for a, b in itertools.pairwise(xs))
    assert all(a > b for a, b in itertools.pairwise(rates))
    middle = np.interp(steps / 2, xs, rates)
    assert middle == pytest.approx(rate / 2, rel=0.01) or steps < 32


def test_streams_are_counters() -> None:
    draws = {
        tuple(stream(*key).integers(2**62, size=2))
        for key in [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    }
    assert len(draws) == 4
    assert stream(1, 2, 3, 4).random() == stream(1, 2, 3, 4).random()


def test_a_plan_shares_environments_between_runners() -> None:
    source = JourneySource(World(identity), people(SPEC), 3)
    training = TrainingSpec(environments=10, rollout_length=4, iterations=5)
    assert Plan(source, training, ExplorationSpec(), 1).steps_per_iteration == 40
    shared = Plan(source, training, ExplorationSpec(), 1, runners=3)
    assert shared.journeys_per_runner == 4
    assert shared.steps_per_iteration == 48
    assert shared.learning_rates[-1][0] == 240
    assert shared.learning_rate(0) == training.learning_rate
    assert 0 < shared.learning_rate(4) < shared.learning_rate(3)
    with pytest.raises(ShouldFixArgument, match="seed=-1"):
        Plan(source, training, ExplorationSpec(), -1)
    with pytest.raises(ShouldFixArgument, match="runners=11"):
        Plan(source, training, ExplorationSpec(), 1, runners=11)
