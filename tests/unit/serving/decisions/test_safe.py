"""What decides where no model does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from everloop.contracts.datasets import Bool
from everloop.contracts.errors import ShouldRetryLater
from everloop.contracts.loop_spec import LoopSpec
from everloop.serving.decisions.question import Catalogue
from everloop.serving.decisions.safe import SafeChoice, cold_start, standstill
from tests.unit.serving.decisions.conftest import loop


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(loop(exploration={"start": 0.4}))


def test_a_cold_start_explores_around_doing_nothing(catalogue: Catalogue) -> None:
    choice = cold_start(catalogue, catalogue.everything)
    assert (choice.version, choice.epsilon) == ("no_action", 0.4)
    # four harmless actions: 0.6 + 0.4 / 4 for wait, 0.4 / 4 for the others, nothing for alarm
    np.testing.assert_allclose(choice.propensity, [0.7, 0.1, 0.1, 0.1, 0.0], atol=1e-15)
    assert choice.mask.tolist() == [True, True, True, True, False]


def test_a_cold_start_counts_the_valid_actions_alone(catalogue: Catalogue) -> None:
    choice = cold_start(catalogue, catalogue.mask(("wait", "alarm", "music")))
    np.testing.assert_allclose(choice.propensity, [0.8, 0, 0.2, 0, 0], atol=1e-15)


@pytest.mark.parametrize("choose", [cold_start, standstill])
def test_without_a_valid_no_action_it_is_uniform(
    catalogue: Catalogue, choose: Callable[[Catalogue, Bool], SafeChoice]
) -> None:
    choice = choose(catalogue, catalogue.mask(("walk", "cheer", "alarm")))
    assert (choice.version, choice.epsilon) == ("uniform", 1.0)
    np.testing.assert_allclose(choice.propensity, [0, 0.5, 0, 0.5, 0])


def test_a_loop_without_no_action_is_uniform() -> None:
    spec: LoopSpec = loop()
    spec = loop(actions=[a.model_dump() for a in spec.actions[1:]])
    catalogue = Catalogue(spec)
    choice = cold_start(catalogue, catalogue.everything)
    assert choice.version == "uniform"
    np.testing.assert_allclose(choice.propensity, [1 / 3, 1 / 3, 1 / 3, 0])


def test_a_standstill_does_nothing_for_certain_and_says_that_nothing_else_was_possible(
    catalogue: Catalogue,
) -> None:
    choice = standstill(catalogue, catalogue.everything)
    assert (choice.version, choice.epsilon) == ("no_action", 0.0)
    np.testing.assert_array_equal(choice.propensity, [1, 0, 0, 0, 0])
    assert catalogue.ids(choice.mask) == ("wait",)


@pytest.mark.parametrize("choose", [cold_start, standstill])
def test_nobody_but_a_model_chooses_what_is_safety_critical(
    catalogue: Catalogue, choose: Callable[[Catalogue, Bool], SafeChoice]
) -> None:
    with pytest.raises(ShouldRetryLater, match=r"safety-critical actions are valid \(alarm\)"):
        choose(catalogue, catalogue.mask(("alarm",)))
