"""Small moves: what may move, what counts as a flip, and a fragile policy that gives way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.adversarial import AttackLimits
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.models import PolicyOutput, States
from rl.adversarial import perturbed
from rl.adversarial.perturbed import attack_by_perturbation, movable
from tests.unit.rl.adversarial.attacked import LAYOUT, Linear

LIMITS = AttackLimits(states=300, searched=60, draws=8)


def test_a_sound_policy_withstands_and_a_fragile_one_gives_way(episodes: EncodedEpisodes) -> None:
    sound = attack_by_perturbation(Linear(), episodes, LAYOUT, LIMITS)
    assert sound.check.status is CheckStatus.PASSED
    fragile = attack_by_perturbation(Linear(sharpness=300.0), episodes, LAYOUT, LIMITS)
    assert fragile.check.status is CheckStatus.FAILED
    assert fragile.check.value is not None
    assert sound.check.value is not None
    assert fragile.check.value > sound.check.value
    random, worst, largest = fragile.figures
    assert random.low < random.value < random.high
    assert worst.value > random.value  # a search finds more than chance does
    assert largest.value > 0.9
    assert (random.n, worst.n, largest.n) == (300, 60, 2400)


@pytest.mark.parametrize(
    "limits",
    [
        replace(LIMITS, max_random_flips=0.001),
        replace(LIMITS, max_worst_flips=0.001),
        replace(LIMITS, max_change=0.01),
    ],
)
def test_each_limit_alone_fails_the_attack(episodes: EncodedEpisodes, limits: AttackLimits) -> None:
    found = attack_by_perturbation(Linear(sharpness=8.0), episodes, LAYOUT, limits)
    easy = replace(LIMITS, max_random_flips=1.0, max_worst_flips=1.0, max_change=1.0)
    assert found.check.status is CheckStatus.FAILED
    withstood = attack_by_perturbation(Linear(sharpness=8.0), episodes, LAYOUT, easy)
    assert withstood.check.status is CheckStatus.PASSED


def test_moves_stay_within_the_radius_the_range_and_what_may_move(
    episodes: EncodedEpisodes,
) -> None:
    seen = []

    class Watching(Linear):
        def act(self, states: States, epsilon: float) -> PolicyOutput:
            seen.append(states.context)
            assert epsilon == 0.0
            return super().act(states, epsilon)

    few = episodes.where(np.arange(len(episodes)) < 50)
    limits = AttackLimits(states=50, searched=50, draws=3, radius=0.1)
    attack_by_perturbation(Watching(), few, LAYOUT, limits)
    unmoved, moved = seen[0], seen[1:]
    moves = movable(LAYOUT, unmoved)
    assert len(moved) > 10
    for states in moved:
        away = np.abs(states - unmoved)
        assert away.max() <= 0.1 + 1e-6
        assert (away[~moves] == 0).all()
        assert np.abs(states).max() <= 1.0
    assert max(np.abs(states - unmoved).max() for states in moved) > 0.09


def test_only_numbers_of_present_fields_may_move(episodes: EncodedEpisodes) -> None:
    moves = movable(LAYOUT, episodes.context)
    for block in LAYOUT.blocks:
        own = moves[:, block.dimensions]
        if block.kind in {"category", "history", "missing"}:
            assert not own.any(), block
        elif block.field == "mood":
            absent = episodes.context[:, block.start + block.width] == 1
            assert 0.05 < absent.mean() < 0.2
            np.testing.assert_array_equal(own[:, 0], ~absent)
        else:
            assert own.all(), block


def test_a_tie_that_turns_round_is_no_flip(episodes: EncodedEpisodes) -> None:
    """Propensities of .25 +- .001 change their order all the time, and nothing is changed by it."""
    indifferent = attack_by_perturbation(Linear(sharpness=0.004), episodes, LAYOUT, LIMITS)
    assert indifferent.figures[0].value == 0.0
    counted = attack_by_perturbation(
        Linear(sharpness=0.004), episodes, LAYOUT, replace(LIMITS, material=1e-9)
    )
    assert counted.figures[0].value > 0.0


def test_without_a_state_or_a_number_nothing_is_claimed(episodes: EncodedEpisodes) -> None:
    nobody = episodes.where(np.zeros(len(episodes), dtype=bool))
    found = attack_by_perturbation(Linear(), nobody, LAYOUT, LIMITS)
    assert found.check.status is CheckStatus.INSUFFICIENT


@pytest.mark.parametrize("field", ["radius", "bots", "states", "max_change"])
def test_limits_are_positive_and_shares_at_most_one(field: str) -> None:
    with pytest.raises(ShouldFixArgument, match=field):
        AttackLimits(**{field: 0})
    if field != "states":
        with pytest.raises(ShouldFixArgument, match=field):
            AttackLimits(**{field: 1.5})


class Stubborn(Linear):
    """Leaves action 0 for 1 only where three numbers together have moved by 2.5 radii of .1."""

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        voice = next(b for b in LAYOUT.blocks if b.field == "voice" and b.kind == "vector")
        moved = states.context[:, voice.dimensions].astype(float).sum(axis=1)
        other = 1 / (1 + np.exp(-40 * (moved - 0.25)))
        p = np.zeros(states.mask.shape)
        p[:, 0], p[:, 1] = 1 - other, other
        return PolicyOutput(p, p, np.zeros(len(p)))


def _unmoved(episodes: EncodedEpisodes) -> EncodedEpisodes:
    few = episodes.where(np.arange(len(episodes)) < 60)
    return replace(few, context=np.zeros_like(few.context))


def test_the_search_adds_up_what_no_single_move_can_do(episodes: EncodedEpisodes) -> None:
    limits = AttackLimits(radius=0.1, states=60, searched=60, draws=1)
    found = attack_by_perturbation(Stubborn(), _unmoved(episodes), LAYOUT, limits)
    random, worst, _ = found.figures
    assert random.value < 0.1
    assert worst.value == 1.0


def test_the_search_starts_from_the_worst_random_move(episodes: EncodedEpisodes) -> None:
    few = _unmoved(episodes)
    policy, mask = Stubborn(), few.mask
    before = policy.act(States(few.context, mask), 0.0).propensity
    state = perturbed._Unmoved(
        few.context, mask, movable(LAYOUT, few.context), before, before.argmax(axis=1)
    )
    limits = AttackLimits(radius=0.1, draws=8)
    _, change, worst = perturbed._random(policy, state, limits, np.random.default_rng(64))
    after = policy.act(States(worst, mask), 0.0).propensity
    assert (state.margin(after) < state.margin(before)).mean() > 0.95
    assert (np.abs(after - before).max(axis=1) <= change).all()
