"""The doubt part of the learning benchmark: its logs, its doubts, what a simulator promises, its pairs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from bench.learning.__main__ import plan
from bench.learning.doubt import (
    ALONE,
    DISCOUNTS,
    PESSIMISM,
    SELDOM,
    SYSTEMS,
    DoubtTerms,
    OfLevels,
    doubt_table,
    doubting,
    paired,
    promised,
    release,
    usual_rules,
)
from bench.learning.places import HOME, place
from everloop.contracts.models import PolicyOutput, States
from rl.belief import BelievedUserModel
from tests.unit.rl.test_belief import Constant

LOOP = place(HOME).loop


class DoesNothing:
    """A policy of one action."""

    def act(self, states: States, epsilon: float) -> PolicyOutput:
        assert epsilon == 0.0
        n = len(states.context)
        sure = np.eye(len(LOOP.actions))[np.zeros(n, dtype=np.int64)]
        return PolicyOutput(sure, sure, np.zeros(n))


def test_the_usual_rules_take_three_actions_nearly_always() -> None:
    valid = np.ones((2, 8), dtype=np.bool_)
    valid[1, [1, 2]] = False
    found = usual_rules(None, valid, np.random.default_rng(1))  # type: ignore[arg-type]
    often = (1 - 5 * SELDOM) / 3
    usual = {"no_action", "pair-one", "hive-walk"}
    by_hand = [often if action in usual else SELDOM for action in LOOP.action_ids]
    np.testing.assert_allclose(found[0], by_hand)
    assert found[1, [1, 2]].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[1, 0] == pytest.approx(often / (1 - often - SELDOM))


def test_a_doubt_of_levels_is_compared_with_nothing() -> None:
    fitted = release(60, 2, 1)
    levels = OfLevels.of(fitted.spec, fitted.model)
    context = fitted.profiles.context[:5]
    nothing, other = np.zeros(5, dtype=np.int64), np.full(5, 4)
    for action in (nothing, other):
        found = levels.reward_standard_error(context, action, reference=0)
        assert (found > 0.0).all()
        np.testing.assert_array_equal(found, fitted.model.reward_standard_error(context, action))
    np.testing.assert_array_equal(
        fitted.model.reward_standard_error(context, nothing, reference=0), 0.0
    )
    np.testing.assert_array_equal(
        levels.expected_reward(context, other), fitted.model.expected_reward(context, other)
    )


def test_what_a_simulator_promises_is_what_its_journeys_earn_and_doubt_takes_off() -> None:
    fitted = release(60, 2, 1)
    certain, doubted = Constant(value=0.5), BelievedUserModel(Constant(error=0.1), (), 2.0)
    compared = BelievedUserModel(Constant(error=0.1), (), 2.0, reference=0)
    policy: Any = DoesNothing()
    assert promised(fitted.spec, fitted, certain, policy, 1) == pytest.approx(0.5)
    # no_action is action 0, whose standard error is .1: two of them are taken off.
    assert promised(fitted.spec, fitted, doubted, policy, 1) == pytest.approx(0.3)
    assert promised(fitted.spec, fitted, compared, policy, 1) == pytest.approx(0.5)
    spec = doubting(fitted.spec, SYSTEMS["both, of levels"], 0.9)
    assert (spec.training.ensemble, spec.training.pessimism) == (8, PESSIMISM)
    assert spec.training.discount == 0.9


def row(doubt: str, seed: int, share: float, gap: float, discount: float = 0.5) -> dict[str, Any]:
    terms = asdict(DoubtTerms(doubt, discount, 200, 3, seed))
    worth = {"share": share, "gap": gap, "value": 0.1, "promised": 0.1 + gap, "believed": 0.2}
    return {**terms, **worth, "usual_share": 0.04, "nothing_share": 0.2}


def test_differences_are_paired_by_seed() -> None:
    rows = [row(ALONE, 1, 0.1, 0.8), row(ALONE, 2, 0.5, 0.6), row(ALONE, 1, 0.9, 0.9, 0.9)]
    rows += [row("both", 2, 0.6, 0.5), row("both", 1, 0.4, 0.6), row("both", 3, 0.9, 0.1)]
    share = paired(rows, "both", 0.5, "share")
    # Differences .3 and .1; t of one degree of freedom is 12.706, the standard error .1.
    assert share.value == pytest.approx(0.2)
    assert share.high - share.value == pytest.approx(12.706 * 0.1, rel=1e-3)
    assert paired(rows, "both", 0.5, "gap").value == pytest.approx(-0.15)
    with pytest.raises(ValueError, match="No seed has both 'both'"):
        paired(rows, "both", 0.9, "share")
    told = doubt_table(rows)
    assert "+0.200 [-1.071, +1.471]" in told
    assert "of doing nothing at all 0.200" in told


def test_every_doubt_is_measured_at_every_discount() -> None:
    terms = list(plan("doubt", (11, 12), quick=False))
    assert len(terms) == len(set(terms)) == 2 * len(DISCOUNTS) * len(SYSTEMS)
    assert list(plan("doubt", (11,), quick=True)) == []
