"""What learners see of synthetic people: expected rewards, less what is doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.policy_learning import LearningTask
from everloop.contracts.simulation import UserModel
from rl.belief import BelievedUserModel, believed
from rl.learners.simulated import expected_rewards
from tests.learning.worlds import people
from tests.unit.rl.test_belief import AlikeDoubt, Column, Constant, training, with_nothing

ROWS = np.zeros((4, 2), dtype=np.float32)


def rewards(model: UserModel, at: int | None, folder: Path, pessimism: float = 2.0) -> Float:
    doubt = {"ensemble": 0, "pessimism": pessimism}
    spec = training(**doubt) if at is None else with_nothing(at, **doubt)
    task = LearningTask(spec, model, people(spec), 1, folder)
    found = expected_rewards(task, ROWS)
    simulator = believed(model, spec, 1)
    assert isinstance(simulator, BelievedUserModel)
    each = [simulator.cautious_reward(ROWS, np.full(4, a)) for a in range(len(spec.actions))]
    np.testing.assert_allclose(found, np.stack(each, axis=1))
    return found


def test_doubts_are_those_of_what_is_earned_above_doing_nothing(tmp_path: Path) -> None:
    np.testing.assert_allclose(rewards(Constant(), 1, tmp_path), [[0.3, 0.5, 0.3]] * 4)
    np.testing.assert_allclose(rewards(Constant(), None, tmp_path), [[0.3, 0.1]] * 4)


def test_a_doubt_that_all_actions_share_changes_nothing(tmp_path: Path) -> None:
    np.testing.assert_allclose(rewards(AlikeDoubt(), 0, tmp_path), [[0.0, 0.1, 0.2]] * 4)


def test_a_doubt_is_never_wider_than_rewards_are(tmp_path: Path) -> None:
    found = rewards(Constant(error=3.0), None, tmp_path, pessimism=0.5)
    np.testing.assert_allclose(found, [[0.0, 0.0]] * 4)


@pytest.mark.parametrize("error", [-0.01, 101.0, float("nan")])
def test_what_is_no_standard_error_is_refused(error: float, tmp_path: Path) -> None:
    spec = training(ensemble=0, pessimism=2.0)
    task = LearningTask(spec, Constant(error=error), people(spec), 1, tmp_path)
    with pytest.raises(ShouldRestoreArtefact, match=f"release .* off by {error:g}, which"):
        expected_rewards(task, ROWS)


def test_an_expected_reward_of_another_shape_is_named(tmp_path: Path) -> None:
    spec = training(ensemble=0, pessimism=0.0)
    task = LearningTask(spec, Column(), people(spec), 1, tmp_path)
    with pytest.raises(ShouldRestoreArtefact, match=r"answered rewards of shape \(4, 1\)"):
        expected_rewards(task, ROWS)
