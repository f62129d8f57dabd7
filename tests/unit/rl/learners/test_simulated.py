"""What learners see of synthetic people: expected rewards, less what is doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.policy_learning import LearningTask
from everloop.contracts.simulation import UserModel
from rl.belief import BelievedUserModel, believed
from rl.learners.simulated import expected_rewards
from tests.learning.worlds import people
from tests.unit.rl.test_belief import AlikeDoubt, Constant, training, with_nothing

ROWS = np.zeros((4, 2), dtype=np.float32)


def rewards(model: UserModel, at: int | None, folder: Path) -> Float:
    doubt = {"ensemble": 0, "pessimism": 2.0}
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
