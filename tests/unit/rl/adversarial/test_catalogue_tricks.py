"""Masks: every single action, dangerous ones alone, mixtures; each kind of wrong answer is caught."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from everloop.contracts.adversarial import AttackLimits
from everloop.contracts.datasets import EncodedEpisodes, Float
from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.models import PolicyOutput, States
from rl.adversarial.catalogue_tricks import attack_by_catalogue
from tests.unit.rl.adversarial.attacked import ACTIONS, SPEC, Linear

LIMITS = AttackLimits(states=200)


def test_a_sound_policy_withstands_every_mask(episodes: EncodedEpisodes) -> None:
    seen = []

    class Watching(Linear):
        def act(self, states: States, epsilon: float) -> PolicyOutput:
            seen.append(states.mask)
            return super().act(states, epsilon)

    found = attack_by_catalogue(Watching(), SPEC, episodes, LIMITS)
    assert found.check.status is CheckStatus.PASSED, found.check.reason
    for action in range(ACTIONS):
        alone = np.eye(ACTIONS, dtype=bool)[action]
        assert any((mask == alone).all() for mask in seen), action
    dangerous = np.array([a.safety_critical for a in SPEC.actions])
    assert sum((mask == dangerous).all() for mask in seen) == 2  # alone, and as the one such action
    assert any(len(np.unique(mask, axis=0)) > 5 for mask in seen)


class Twisted(Linear):
    """A linear policy whose answer somebody changes."""

    def twist(self, propensity: Float, states: States) -> Float:
        raise NotImplementedError

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        answered = super().act(states, epsilon)
        twisted = self.twist(answered.propensity.copy(), states)
        return PolicyOutput(answered.logits, twisted, answered.value)


def _leaks(propensity: Float, states: States) -> Float:
    """Gives a little to what is masked."""
    return propensity * 0.99 + 0.01 / propensity.shape[1]


def _loses(propensity: Float, states: States) -> Float:
    """Masks without renormalising."""
    whole = Linear().act(States(states.context, np.ones_like(states.mask)), 0.0).propensity
    return np.where(states.mask, whole, 0.0)


def _forgets(propensity: Float, states: States) -> Float:
    """Uniform as soon as anything is masked."""
    uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
    return np.where(states.mask.all(axis=1, keepdims=True), propensity, uniform)


def _remembers(propensity: Float, states: States) -> Float:
    """Answers depend on the place in the batch."""
    shift = np.linspace(0, 0.5, len(propensity))[:, None]
    uniform = states.mask / states.mask.sum(axis=1, keepdims=True)
    return (1 - shift) * propensity + shift * uniform


@pytest.mark.parametrize(
    ("twist", "says"),
    [
        (_leaks, "gives probability to a masked action"),
        (_loses, "is no distribution"),
        (_forgets, "renormalised"),
        (_remembers, "order of states"),
    ],
)
def test_each_trick_that_works_is_named(
    episodes: EncodedEpisodes, twist: Callable[[Float, States], Float], says: str
) -> None:
    class Planted(Twisted):
        def twist(self, propensity: Float, states: States) -> Float:
            return twist(propensity, states)

    found = attack_by_catalogue(Planted(), SPEC, episodes, LIMITS)
    assert found.check.status is CheckStatus.FAILED
    assert says in found.check.reason


def test_an_answer_where_nothing_is_valid_gives_way(episodes: EncodedEpisodes) -> None:
    class Reckless(Linear):
        def act(self, states: States, epsilon: float) -> PolicyOutput:
            some = states.mask | ~states.mask.any(axis=1, keepdims=True)
            return super().act(States(states.context, some), epsilon)

    found = attack_by_catalogue(Reckless(), SPEC, episodes, LIMITS)
    assert found.check.status is CheckStatus.FAILED
    assert "answered instead of refused" in found.check.reason


def test_without_a_state_nothing_is_claimed(episodes: EncodedEpisodes) -> None:
    nobody = episodes.where(np.zeros(len(episodes), dtype=bool))
    found = attack_by_catalogue(Linear(), SPEC, nobody, LIMITS)
    assert found.check.status is CheckStatus.INSUFFICIENT
