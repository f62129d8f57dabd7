"""What a registered policy's row says of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from components._checkpoint import _figures
from everloop.contracts.evaluation import Estimate
from rl.policy_card import PolicyCard
from tests.unit.gates.conftest import EVALUATION


def test_the_intervention_models_own_rates_are_registered() -> None:
    card = cast(PolicyCard, cast(Any, SimpleNamespace(last_reward=0.1)))
    rate = Estimate("intervention_acceptance", 0.75, 0.7, 0.8, 0.95, 400, 300, "weighted")
    found = _figures(replace(EVALUATION, rates=(rate,)), card)
    names = ("", "_low", "_high", "_n")
    assert [found[f"intervention_acceptance{name}"] for name in names] == [0.75, 0.7, 0.8, 400.0]
    without = _figures(replace(EVALUATION, rates=()), card)
    assert "intervention_acceptance" not in without
