"""Observations refuse what does not fit, and hand out the rows that were asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.rollout.experiment.observations import TrialObservations


def columns() -> dict[str, Any]:
    return {
        "person": [0, 1, 0],
        "timestamp": ["2026-03-01T00:00", "2026-03-01T06:00", "2026-03-02T00:00"],
        "arm": [0, 1, 1],
        "percent": [1.0, 1.0, 5.0],
        "reward": [0.5, np.nan, -1.0],
        "signals": [[0.1], [np.nan], [1.0]],
        "signal_names": ("engagement",),
        "before": [np.nan, 0.2],
        "shares": {1: 0.01, 5: 0.05},
        "segments": {"age_group": ["young", "", "young"]},
        "fallback": [False, True, False],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": [0, 1]}, "arm has shape"),
        ({"person": [0, 1, 2]}, "person outside"),
        ({"person": [0, 1, -1]}, "person outside"),
        ({"arm": [0, 1, 2]}, "arm is neither"),
        ({"percent": [1.0, 1.0, 25.0]}, "percent is not among"),
        ({"reward": [0.5, 1.01, 0.0]}, "reward outside"),
        ({"signals": [[0.1], [-1.5], [0.0]]}, "signals outside"),
        ({"signals": [[0.1, 0.2]] * 3}, "signals has shape"),
        ({"signal_names": ("a", "a"), "signals": [[0.1, 0.2]] * 3}, "repeat a signal"),
        ({"before": [2.0, 0.0]}, "before is outside"),
        ({"shares": {1: 0.0, 5: 0.05}}, "shares"),
        ({"shares": {1: 0.01, 5: 1.05}}, "shares"),
        ({"segments": {"age_group": ["young"]}}, "segment age_group has shape"),
        ({"timestamp": ["2026-03-01", "NaT", "2026-03-02"]}, "timestamp is missing"),
        ({"fallback": [True]}, "fallback has shape"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said.replace("[", r"\[")):
        TrialObservations(**{**columns(), **change})


def test_arrays_are_copies_that_nobody_changes() -> None:
    given = columns()
    given["reward"] = np.array(given["reward"])
    made = TrialObservations(**given)
    given["reward"][0] = -0.5
    assert made.reward[0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        made.reward[0] = 0.0


def test_until_keeps_the_moment_itself_and_nothing_later() -> None:
    made = TrialObservations(**columns())
    cut = made.until(datetime(2026, 3, 1, 6, tzinfo=UTC))
    assert cut.n == 2
    assert cut.people == 2
    assert cut.segments["age_group"].tolist() == ["young", ""]
    assert cut.fallback is not None
    assert cut.fallback.tolist() == [False, True]
    with pytest.raises(ShouldFixArgument, match="no time zone"):
        made.until(datetime(2026, 3, 1))  # noqa: DTZ001


def test_the_designed_share_is_that_of_the_rows_traffic() -> None:
    assert TrialObservations(**columns()).share().tolist() == [0.01, 0.01, 0.05]


def test_fallbacks_are_counted_among_the_candidates_people_alone() -> None:
    assert TrialObservations(**columns()).fallback_share() == 0.5
    assert TrialObservations(**{**columns(), "fallback": None}).fallback_share() == 0.0
    assert TrialObservations(**{**columns(), "arm": [0, 0, 0]}).fallback_share() == 0.0
