"""What a simulated decision adds to a history, whatever the drawn history was."""

from __future__ import annotations

import numpy as np

from everloop.contracts.actions import ActionKind
from synthetic.user_model.responses import remembered

KINDS = len(ActionKind)


def test_one_more_decision_moves_every_mean_by_its_share() -> None:
    block = np.array([[1.0, 0.0, 0.0, 0.0, 0.4, 1.0, 0.3]])
    after = remembered(block, np.array([1]), np.array([0.0]), 10)
    np.testing.assert_allclose(after, [[0.75, 0.25, 0.0, 0.0, 0.3, 1.0, 0.4]])


def test_a_drawn_history_that_strays_below_nothing_is_an_empty_one() -> None:
    strayed = np.array([[0.0] * KINDS + [0.0, 0.0, -0.1]])
    after = remembered(strayed, np.array([2]), np.array([0.5]), 10)
    np.testing.assert_allclose(after, [[0.0, 0.0, 1.0, 0.0, 0.5, 1.0, 0.1]])
