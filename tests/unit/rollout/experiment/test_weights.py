"""Weights of strata, by hand: what shares nothing counts in full, what adds nothing does not count."""

from __future__ import annotations

import numpy as np
import pytest

from everloop.rollout.experiment.weights import LARGEST, modelled, stratum_weights


def test_people_who_come_once_make_every_stratum_count_in_full() -> None:
    weight = np.array([0.01, 0.2, 0.3])
    assert stratum_weights(weight, np.diag(weight)).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_a_stratum_counts_by_what_it_adds() -> None:
    """h 1 and 1; V 1, v 2, c .5: w = (1 - .5) / (2 - .5)."""
    found = stratum_weights(np.ones(2), np.array([[1.0, 0.5], [0.5, 2.0]]))
    assert found.tolist() == pytest.approx([1.0, 1 / 3])


def test_the_weight_is_the_one_with_which_most_is_known() -> None:
    covariance = np.array([[1.0, 0.3, 0.2], [0.3, 1.5, 0.6], [0.2, 0.6, 2.0]])
    weight = np.array([1.0, 0.8, 1.2])
    found = stratum_weights(weight, covariance)

    def known(last: float) -> float:
        w = np.array([*found[:2], last])
        return float((w @ weight) ** 2 / (w @ covariance @ w))

    assert known(found[2]) > max(known(0.98 * found[2]), known(1.02 * found[2]))


def test_what_only_adds_variance_does_not_count() -> None:
    found = stratum_weights(np.ones(2), np.array([[1.0, 1.5], [1.5, 4.0]]))
    assert found.tolist() == [1.0, 0.0]


def test_a_first_stratum_that_told_next_to_nothing_does_not_make_the_second_infinite() -> None:
    found = stratum_weights(np.array([1.0, 1.0]), np.array([[9.0, 1.0], [1.0, 0.5]]))
    assert found.tolist() == [1.0, LARGEST]


def test_a_stratum_of_one_arm_is_passed_over() -> None:
    found = stratum_weights(np.array([0.0, 1.0, 1.0]), np.diag([0.0, 1.0, 1.0]))
    assert found.tolist() == [1.0, 1.0, 1.0]


def test_the_model_has_what_people_share_and_what_they_do_not_by_moments() -> None:
    """t = 2 / 4, s = (6 - .5 * 4) / 4 = 1."""
    raw = np.array([[3.0, 1.0], [1.0, 3.0]])
    found = modelled(
        raw, np.full((2, 2), 2.0), np.full(2, 2.0), np.array([[0.25, 0.1], [0.1, 0.2]])
    )
    assert found.ravel().tolist() == pytest.approx([0.25 * 3, 0.1 * 1, 0.1 * 1, 0.2 * 3])


def test_a_negative_covariance_counts_as_none() -> None:
    raw = np.array([[3.0, -1.0], [-1.0, 3.0]])
    found = modelled(raw, np.full((2, 2), 2.0), np.full(2, 2.0), np.full((2, 2), 0.25))
    assert found.ravel().tolist() == pytest.approx([0.75, 0.0, 0.0, 0.75])


def test_rewards_that_do_not_vary_leave_the_counts_to_weigh() -> None:
    found = modelled(np.zeros((2, 2)), np.full((2, 2), 2.0), np.full(2, 2.0), np.full((2, 2), 0.25))
    assert found.ravel().tolist() == pytest.approx([0.5, 0.0, 0.0, 0.5])
