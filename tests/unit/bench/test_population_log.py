"""Logs of the population as encoded episodes: what the encoder makes of the JSON, and its truth."""

import numpy as np
import pytest

from bench.private.population_log import encode_wide, encoded_emotion, encoded_policy, make_world
from everloop.loops import load
from rl.encoders import encode_context, in_holdout, layout
from synthetic.population import PopulationSpec, Truth, logging_policy
from synthetic.population.journeys import play_journeys
from synthetic.population.rollouts import roll_out
from synthetic.quality.auc import auc

LOOP = load("companion")
SPEC = PopulationSpec()
RESPONSES = SPEC.responses(LOOP, SPEC.start)


@pytest.fixture(scope="module")
def world():
    return make_world(LOOP, 2_000, 10, 3)


def test_arrays_are_encoded_as_their_snapshots_are() -> None:
    for step in play_journeys(RESPONSES, 60, 14, 2, logging_policy):
        seen = step.decisions.contexts
        np.testing.assert_allclose(
            encode_wide(LOOP, seen), encode_context(LOOP, seen.snapshots()), atol=2e-7
        )


def test_a_world_holds_everyones_decisions_with_their_truth(world) -> None:
    made = world.episodes
    assert len(made) == 20_000
    np.testing.assert_array_equal(np.bincount(made.person), 10)
    assert (np.sort(made.people) == made.people).all()
    assert len(np.unique(made.episode_id)) == len(made)
    assert made.encoder == layout(LOOP).encoder
    np.testing.assert_array_equal(
        made.holdout, [in_holdout(made.people[p], 0.5) for p in made.person]
    )
    np.testing.assert_allclose(world.expected, world.truth.expected_reward(world.hidden), atol=1e-6)
    assert (world.traits[made.person][:, 2] == 1).tolist() == made.mask[:, 1].tolist()
    assert (np.abs(made.context) <= 1).all()
    weights = np.array([0.3, 0.4, 0.3]) * np.isfinite(made.signals)
    np.testing.assert_allclose(
        made.reward, (weights * np.nan_to_num(made.signals)).sum(1) / weights.sum(1), atol=1e-9
    )


def test_true_acceptance_is_calibrated_and_tells_what_is_accepted(world) -> None:
    true = world.acceptance(np.ones(len(world.episodes), dtype=bool))
    for low in np.arange(0, 1, 0.1):
        cell = (true >= low) & (true < low + 0.1)
        if cell.sum() > 200:
            off = world.accepted[cell].mean() - true[cell].mean()
            assert abs(off) < 4 * 0.5 / np.sqrt(cell.sum())
    assert 0.75 < auc(world.accepted, true) < 0.95


def test_the_next_encoded_emotion_has_the_true_mean() -> None:
    first, second = (
        step.decisions for step in play_journeys(RESPONSES, 6_000, 2, 4, logging_policy)
    )
    numbers = Truth(RESPONSES, 0.9).next_numbers(first.hidden)[np.arange(6_000), first.action]
    seen = encode_wide(LOOP, second.contexts)[:, :6]
    off = (seen - encoded_emotion(LOOP, numbers))[~first.ended]
    assert (np.abs(off.mean(axis=0)) <= 4.5 * off.std(axis=0) / np.sqrt(len(off))).all()


def test_the_same_seed_makes_the_same_world_and_holds_out_whom_it_is_told() -> None:
    one, other = (make_world(LOOP, 50, 3, 9, holdout_share=0.0) for _ in range(2))
    np.testing.assert_array_equal(one.episodes.context, other.episodes.context)
    np.testing.assert_array_equal(one.episodes.reward, other.episodes.reward)
    assert not one.episodes.holdout.any()


def test_a_policy_on_encoded_contexts_is_played(world) -> None:
    widths = set()

    def uniform(context, valid):
        widths.add(context.shape[1])
        return valid / valid.sum(axis=1, keepdims=True)

    rolled = roll_out(RESPONSES, encoded_policy(LOOP, uniform), 50, 1, 0.5)
    assert widths == {layout(LOOP).width}
    assert rolled.journey.n == 50
    best = np.where(world.episodes.mask, world.expected, -np.inf).argmax(axis=1)
    assert world.gain_share(best, np.ones(len(best), dtype=bool)) == pytest.approx(1.0)
