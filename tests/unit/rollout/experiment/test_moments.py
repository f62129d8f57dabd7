"""Strata, cells and their sums, against numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.moments import moments_of, nested_draw
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.strata import cells_of, strata_of
from tests.unit.rollout.experiment.made import cells

ROWS = [(0, 0, True, 2.0, 2.0), (1, 0, False, 1.0, 0.0), (2, 0, False, 1.0, 1.0)]


def changed_at_noon() -> TrialObservations:
    return TrialObservations(
        person=np.array([0, 0, 1, 0, 1, 0]),
        timestamp=np.array(
            [
                "2026-03-02T23",
                "2026-03-01T01",
                "2026-03-01T02",
                "2026-03-01T13",
                "2026-03-01T14",
                "2026-03-01T03",
            ],
            dtype="datetime64[us]",
        ),
        arm=np.array([1, 0, 0, 1, 0, 0], dtype=np.int8),
        percent=np.array([5.0, 1.0, 1.0, 5.0, 5.0, 1.0]),
        reward=np.array([0.5, 0.25, np.nan, 1.0, -1.0, 0.5]),
        signals=np.zeros((6, 0)),
        signal_names=(),
        before=np.zeros(2),
        shares={1: 0.01, 5: 0.05},
    )


def test_a_day_is_split_where_its_traffic_changes_and_strata_are_in_order_of_time() -> None:
    strata = strata_of(changed_at_noon())
    assert strata.day == ("2026-03-01", "2026-03-01", "2026-03-02")
    assert strata.percent.tolist() == [1.0, 5.0, 5.0]
    assert strata.of.tolist() == [2, 0, 0, 1, 1, 0]


def test_cells_sum_a_person_within_a_stratum_and_leave_missing_rewards_out() -> None:
    observations = changed_at_noon()
    found = cells_of(observations, strata_of(observations), observations.reward)
    got = sorted(
        zip(
            found.person.tolist(),
            found.stratum.tolist(),
            found.candidate.tolist(),
            found.count.tolist(),
            found.total.tolist(),
            strict=True,
        )
    )
    assert got == [
        (0, 0, False, 2, 0.75),
        (0, 1, True, 1, 1.0),
        (0, 2, True, 1, 0.5),
        (1, 1, False, 1, -1.0),
    ]


def test_no_decision_is_no_stratum() -> None:
    nothing = changed_at_noon().where(np.zeros(6, dtype=np.bool_))
    strata = strata_of(nothing)
    assert strata.day == ()
    assert cells_of(nothing, strata, nothing.reward).person.size == 0


def test_an_empty_cell_is_refused() -> None:
    good = cells(ROWS, 3, 1)
    with pytest.raises(ShouldFixArgument, match="empty cell"):
        replace(good, count=np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ShouldFixArgument, match="lengths"):
        replace(good, count=np.ones(2))


def test_scores_and_covariances_of_one_stratum_by_hand() -> None:
    """Candidate 1, 1 of one person; control 0 and 1 of two: mean .75, residuals .5, -.75 and .25."""
    found = moments_of(cells(ROWS, 3, 1))
    assert found.decisions.tolist() == [[2.0], [2.0]]
    assert found.people.tolist() == [[2.0], [1.0]]
    assert found.weight.tolist() == [1.0]
    assert found.score[0].tolist() == [0.5]
    assert found.raw[0, 0, 0, 0] == pytest.approx(0.25 + 0.5625 + 0.0625)
    assert found.designed[0, 0, 0, 0] == pytest.approx(0.25 * 0.875)
    assert found.observed[0, 0, 0, 0] == pytest.approx(0.0625 + 0.140625 + 0.015625)
    assert found.together[0, 0] == 4.0 + 1.0 + 1.0


def test_a_day_on_which_everybody_earns_more_varies_no_more() -> None:
    later = [(person + 3, 1, met, n, total + 9 * n) for person, _, met, n, total in ROWS]
    found = moments_of(cells(ROWS + later, 6, 2))
    np.testing.assert_allclose(found.raw[0, 0], 0.875 * np.eye(2))
    np.testing.assert_allclose(found.score[0], [0.5, 0.5])


def test_people_who_stay_in_their_place_make_strata_go_together() -> None:
    assert nested_draw(np.array([0.25, 0.5])).tolist() == [[0.1875, 0.125], [0.125, 0.25]]


def test_the_draws_covariance_is_that_of_nested_places() -> None:
    places = np.random.default_rng(11).random(200_000)
    met = (places[:, None] < np.array([0.1, 0.6])).astype(np.float64)
    assert np.cov(met.T)[0, 1] == pytest.approx(nested_draw(np.array([0.1, 0.6]))[0, 1], abs=2e-3)


def test_a_covariate_has_the_score_of_its_difference_between_arms() -> None:
    known = np.array([[1.0], [0.0], [4.0]])
    found = moments_of(cells(ROWS, 3, 1), known)
    assert found.score[2, 0] == pytest.approx(1.0 * (1.0 - 2.0))


def test_tables_of_many_people_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    rows = [
        (p, d, bool(p % 3 == 0), float(rng.integers(1, 4)), float(rng.normal()))
        for p in range(40)
        for d in range(3)
        if rng.random() < 0.6
    ]
    known = rng.normal(size=(40, 1))
    dense = moments_of(cells(rows, 40, 3), known)
    monkeypatch.setattr("everloop.rollout.experiment.moments._DENSE", 0)
    kept_empty = moments_of(cells(rows, 40, 3), known)
    assert kept_empty.raw == pytest.approx(dense.raw)
    assert kept_empty.observed == pytest.approx(dense.observed)
    assert kept_empty.together == pytest.approx(dense.together)
