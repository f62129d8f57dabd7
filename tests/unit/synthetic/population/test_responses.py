"""How people respond: exact sums against drawn evidence, and every effect with its sign."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument
from everloop.loops import load
from synthetic.population import evidence
from synthetic.population.archetypes import ARCHETYPES, COMPATIBILITY, UNBURDENED
from synthetic.population.catalogue import ACTIONS, KIND_OF, MOST_PARTNERS
from synthetic.population.disturbance import Disturbance
from synthetic.population.responses import GRADES, LOWEST, STEP, Responses
from synthetic.population.state import Hidden
from tests.unit.synthetic.population.truths import (
    LOOP,
    RESPONSES,
    TRUTH,
    of_archetype,
    only,
    states,
)

CLOSES = LOOP.reward.closes_after_seconds


def draw_outcomes(hidden: Hidden, action: np.ndarray, responses: Responses, seed: int):
    rng = np.random.default_rng(seed)
    n = len(hidden)
    partners = rng.choice(len(ARCHETYPES), (n, MOST_PARTNERS), p=responses.partner_mix)
    chances = responses.chances_with(hidden, action, partners)
    found = evidence.draw(chances, action, CLOSES, responses.disturbance, rng)
    return evidence.signal_means(LOOP, n, found)


@pytest.mark.parametrize("action", range(len(ACTIONS)))
def test_reward_acceptance_signals_and_presence_agree_with_draws(action) -> None:
    n = 40_000
    one = states(1, seed=action, connected=True)
    many = one.where(np.zeros(n, dtype=int))
    means = draw_outcomes(many, np.full(n, action), RESPONSES, 3)
    reward = evidence.realised_reward(LOOP, means)
    accepted = reward >= LOOP.reward.success_at

    def close(drawn, true):
        assert abs(drawn.mean() - true) <= 4 * drawn.std() / np.sqrt(len(drawn)) + 1e-12

    close(reward, TRUTH.expected_reward(one)[0, action])
    close(accepted, TRUTH.acceptance(one)[0, action])
    for kind in (1, 2):
        there = np.isfinite(means[:, kind])
        close(there, TRUTH.presence(one)[0, action, kind])
        close(means[there, kind], TRUTH.signal_means(one)[0, action, kind])
    there = means[:, 0] > 0  # a grade is never 0: silence is
    close(there, TRUTH.presence(one)[0, action, 0])
    close(means[there, 0], TRUTH.signal_means(one)[0, action, 0])


def test_what_is_expected_over_partners_is_the_mean_over_them() -> None:
    hidden = states(50, connected=True)
    each = [replace(RESPONSES, partner_mix=only(a)).expected_reward(hidden) for a in ARCHETYPES]
    together = sum(s * r for s, r in zip(RESPONSES.partner_mix, each, strict=True))
    np.testing.assert_allclose(RESPONSES.expected_reward(hidden), together, atol=1e-12)


def test_a_pairing_succeeds_by_both_peoples_types_and_nothing_else_does() -> None:
    for own, archetype in enumerate(ARCHETYPES):
        hidden = of_archetype(archetype, 40)
        order = np.argsort(COMPATIBILITY[own])
        by_partner = [
            replace(RESPONSES, partner_mix=only(ARCHETYPES[p])).expected_reward(hidden)
            for p in order
        ]
        for pairing in ("pair-one", "pair-three"):
            column = ACTIONS.index(pairing)
            rising = np.array([rewards[:, column] for rewards in by_partner])
            assert (np.diff(rising, axis=0) >= -1e-12).all()
            assert (rising[-1] > rising[0]).all()
        rest = [a for a in range(len(ACTIONS)) if KIND_OF[a] != 0]
        assert np.ptp([rewards[:, rest] for rewards in by_partner], axis=0).max() == 0


def test_being_tired_of_a_kind_hurts_that_kind_alone() -> None:
    hidden = states(100, connected=True)
    fresh = replace(hidden, tired=np.zeros((100, 3), dtype=bool))
    for kind in range(3):
        tired = fresh.tired.copy()
        tired[:, kind] = True
        change = RESPONSES.expected_reward(replace(fresh, tired=tired)) - RESPONSES.expected_reward(
            fresh
        )
        assert (change[:, kind == KIND_OF] < 0).all()
        assert (change[:, kind != KIND_OF] == 0).all()


def test_groups_differ_only_when_they_are_made_to() -> None:
    hidden = states(200)
    burdened = replace(hidden, kind=hidden.kind + UNBURDENED)
    np.testing.assert_array_equal(
        RESPONSES.expected_reward(hidden), RESPONSES.expected_reward(burdened)
    )
    unfair = replace(RESPONSES, group_gap=0.5)
    np.testing.assert_array_equal(unfair.expected_reward(hidden), RESPONSES.expected_reward(hidden))
    lost = unfair.expected_reward(hidden) - unfair.expected_reward(burdened)
    assert (lost[:, 1:] > 0).all()
    assert (lost[:, 0] == 0).all()


def test_drift_turns_tastes() -> None:
    hidden = states(200)
    now, later = (replace(RESPONSES, turn=t).expected_reward(hidden) for t in (0.0, 1.0))
    again = replace(RESPONSES, turn=2 * np.pi).expected_reward(hidden)
    assert np.abs(later - now)[:, 1:].max() > 0.1
    np.testing.assert_allclose(again, now, atol=1e-12)


def test_lateness_takes_a_signal_and_a_duplicate_rescues_some() -> None:
    calm = Disturbance(noise=0.0, late=0.2, twice=0.5).in_time
    punctual = Disturbance(noise=0.0, late=0.0, twice=0.5).in_time
    np.testing.assert_allclose(calm[:, 1:], 0.8 * punctual[:, 1:])
    np.testing.assert_allclose(calm[:, 0], (0.8 + 0.2 * 0.5 * 0.8) * punctual[:, 0])


def test_noise_pulls_every_mean_to_the_middle() -> None:
    hidden = states(100)
    clear = replace(RESPONSES, disturbance=Disturbance(noise=0.0)).means(hidden)
    noisy = replace(RESPONSES, disturbance=Disturbance(noise=0.5)).means(hidden)
    np.testing.assert_allclose(noisy, 0.5 * clear + 0.25, atol=1e-12)


def test_no_combination_of_signals_lies_on_the_threshold_of_acceptance() -> None:
    grades = LOWEST + STEP * np.arange(GRADES)
    two_sided = [*(2 * grades - 1), np.nan]
    for first, second, third in itertools.product([*grades, 0.0], two_sided, [-1.0, 1.0, np.nan]):
        means = np.array([[first, second, third]])
        reward = evidence.realised_reward(LOOP, means)[0]
        assert abs(reward - LOOP.reward.success_at) > 1e-3, means


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    noise=st.floats(0, 0.9),
    turn=st.floats(-10, 10),
    gap=st.floats(0, 3),
)
def test_rewards_and_chances_stay_within_their_ranges(seed, noise, turn, gap) -> None:
    responses = replace(RESPONSES, disturbance=Disturbance(noise=noise), turn=turn, group_gap=gap)
    hidden = states(20, seed, kinds=2 * UNBURDENED)
    reward, accepted = responses.expected_reward(hidden), responses.acceptance(hidden)
    assert (np.abs(reward) <= 1).all()
    assert (accepted >= 0).all()
    assert (accepted <= 1).all()
    assert (responses.means(hidden) >= 0).all()
    assert (responses.means(hidden) <= 1).all()


def test_another_loop_is_refused_by_name() -> None:
    other = load("open_bandit")
    with pytest.raises(ShouldFixArgument, match="open_bandit"):
        Responses(other, RESPONSES.partner_mix)
    fewer = LOOP.model_copy(update={"name": "mine", "context": LOOP.context[:-1]})
    with pytest.raises(ShouldFixArgument, match="'mine': its context"):
        Responses(fewer, RESPONSES.partner_mix)


@pytest.mark.parametrize("mix", [np.ones(6), np.ones(5) / 5, np.array([2, -1, 0, 0, 0, 0.0])])
def test_a_mix_that_is_none_is_refused(mix) -> None:
    with pytest.raises(ShouldFixArgument, match="partner_mix"):
        Responses(LOOP, mix)


@pytest.mark.parametrize("name", ["noise", "late", "twice"])
def test_a_disturbance_that_is_no_share_is_refused(name) -> None:
    with pytest.raises(ShouldFixArgument, match=f"{name}=1.2"):
        Disturbance(**{name: 1.2})
