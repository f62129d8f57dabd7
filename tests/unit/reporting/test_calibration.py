"""Predictions beside measurements: what counts as a pair, what lies inside, and what became of answers."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict
from everloop.contracts.rollouts import Artefact, Deployment
from everloop.reporting.calibration import OUTCOMES, Calibration, calibration, plot
from everloop.reporting.plots import HEIGHT

NAN = math.nan
GO = Verdict(Decision.CONTINUE, (Check("a", CheckStatus.PASSED, "Good."),))
HOLD = Verdict(Decision.HOLD, (Check("a", CheckStatus.FAILED, "Bad."),))


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate("difference", value, low, high, 0.95, 100, 50, "m")


def deployment(
    measured: float | None = None,
    interval: tuple[float, float] = (-0.1, 0.1),
    **changes: Any,
) -> Deployment:
    made = Deployment(
        "d1",
        "walk",
        (Artefact("policy", "c1", "walk-1", "ab"),),
        datetime(2026, 3, 1, tzinfo=UTC),
        verdict=GO,
        predicted=estimate(0.0, *interval),
        measured=None if measured is None else estimate(measured, measured - 0.3, measured + 0.3),
    )
    return replace(made, **changes)


def of(*measured: float) -> Calibration:
    return calibration([deployment(value) for value in measured])


@pytest.mark.parametrize(
    ("measured", "inside"),
    [(0.0, True), (0.1, True), (-0.1, True), (0.1001, False), (-0.1001, False)],
)
def test_inside_is_the_measured_value_within_the_predictions_interval(
    measured: float, inside: bool
) -> None:
    """Not the other way round, and not whether the intervals touch: the measured one is wider."""
    (pair,) = of(measured).pairs
    assert pair.inside is inside


def test_half_open_intervals_are_intervals() -> None:
    found = calibration([deployment(9.0, (-0.1, math.inf)), deployment(-9.0, (-0.1, math.inf))])
    assert [pair.inside for pair in found.pairs] == [True, False]


@pytest.mark.parametrize(
    "lacking",
    [
        {"predicted": None},
        {"measured": None},
        {"predicted": estimate(NAN, NAN, NAN)},
        {"measured": estimate(NAN, NAN, NAN)},
    ],
)
def test_what_was_not_predicted_or_not_measured_is_no_pair(lacking: dict[str, Any]) -> None:
    found = calibration([replace(deployment(0.0), **lacking)])
    assert found.pairs == ()
    assert found.share is None
    assert found.sentence == "No trial has measured yet what evaluation had predicted."
    assert plot(found) == ""
    assert found.record.tried == 1


def test_a_prediction_without_an_interval_is_shown_and_not_counted() -> None:
    alone = calibration([deployment(0.0, (NAN, NAN))])
    assert [pair.inside for pair in alone.pairs] == [None]
    assert alone.share is None
    assert alone.sentence == "1 pair, and no prediction among them has an interval."
    found = calibration([deployment(0.0, (NAN, NAN)), deployment(0.0)])
    assert found.share is not None
    assert (found.share.n, found.share.value) == (1, 1.0)


def test_the_share_has_wilsons_interval() -> None:
    """4 of 5: (.8 + z²/10 ± z sqrt(.16/5 + z²/100)) / (1 + z²/5) with z = 1.96."""
    share = of(0.0, 0.0, 0.0, 0.0, 9.0).share
    assert share is not None
    assert (share.value, share.n) == (0.8, 5)
    assert share.low == pytest.approx(0.3755, abs=1e-4)
    assert share.high == pytest.approx(0.9638, abs=1e-4)


def test_a_share_of_few_pairs_is_told_as_a_count_with_all_that_it_may_be() -> None:
    assert of(9.0).sentence == (
        "The one measured difference did not lie inside the prediction's interval. So few say little: "
        "the share may be anything from 0% to 79%."
    )
    assert of(0.0).sentence.startswith("The one measured difference lay inside")
    four = of(0.0, 0.0, 9.0, 9.0).sentence
    assert four.startswith("2 of 4 measured differences lay inside the prediction's interval.")
    assert "anything from 15% to 85%" in four
    assert "50" not in four


def test_a_share_of_five_pairs_is_told_with_its_interval() -> None:
    said = of(0.0, 0.0, 0.0, 0.0, 9.0).sentence.replace("\u00a0", " ")
    assert "4 of 5 measured differences" in said
    assert "80 % [38, 96]" in said


def test_what_became_of_the_gates_answers() -> None:
    found = calibration(
        [
            deployment(0.0, outcome="promoted"),
            deployment(0.0, outcome="promoted"),
            deployment(0.0, outcome="rolled_back"),
            deployment(0.0, outcome="ended"),
            deployment(0.0, outcome="withdrawn"),
            deployment(),
            deployment(verdict=HOLD, outcome="rolled_back"),
            deployment(verdict=HOLD),
            deployment(verdict=HOLD),
            deployment(verdict=None),
            deployment(verdict=None, outcome="promoted"),
        ]
    ).record
    assert found.let_through == {
        "promoted": 2,
        "withdrawn": 1,
        "rolled_back": 2,
        "ended": 1,
        "": 1,
    }
    assert set(found.let_through) == set(OUTCOMES)
    assert (found.tried, found.by_person, found.held, found.unasked) == (7, 1, 2, 2)


def test_pairs_keep_their_order_and_their_names() -> None:
    unnamed = deployment(0.0, artefacts=(Artefact("pairing", "c2", "walk-pairing", "cd"),))
    found = calibration([deployment(0.2), unnamed])
    assert [pair.name for pair in found.pairs] == ["walk-1", "d1"]
    assert [pair.measured.value for pair in found.pairs] == [0.2, 0.0]


def dots(found: Calibration) -> list[tuple[float, float]]:
    """(across, up) of the drawn points, each 0..1."""
    places = re.findall(r'<circle class="dot main" cx="([\d.]+)%" cy="([\d.]+)"', plot(found))
    return [(float(x) / 100, 1 - float(y) / HEIGHT) for x, y in places]


def test_a_point_is_drawn_right_of_what_was_predicted_less_and_above_what_was_measured_less() -> (
    None
):
    better = deployment(0.4, predicted=estimate(0.1, 0.0, 0.2))
    worse = deployment(-0.4, predicted=estimate(-0.1, -0.2, 0.0))
    (right, above), (left, below) = dots(calibration([better, worse]))
    assert right > left
    assert above > below
    ((across, up),) = dots(calibration([better]))
    assert up > across
    equal = deployment(0.2, predicted=estimate(0.2, 0.1, 0.3))
    ((across, up),) = dots(calibration([equal]))
    assert across == pytest.approx(up, abs=1e-3)


def test_the_plot_says_what_it_shows_and_escapes_names() -> None:
    hostile = deployment(0.1, artefacts=(Artefact("policy", "c", "<b>x</b>", "ab"),))
    drawn = plot(calibration([hostile]))
    assert "<b>" not in drawn
    assert "predicted difference 0, measured difference 0.1" in drawn
    assert 'class="rule"' in drawn
    assert drawn.count("whisker main") == 2
    bare = calibration([deployment(0.1, (NAN, NAN))])
    assert plot(bare).count("whisker main") == 1
