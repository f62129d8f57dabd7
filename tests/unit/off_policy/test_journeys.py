"""Journeys: how decisions are split, the estimate by hand, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from rl.off_policy import journeys as module
from rl.off_policy.bootstrap import bootstrap_intervals
from rl.off_policy.journeys import (
    Journeys,
    Steps,
    assemble,
    complete,
    effective_sample,
    only,
    pdis,
    require_short,
    resampled_value,
    self_normalised_pdis,
    split,
)

# Two journeys of person 4 and one of person 9: w and r by step.
HAND = Journeys(
    reward=np.array([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.0]]),
    weight=np.array([[2.0, 0.5], [0.5, 2.0], [1.5, 1.0]]),
    length=np.array([2, 2, 1]),
    person=np.array([4, 4, 9]),
)


def test_products_and_estimates_by_hand() -> None:
    np.testing.assert_allclose(HAND.ratio, [[2, 1], [0.5, 1], [1.5, 1.5]])
    plain = ((2 * 1 + 1 * 0.5) + (0 + 1 * 1) + (-1.5 + 0)) / 3
    assert pdis(HAND).mean() == pytest.approx(plain)
    # the journey that has ended keeps its product and earns 0 at step 2
    normalised = (2 - 1.5) / 4 + (0.5 + 1.0) / 3.5
    assert self_normalised_pdis(HAND).mean() == pytest.approx(normalised)
    assert self_normalised_pdis(HAND, 0.5).mean() == pytest.approx(0.5 / 4 + 0.5 * 1.5 / 3.5)
    assert pdis(HAND, 0.5).mean() == pytest.approx((2.25 + 0.5 - 1.5) / 3)


def test_contributions_are_the_linearised_ratios() -> None:
    """Half the weight of one journey moves the estimate by its contribution, to first order."""
    step = 1e-6
    value = self_normalised_pdis(HAND).mean()
    for j in range(3):
        counts = np.ones(3)
        counts[j] += step
        ratio, reward = HAND.ratio, HAND.reward
        moved = ((counts[:, None] * ratio * reward).sum(0) / (counts[:, None] * ratio).sum(0)).sum()
        slope = (moved - value) / step * 3
        assert self_normalised_pdis(HAND)[j] - value == pytest.approx(slope, abs=1e-4)


def test_the_bootstraps_figure_is_the_estimate() -> None:
    figure = resampled_value(HAND)
    assert figure.columns.shape == (2, 4)
    assert float(figure.of(figure.columns.sum(axis=0))) == pytest.approx(
        self_normalised_pdis(HAND).mean()
    )
    alone = figure.columns[0]  # person 4
    assert float(figure.of(alone)) == pytest.approx(2 / 2.5 + 1.5 / 2)


def test_a_pause_ends_a_journey_and_another_person_too() -> None:
    hour = 3600.0
    person = np.array([1, 0, 1, 1, 0])
    when = np.array([0.0, 0.0, 2.0, 4.1, 2.0]) * hour
    found = split(person, when, 2.0)
    np.testing.assert_array_equal(found.journey, [1, 0, 1, 2, 0])
    np.testing.assert_array_equal(found.step, [0, 0, 1, 0, 1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1e6)), max_size=30), st.floats(0.1, 100))
def test_splitting_is_the_definition(rows: list[tuple[int, float]], ends_after: float) -> None:
    person = np.array([p for p, _ in rows], dtype=np.int64)
    when = np.array([t for _, t in rows], dtype=float)
    found = split(person, when, ends_after)
    for journey in set(found.journey.tolist()):
        members = np.flatnonzero(found.journey == journey)
        members = members[np.argsort(found.step[members])]
        assert found.step[members].tolist() == list(range(len(members)))
        assert len(set(person[members].tolist())) == 1
        assert all(b - a <= ends_after * 3600 for a, b in pairwise(when[members].tolist()))
    for p in set(person.tolist()):
        ends = [when[found.journey == j] for j in sorted(set(found.journey[person == p].tolist()))]
        assert all(b.min() - a.max() > ends_after * 3600 for a, b in pairwise(ends))


def test_an_unusable_decision_takes_its_whole_journey_out() -> None:
    steps = Steps(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 1]))
    rows = complete(steps, np.array([True, False, True, True, True]))
    np.testing.assert_array_equal(rows, [False, False, True, True, True])
    left = only(steps, rows)
    np.testing.assert_array_equal(left.journey, [0, 1, 1])
    laid = assemble(left, np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.array([7, 8, 8]))
    np.testing.assert_array_equal(laid.reward, [[1, 0], [2, 3]])
    np.testing.assert_array_equal(laid.weight, [[4, 1], [5, 6]])
    np.testing.assert_array_equal(laid.length, [1, 2])
    np.testing.assert_array_equal(laid.person, [7, 8])


def _steps(*lengths: int) -> Steps:
    journey = np.repeat(np.arange(len(lengths)), lengths)
    return Steps(journey, np.concatenate([np.arange(n) for n in lengths]))


def test_effective_sample_is_of_whole_products() -> None:
    steps = _steps(2, 1, 1)
    weight = np.array([2.0, 0.5, 3.0, 0.0])
    assert effective_sample(steps, weight) == pytest.approx((1 + 3) ** 2 / (1 + 9))
    assert effective_sample(steps, np.zeros(4)) == 0.0
    # a thousand steps of weight 50 overflow a product, not its logarithm
    assert effective_sample(_steps(1000, 1000), np.full(2000, 50.0)) == pytest.approx(2.0)


def test_more_than_three_steps_are_refused_with_length_sample_and_remedy() -> None:
    require_short(_steps(3, 1), np.ones(4), 2.0)
    with pytest.raises(ShouldCollectMoreData) as refused:
        require_short(_steps(4, 1), np.ones(5), 2.0)
    assert "longest of 2 journeys has 4 decisions" in refused.value.message
    assert "count for 2.0 of the policy's own" in refused.value.message
    assert "50.0% are longer than 3" in refused.value.message
    assert "journeys.ends_after_hours" in refused.value.remedy
    assert module.LONGEST == 3


def test_too_small_an_effective_sample_is_refused() -> None:
    with pytest.raises(ShouldCollectMoreData, match=r"count for 2\.0 .* 3 are needed"):
        require_short(_steps(1, 1), np.ones(2), 3.0)


def test_no_weight_at_a_step_has_no_value() -> None:
    none = Journeys(np.ones((2, 1)), np.zeros((2, 1)), np.ones(2, dtype=int), np.arange(2))
    assert np.isnan(self_normalised_pdis(none)).all()
    assert math.isnan(bootstrap_intervals([resampled_value(none)], 0.9)[0][0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight": np.ones((3, 1))}, "weight"),
        ({"length": np.array([2, 2, 3])}, "lengths 2..3"),
        ({"length": np.array([2, 2, 0])}, "lengths 0..2"),
        ({"length": np.array([2, 1, 1])}, "after their end"),
        ({"weight": np.array([[2.0, 0.5], [0.5, -2.0], [1.5, 1.0]])}, "negative"),
        ({"reward": np.array([[math.nan, 0.5], [0.0, 1.0], [-1.0, 0.0]])}, "NaN"),
        ({"person": np.array([1])}, "1 people"),
    ],
)
def test_malformed_journeys_are_refused(change: dict[str, np.ndarray], says: str) -> None:
    fields = {name: getattr(HAND, name) for name in ("reward", "weight", "length", "person")}
    with pytest.raises(ShouldFixArgument, match=says):
        Journeys(**(fields | change))


def test_a_discount_outside_its_range_is_refused() -> None:
    with pytest.raises(ShouldFixArgument, match=r"discount=1\.5"):
        pdis(HAND, 1.5)
