"""The learning benchmark's own parts: the truth as a user model, budgets, places, and the table."""

from __future__ import annotations

import numpy as np
import pytest

from bench.learning import tables
from bench.learning.places import ACTIONS, HOME, PEOPLE, place
from bench.learning.released import Releases, first_terms, later_terms
from bench.learning.systems import FURTHER, OLD, SIZES
from bench.learning.tables import goals_of, over_seeds, table
from bench.learning.true_model import TrueModel
from everloop.privacy import plan
from everloop.privacy.accounting import mu
from rl.environment.journeys import JourneyBatch, JourneySource
from synthetic.population import uniform_policy

THERE = place(HOME)


def test_the_truth_as_a_user_model_earns_what_the_population_does() -> None:
    model = TrueModel(THERE, 400, 3)
    source = JourneySource(model, model.profiles, 10_000)
    batch, rng = JourneyBatch(source, 400), np.random.default_rng(1)
    batch.reset(rng)
    earned, ended, told = [], [], []
    for _ in range(40):
        mask = batch.mask
        action = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
        context = batch.observation[:, : source.width]
        told.append(model.expected_reward(context, action))
        step = batch.step(action)
        earned.append(step.reward)
        ended.append(step.terminated)
    truth = THERE.truth.value(THERE.truth.uniform())
    n = 40 * 400
    assert np.mean(earned) == pytest.approx(truth.per_decision, abs=4 / np.sqrt(n))
    assert np.mean(told) == pytest.approx(truth.per_decision, abs=2 / np.sqrt(n))
    assert np.mean(ended) == pytest.approx(1 / truth.decisions, abs=2 / np.sqrt(n))
    assert batch.mask.shape == (400, 8)


def test_the_truth_repeats_itself_and_refuses_contexts_that_it_did_not_show() -> None:
    def answers() -> np.ndarray:
        model = TrueModel(THERE, 50, 3)
        found = model.respond(
            model.profiles.context,
            model.profiles.context,
            np.zeros(50, dtype=np.int64),
            np.random.default_rng(2),
        )
        again = model.respond(
            model.profiles.context, found.context, np.ones(50, np.int64), np.random.default_rng(3)
        )
        return np.concatenate([found.reward, again.reward, again.context.ravel()])

    np.testing.assert_array_equal(answers(), answers())
    model = TrueModel(THERE, 5, 3)
    with pytest.raises(KeyError):
        model.end_chance(np.zeros_like(model.profiles.context), np.zeros(5, np.int64))


def test_user_model_and_profiles_cost_epsilon_one_together() -> None:
    everything = mu(1.0, 1e-5) ** 2
    first, later = first_terms(THERE.loop, 500), later_terms(THERE.loop, 500)
    spent = sum(plan.night_mu_squared(first, s, first=True) for s in ("user_model", "profiles"))
    assert 0.98 * everything < spent < everything
    again = plan.night_mu_squared(later, "user_model", first=False)
    again += plan.night_mu_squared(first, "profiles", first=True)
    assert 0.98 * everything < again < everything


def test_releases_repeat_by_seed_and_a_later_one_goes_on_from_the_first() -> None:
    elsewhere = place(ACTIONS, 5)
    log, further = THERE.world(60, 2, 1).episodes, elsewhere.world(60, 2, 1_001).episodes

    def weights(seed: int) -> np.ndarray:
        with Releases(seed) as releases:
            first = releases.first(THERE.loop, log)
            later = releases.later(elsewhere.loop, further)
        assert later.model.facts.warm_start == first.model.facts.release_id
        assert later.model.facts.actions == elsewhere.loop.action_ids
        assert len(later.profiles) == THERE.loop.training.profiles
        return np.concatenate([first.model.weights.flat, later.model.weights.flat])

    one = weights(1)
    np.testing.assert_array_equal(one, weights(1))
    assert np.abs(one - weights(2)).max() > 0


def test_places_differ_as_they_say() -> None:
    others, actions = place(PEOPLE, 3), place(ACTIONS, 3)
    assert others.loop.action_ids == THERE.loop.action_ids
    assert others.spec.turned == pytest.approx(np.pi / 2)
    assert not set(actions.loop.action_ids[1:]) & set(THERE.loop.action_ids)
    assert actions.loop.action_features == THERE.loop.action_features
    worth = THERE.worth(THERE.rolled_out(uniform_policy))
    assert worth["share"] == pytest.approx(0, abs=1e-12)
    assert worth["over_logging"] < 0


def row(system: str, where: str, size: int, seed: int, share: float) -> dict[str, object]:
    people, each = SIZES[size]
    return {
        "system": system,
        "where": where,
        "people": people,
        "each": each,
        "seed": seed,
        "share": share,
        "share_low": share - 0.01,
        "share_high": share + 0.01,
        "over_logging": share,
        "share_at_floor": share,
        "journey": share,
        "cpu_s": 1.0,
    }


def test_goals_are_means_over_seeds_and_the_lower_transfer_counts() -> None:
    rows = [row("ppo", HOME, OLD, seed, share) for seed, share in enumerate((0.8, 0.9))]
    assert [goal.name for goal in goals_of(rows)] == ["gain_share_10k"]
    rows += [row(tables.TRANSFERRED, PEOPLE, FURTHER, s, v) for s, v in enumerate((0.9, 0.8))]
    rows += [row(tables.TRANSFERRED, ACTIONS, FURTHER, s, v) for s, v in enumerate((0.7, 0.6))]
    at_home, moved = goals_of(rows)
    assert at_home.measured.value == pytest.approx(0.85)
    assert at_home.met
    # t of one degree of freedom: 12.706 times .1 / 2.
    assert at_home.measured.high - 0.85 == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert moved.measured.value == pytest.approx(0.65)
    assert not moved.met
    assert over_seeds([0.3]).low == 0.3
    references = [
        {"where": HOME, "uniform": 0.1, "logging": 0.1, "best": 0.5, "old_optimum": None},
        {"where": PEOPLE, "uniform": 0.1, "logging": 0.1, "best": 0.5, "old_optimum": 0.6},
    ]
    told = table(rows, references)
    assert "0.650" in told
    assert told.count("ppo, transferred") == 2
    assert "0.600" in told
