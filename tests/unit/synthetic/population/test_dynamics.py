"""What becomes of people: kernels against drawn moves, and every effect with its sign."""

import numpy as np
import pytest

from synthetic.population.archetypes import ARCHETYPES, CONNECTED_OF, TYPES, UNBURDENED
from synthetic.population.catalogue import ACTIONS, KIND_OF
from synthetic.population.dynamics import (
    LONELINESS,
    RESTING,
    MoodDraws,
    carried_kernels,
    end_chance,
    mean_steps,
    mood_kernels,
    move,
    next_feeling,
    start_law,
    tired_kernels,
)
from synthetic.population.state import CARRIED, Hidden, all_states, mood_states, tired_states
from synthetic.population.tastes import CLOSER, EFFECT
from tests.unit.synthetic.population.truths import RESPONSES, TRUTH, only, states

MIX = RESPONSES.partner_mix


def test_kernels_are_distributions() -> None:
    for kernels in (mood_kernels(MIX), tired_kernels(), carried_kernels(5, MIX)):
        assert (kernels >= 0).all()
        np.testing.assert_allclose(kernels.sum(axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose([start_law(k).sum() for k in range(TYPES)], 1.0)
    np.testing.assert_allclose(RESTING.sum(axis=2), 1.0)


def test_no_step_is_more_than_certain_whoever_is_met() -> None:
    assert (np.abs(EFFECT).max(axis=0) + 0).max() <= 1
    for archetype in ARCHETYPES:
        steps = mean_steps(only(archetype))
        assert np.abs(steps).max() <= 1
        # A pairing may fail to ease loneliness; it never makes it worse.
        assert (steps[:, CLOSER > 0, LONELINESS] <= 0).all()


@pytest.mark.parametrize("action", range(len(ACTIONS)))
def test_drawn_moves_follow_the_kernel(action) -> None:
    n = 60_000
    one = states(1, seed=action + 40, connected=True)
    many = one.where(np.zeros(n, dtype=int))
    rng = np.random.default_rng(action)
    partners = rng.choice(len(ARCHETYPES), (n, 3), p=MIX)
    mood, tired = move(many, np.full(n, action), partners, MoodDraws.of(n, rng))
    after = np.bincount(Hidden(many.kind, mood, tired, many.part).carried, minlength=CARRIED)
    kernel = carried_kernels(int(one.kind[0]), MIX)[action, one.carried[0]]
    deviation = np.sqrt(n * kernel * (1 - kernel))
    assert (np.abs(after - n * kernel) <= 5.5 * deviation + 1e-9).all()
    np.testing.assert_allclose(
        mood.mean(axis=0) - 1, TRUTH.next_feeling(one)[0, action], atol=4 / np.sqrt(n)
    )


def test_states_are_numbered_as_tables_are() -> None:
    everything = all_states(np.array([3]))
    np.testing.assert_array_equal(
        everything.carried.reshape(CARRIED, 4), np.repeat(np.arange(CARRIED)[:, None], 4, 1)
    )
    assert len(np.unique(mood_states(), axis=0)) == 81
    assert len(np.unique(tired_states(), axis=0)) == 8


def test_a_kind_of_action_wears_out_and_recovers() -> None:
    kernels = tired_kernels()
    for action, kind in enumerate(KIND_OF):
        for other in range(3):
            will = tired_states()[:, other]
            chance = kernels[action][:, will].sum(axis=1)
            fresh, was = chance[~will], chance[will]
            if other == kind:
                assert (fresh > 0).all()
                np.testing.assert_allclose(was, 1.0)
            else:
                assert (fresh == 0).all()
                assert (was < 1).all()


def test_actions_move_moods_as_designed() -> None:
    mean = next_feeling(MIX)[:UNBURDENED, 1]  # from the middle level

    def falls(action: str, mood: int) -> bool:
        return bool((mean[:, ACTIONS.index(action), mood] < mean[:, 0, mood]).all())

    assert falls("intervene-calm", 0)
    assert falls("hive-walk", 0)
    assert falls("pair-one", 1)
    assert falls("pair-three", 1)
    assert not falls("hive-music", 2)
    # Leaving people alone is what eases overload most.
    assert (mean[:, 1:, 3] > mean[:, :1, 3]).all()


def test_a_compatible_partner_eases_loneliness_more() -> None:
    met = {
        a: next_feeling(only(a))[:, 1, ACTIONS.index("pair-one"), LONELINESS] for a in ARCHETYPES
    }
    helper = 4 * ARCHETYPES.index("helper") + 1
    assert met["learner"][helper] < met["socializer"][helper] < met["explorer"][helper]


def test_who_is_treated_well_stays() -> None:
    chance = end_chance(np.linspace(-1, 1, 50))
    assert (np.diff(chance) < 0).all()
    assert chance[0] < 0.3
    assert chance[-1] > 0


def test_only_people_with_connections_can_be_paired() -> None:
    hidden = all_states(np.arange(TYPES))
    valid = RESPONSES.valid(hidden)
    np.testing.assert_array_equal(valid[:, 1:3].all(axis=1), CONNECTED_OF[hidden.kind])
    np.testing.assert_array_equal(valid[:, 1:3].any(axis=1), CONNECTED_OF[hidden.kind])
    assert valid[:, [0, 3, 4, 5, 6, 7]].all()
