"""The best policy and values of policies, against roll-outs and against everything else tried."""

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    ARCHETYPES,
    UNBURDENED,
)
from synthetic.population.behaviour import doing_nothing, logging_policy, uniform_policy
from synthetic.population.catalogue import ACTIONS
from synthetic.population.cohort import arrive
from synthetic.population.decisions import parts_and_seconds
from synthetic.population.dynamics import MoodDraws, end_chance, move, rest
from synthetic.population.mix import SHIPPED
from synthetic.population.rollouts import Estimate, roll_out
from synthetic.population.state import Hidden
from synthetic.population.truth import POLICY_SHAPE, PolicyValue, Truth, at
from tests.unit.synthetic.population.truths import LOOP, RESPONSES, SPEC, TRUTH

PEOPLE, SEED = 1_500, 11


@pytest.fixture(scope="module")
def best() -> np.ndarray:
    return TRUTH.best_policy()


@pytest.fixture(scope="module")
def best_value(best) -> PolicyValue:
    return TRUTH.value(best)


@pytest.fixture(scope="module")
def uniform_value() -> PolicyValue:
    return TRUTH.value(TRUTH.uniform())


@pytest.fixture(scope="module")
def value_of_nothing() -> PolicyValue:
    return TRUTH.value(TRUTH.always(0))


def within(estimate: Estimate, value: float) -> bool:
    """Within four standard errors, and what the end of roll-outs cuts off."""
    deviation = (estimate.high - estimate.low) / (2 * 1.96)
    return abs(estimate.value - value) <= 4 * deviation + 2e-4 * abs(value)


@pytest.mark.parametrize(
    ("policy", "value"),
    [(uniform_policy, "uniform_value"), (doing_nothing, "value_of_nothing")],
)
def test_roll_outs_agree_with_the_exact_value(policy, value, request) -> None:
    rolled = roll_out(RESPONSES, policy, PEOPLE, SEED, TRUTH.discount)
    exact = request.getfixturevalue(value)
    assert within(rolled.journey, exact.journey)
    assert within(rolled.per_decision, exact.per_decision)
    assert within(Estimate.of(rolled.decisions), exact.decisions)


def test_drawn_journeys_of_the_best_policy_agree_with_its_value(best, best_value) -> None:
    """Leaving, choosing and moving are all drawn here, by another loop than the roll-outs'."""
    n, rng = 4_000, np.random.default_rng(SEED)
    kind = arrive(n, 3, rng).kind
    mood, tired = rest(kind, rng.random((n, 4))), np.zeros((n, 3), dtype=bool)
    there, worth = np.ones(n, dtype=bool), np.zeros(n)
    for step in range(150):
        part, _ = parts_and_seconds(ARCHETYPE_OF[kind], rng)
        hidden = Hidden(kind, mood, tired, part)
        action = at(best, hidden).argmax(axis=1)
        reward = RESPONSES.expected_reward(hidden)[np.arange(n), action]
        worth += there * TRUTH.discount**step * reward
        there &= rng.random(n) >= end_chance(reward)
        partners = rng.choice(len(ARCHETYPES), (n, 3), p=RESPONSES.partner_mix)
        mood, tired = move(hidden, action, partners, MoodDraws.of(n, rng))
    assert within(Estimate.of(worth), best_value.journey)


@pytest.mark.parametrize("kind", [1, 6, 11, 21])
def test_no_policy_tried_beats_the_best_one(best, kind) -> None:
    process = TRUTH.process(kind)
    others = [TRUTH.uniform(), TRUTH.greedy(), *map(TRUTH.always, range(len(ACTIONS)))]
    rng = np.random.default_rng(5)
    for share in (0.02, 0.3):
        changed = rng.random(POLICY_SHAPE[:3]) < share
        others.append(np.where(changed[..., None], TRUTH.uniform(), best))
    values = [process.journey_value(policy[kind], TRUTH.discount) for policy in others]
    most = process.journey_value(best[kind], TRUTH.discount)
    assert max(values) < most
    # Looking ahead is worth something, and far less than looking at all.
    assert 0.97 < values[1] / most < 0.9995


def test_the_best_policy_is_far_better_than_what_needs_no_learning(
    best_value, uniform_value, value_of_nothing
) -> None:
    logging = roll_out(RESPONSES, logging_policy, PEOPLE, SEED, TRUTH.discount)
    for journey, per_decision in (
        (uniform_value.journey, uniform_value.per_decision),
        (value_of_nothing.journey, value_of_nothing.per_decision),
        (logging.journey.high, logging.per_decision.high),
    ):
        assert best_value.journey > 3 * journey
        assert best_value.per_decision > 2 * per_decision


def test_people_who_are_treated_well_stay_longer(
    best_value, uniform_value, value_of_nothing
) -> None:
    assert best_value.decisions > 1.5 * value_of_nothing.decisions
    assert value_of_nothing.decisions > 1.2 * uniform_value.decisions


def test_a_group_gap_lowers_that_groups_value_alone(best) -> None:
    unfair = Truth(replace(RESPONSES, group_gap=0.6), TRUTH.discount)
    own, burdened = 9, 9 + UNBURDENED

    def of(truth: Truth, kind: int) -> float:
        return truth.process(kind).journey_value(best[kind], TRUTH.discount)

    assert of(unfair, own) == pytest.approx(of(TRUTH, own), abs=1e-12)
    assert of(TRUTH, burdened) == pytest.approx(of(TRUTH, own), abs=1e-12)
    assert of(unfair, burdened) < 0.6 * of(unfair, own)


def test_what_was_best_before_tastes_turned_is_no_longer(best) -> None:
    later = Truth(replace(RESPONSES, turn=1.0), TRUTH.discount)
    process = later.process(5)
    kept = process.journey_value(best[5], later.discount)
    adapted = process.best_policy(later.discount)
    assert kept < 0.97 * process.journey_value(adapted, later.discount)


def test_a_policy_that_pairs_lonely_people_without_connections_is_refused() -> None:
    pairs = np.zeros(POLICY_SHAPE)
    pairs[..., 1] = 1.0
    with pytest.raises(ShouldFixArgument, match="invalid action"):
        TRUTH.value(pairs)


def test_the_trait_distribution_is_that_of_those_who_arrive() -> None:
    true = SHIPPED.traits()
    assert true.sum() == pytest.approx(1.0)
    n = 50_000
    people = arrive(n, SPEC.burdened_group, np.random.default_rng(2))
    kind = people.kind % UNBURDENED
    cell = np.ravel_multi_index((kind // 4, kind // 2 % 2, kind % 2, people.age_group), true.shape)
    counts = np.bincount(cell, minlength=true.size).reshape(true.shape)
    assert (np.abs(counts - n * true) <= 5 * np.sqrt(n * true) + 1).all()
    of_types = SHIPPED.type_shares(SPEC.burdened_share)
    np.testing.assert_allclose(
        true.sum(axis=3).ravel(), of_types[:UNBURDENED] + of_types[UNBURDENED:], atol=1e-12
    )


def test_the_discount_is_the_loops() -> None:
    assert LOOP.training.discount == TRUTH.discount
