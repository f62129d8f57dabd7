"""Another catalogue and other people: laws by hand, values against brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from everloop import loops
from everloop.contracts.errors import ShouldFixArgument
from synthetic.population import Population, PopulationSpec, Truth, uniform_policy
from synthetic.population.archetypes import ARCHETYPE_OF, COMPATIBILITY, PLANE
from synthetic.population.behaviour import rules_of
from synthetic.population.catalogue import KINDS
from synthetic.population.cohort import arrive
from synthetic.population.domain import COMPANION, require_domain
from synthetic.population.drawn_domain import drawn_domain, law_of, spoken
from synthetic.population.dynamics import MoodDraws, carried_kernels, end_chance, mood_kernels, move
from synthetic.population.mix import SHIPPED, Mix
from synthetic.population.rollouts import roll_out
from synthetic.population.state import CARRIED, Hidden
from synthetic.population.tastes import FEATURES, MOOD
from tests.unit.synthetic.population.truths import states

LOOP = loops.load("companion")
DOMAIN = drawn_domain(5)
ELSEWHERE = spoken(LOOP, DOMAIN)
THERE = PopulationSpec(domain=DOMAIN, mix=Mix.drawn(5), turned=0.6)
RESPONSES = THERE.responses(ELSEWHERE, THERE.start)


def test_the_shipped_features_are_the_loops_own() -> None:
    np.testing.assert_array_equal(FEATURES, [action.features for action in LOOP.actions])


def test_the_law_is_least_squares_with_degrees_of_freedom_counted() -> None:
    law, deviation = law_of(MOOD)
    left = MOOD[1:] - FEATURES[1:] @ law
    np.testing.assert_allclose(FEATURES[1:].T @ left, 0, atol=1e-12)
    np.testing.assert_allclose(deviation**2, (left**2).sum(axis=0) / 2)


def test_a_drawn_domain_follows_the_law_and_strays_as_the_companion_does() -> None:
    law, deviation = law_of(MOOD)
    plain = drawn_domain(5, residual=0.0)
    np.testing.assert_array_equal(plain.features, DOMAIN.features)
    np.testing.assert_allclose(plain.mood, plain.features @ law)
    strayed = [drawn_domain(seed) for seed in range(60)]
    left = np.stack([(d.mood - d.features @ law)[1:] for d in strayed])
    np.testing.assert_allclose(np.sqrt((left**2).mean(axis=(0, 1))), deviation, rtol=0.12)
    assert drawn_domain(5).mood.tolist() == DOMAIN.mood.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_drawn_actions_are_new_and_lie_on_the_half_step_grid(seed) -> None:
    domain = drawn_domain(seed)
    np.testing.assert_array_equal(domain.features * 2, np.round(domain.features * 2))
    assert np.abs(domain.features).max() <= 1
    rows = [tuple(row) for row in domain.features[1:].tolist()]
    assert len(set(rows)) == len(rows)
    assert not set(rows) & {tuple(row) for row in FEATURES.tolist()}
    assert not set(domain.actions[1:]) & set(COMPANION.actions)
    assert {KINDS[k] for k in domain.kind_of[1:]} == set(KINDS)
    assert LOOP.action_ids != spoken(LOOP, domain).action_ids == domain.actions
    require_domain(spoken(LOOP, domain), domain)


def test_a_loop_is_spoken_in_its_own_domain_alone() -> None:
    require_domain(LOOP)
    with pytest.raises(ShouldFixArgument, match=r"its actions are .*domain 'companion'"):
        require_domain(ELSEWHERE)
    with pytest.raises(ShouldFixArgument, match=r"domain 'drawn-5'"):
        Population(LOOP, 50, spec=THERE)
    pair = [a.model_copy(update={"people": 3}) if a.people else a for a in ELSEWHERE.actions]
    with pytest.raises(ShouldFixArgument, match="its people of pairings are"):
        require_domain(ELSEWHERE.model_copy(update={"actions": tuple(pair)}), DOMAIN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"offset": np.zeros(3)}, r"offset has shape \(3,\), not \(8,\)"),
        ({"partners": np.zeros(8, dtype=int)}, "are not those of pairings alone"),
        ({"kind_of": np.zeros(8, dtype=int)}, "first action alone is no_action"),
        ({"effect": np.full((8, 4), 0.9)}, "above 1"),
        ({"actions": ("a",) * 8}, "no catalogue"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, said) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        replace(DOMAIN, **change)


def test_expected_rewards_are_those_of_every_pair_that_may_meet() -> None:
    hidden = states(30, 3, connected=True)
    expected = RESPONSES.expected_reward(hidden)
    pairing, mix = DOMAIN.actions.index("pair-two"), RESPONSES.partner_mix
    brute = np.zeros(len(hidden))
    for first, second in product(range(6), repeat=2):
        partners = np.tile([first, second, 0], (len(hidden), 1))
        chances = RESPONSES.chances_with(hidden, np.full(len(hidden), pairing), partners)
        table = np.repeat(chances[:, None, :], len(DOMAIN), axis=1)
        reward = RESPONSES.reward_of(RESPONSES.means_of(table))[:, pairing]
        brute += mix[first] * mix[second] * reward
    np.testing.assert_allclose(expected[:, pairing], brute, atol=1e-12)


def test_moods_of_a_pairing_of_two_are_the_mean_over_both() -> None:
    pairing, mix, kind = DOMAIN.actions.index("pair-two"), RESPONSES.partner_mix, 21
    met = COMPATIBILITY[ARCHETYPE_OF[kind]] @ mix
    step = DOMAIN.effect[pairing, 1] - DOMAIN.closer[pairing] * met
    assert step < 0
    kernel = mood_kernels(mix, DOMAIN)[kind, pairing, 1]
    again = kernel[0, 2]  # only a mood drawn anew climbs two levels
    resting = mood_kernels(mix, DOMAIN)[kind, 0, 1]
    assert again == pytest.approx(resting[0, 2])
    down = kernel[2, 1] - again * kernel[0, 1] / max(kernel[0, 2], 1e-12)
    assert down == pytest.approx(-step * (1 - _resettles(kind)), abs=1e-9)


def _resettles(kind: int) -> float:
    from synthetic.population.archetypes import SENSITIVE_OF
    from synthetic.population.dynamics import RESETTLES

    return float(RESETTLES[SENSITIVE_OF[kind]])


@pytest.mark.parametrize("action", [1, 4, 6])
def test_drawn_moves_follow_the_domains_kernel(action) -> None:
    n = 20_000
    one = states(1, seed=action + 7, connected=True)
    many = one.where(np.zeros(n, dtype=int))
    rng = np.random.default_rng(action)
    partners = rng.choice(6, (n, 3), p=RESPONSES.partner_mix)
    actions = np.full(n, action)
    mood, tired = move(many, actions, partners, MoodDraws.of(n, rng), DOMAIN)
    after = np.bincount(Hidden(many.kind, mood, tired, many.part).carried, minlength=CARRIED)
    kernels = carried_kernels(int(one.kind[0]), RESPONSES.partner_mix, DOMAIN)
    kernel = kernels[action, one.carried[0]]
    # The normal tail does not hold where fewer than ten are expected: 5 more are allowed.
    assert (np.abs(after - n * kernel) <= 5.0 * np.sqrt(n * kernel * (1 - kernel)) + 5).all()


def test_values_there_are_those_of_roll_outs() -> None:
    truth = Truth(RESPONSES, 0.9, THERE.burdened_share)
    exact = truth.value(truth.uniform())
    rolled = roll_out(RESPONSES, uniform_policy, 1_000, 3, 0.9)
    assert rolled.per_decision.value == pytest.approx(exact.per_decision, abs=0.008)
    assert rolled.decisions.mean() == pytest.approx(exact.decisions, rel=0.05)


def test_the_best_policy_there_cannot_be_bettered_by_any_one_step() -> None:
    process = Truth(RESPONSES, 0.9, THERE.burdened_share).process(21)
    value = process.value(process.best_policy(0.9), 0.9)
    steps = np.where(process.valid, process.action_values(value, 0.9), -np.inf).max(axis=2)
    np.testing.assert_allclose(steps @ process.law, value, atol=1e-9)


def test_a_day_there_is_played_by_its_own_names() -> None:
    population = Population(ELSEWHERE, 60, 3, THERE)
    rules = rules_of(DOMAIN)
    days = [population.day(date, rules) for date in (THERE.start, THERE.start.replace(day=2))]
    for day in days:
        taken = {DOMAIN.actions[action] for action in day.decisions.action}
        assert taken <= {name for row in range(len(day)) for name in day.valid_actions(row)}
        named = {
            past["action"]
            for seen in day.decisions.contexts.snapshots(DOMAIN.actions)
            for past in seen["recent_interactions"]
        }
        assert named <= set(DOMAIN.actions)
        leaving = end_chance(day.decisions.expected_reward)
        assert ((leaving > 0) & (leaving < 1)).all()


def test_what_partners_show_is_their_archetypes_place() -> None:
    day = Population(LOOP, 200, 3).day(PopulationSpec().start, uniform_policy)
    told = [day.action_arguments(row) for row in range(len(day))]
    assert any(len(t["user_ids"]) == 3 for t in told if t)
    for row, arguments in enumerate(told):
        if arguments:
            shown = np.array(arguments["descriptors"])
            assert shown.shape == (len(arguments["user_ids"]), 2)
            assert np.abs(shown).max() <= 1
            np.testing.assert_allclose(
                shown, PLANE[day.decisions.partners[row, : len(shown)]], atol=5e-5
            )


def test_another_mix_is_who_arrives() -> None:
    mix, n = Mix.drawn(9), 30_000
    kind = arrive(n, 3, np.random.default_rng(1), mix).kind % 24
    share = np.bincount(kind, minlength=24) / n
    expected = mix.type_shares(0.0)[:24]
    assert (np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / n)).all()
    assert np.abs(expected - SHIPPED.type_shares(0.0)[:24]).sum() > 0.3
    assert mix.traits().sum() == pytest.approx(1)
    assert Mix.drawn(9).shares.tolist() == mix.shares.tolist() != Mix.drawn(10).shares.tolist()


def test_a_mix_that_is_none_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="shares="):
        replace(SHIPPED, shares=SHIPPED.shares * 2)
    with pytest.raises(ShouldFixArgument, match="nobody has connections"):
        replace(SHIPPED, connected=np.zeros(6))
