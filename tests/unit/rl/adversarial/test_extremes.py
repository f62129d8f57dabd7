"""Extreme contexts: which are asked about, and planted policies that break or collapse on them."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.contracts.adversarial import AttackLimits
from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.models import PolicyOutput, States
from rl.adversarial.answers import broken_rows
from rl.adversarial.extremes import UNSEEN, attack_by_extremes, extreme_contexts
from rl.encoders.context import encode_context
from tests.unit.rl.adversarial.attacked import SPEC, Linear

LIMITS = AttackLimits()


def test_every_field_is_asked_about_at_both_ends_and_missing() -> None:
    contexts = extreme_contexts(SPEC)
    assert contexts[0] == {}
    for name, ends in (
        ("mood", (-1.0, 1.0)),
        ("voice", ([0.0] * 3, [2.0] * 3)),
        ("age", ("young", "old", UNSEEN)),
        ("hour", (0.0, 12.0, 24.0)),
    ):
        given = [c[name] for c in contexts if name in c]
        for end in ends:
            assert end in given, (name, end)
    states = encode_context(SPEC, contexts)
    assert np.isfinite(states).all()
    assert np.abs(states).max() == 1.0
    assert len(np.unique(states, axis=0)) > 60


def test_a_sound_policy_withstands() -> None:
    found = attack_by_extremes(Linear(), SPEC, LIMITS)
    assert found.check.status is CheckStatus.PASSED
    assert found.figures[0].value == 0.0
    assert found.figures[0].high > 0.0


class Collapsed(Linear):
    """One action, whatever happens."""

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        one = np.zeros(states.mask.shape)
        one[:, 2] = 1.0
        return PolicyOutput(one, one, np.zeros(len(one)))


def test_a_collapsed_policy_gives_way_and_is_named() -> None:
    found = attack_by_extremes(Collapsed(), SPEC, LIMITS)
    assert found.check.status is CheckStatus.FAILED
    assert "'two'" in found.check.reason
    assert found.check.value == pytest.approx(1.0)
    just = AttackLimits(max_extreme_share=1.0)
    assert attack_by_extremes(Collapsed(), SPEC, just).check.status is CheckStatus.PASSED


@pytest.mark.parametrize("broken", [np.nan, -0.5, 2.0])
def test_one_answer_that_is_no_distribution_is_enough(broken: float) -> None:
    class Breaking(Linear):
        def act(self, states: States, epsilon: float) -> PolicyOutput:
            answered = super().act(states, epsilon)
            answered.propensity[0, 0] = broken
            return answered

    found = attack_by_extremes(Breaking(), SPEC, LIMITS)
    assert found.check.status is CheckStatus.FAILED
    assert found.check.reason.startswith("1 of ")


def test_a_negative_probability_is_caught_though_all_sum_to_one() -> None:
    mask = np.ones((2, 2), dtype=bool)
    found = broken_rows(np.array([[1.5, -0.5], [0.5, 0.5]]), mask)
    np.testing.assert_array_equal(found, [True, False])
