"""The gates benchmark: its closed form is the engine's, its peers are asked themselves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import ProportionStatistic

from bench.gates import groups, once, plans, ratios, returning
from bench.gates.__main__ import goals, table
from bench.gates.crossings import Crossings, crossings, wilson95
from bench.record import record
from everloop.rollout.experiment.effect import AIM, effect_at
from everloop.rollout.experiment.moments import moments_of
from everloop.rollout.experiment.strata import Cells


def test_the_first_bound_beyond_zero_is_the_crossing() -> None:
    low = np.array([[-1, 0.1, -1], [-1, -1, 0.2], [np.nan, -1, -1], [-1, -1, 0.0]])
    high = np.array([[1, 1, -0.5], [1, -0.1, 1], [np.nan, 1, 1], [1, 1, 1]])
    found = crossings(low, high)
    assert found.side.tolist() == [1, -1, 0, 0]
    assert found.look.tolist() == [1, 1, 2, 2]


def test_the_median_counts_those_that_never_cross() -> None:
    found = Crossings(np.array([1, 1, 0, -1]), np.array([0, 1, 2, 0]))
    assert found.share(1) == 0.5
    assert found.median(1, np.array([10.0, 20.0, 30.0])) == 20.0
    assert found.median(-1, np.array([10.0, 20.0, 30.0])) is None


def test_the_closed_form_is_what_the_engine_says() -> None:
    counts = once.Counts(np.array([120, 80]), np.array([[40, 30]]), np.array([[55, 35]]))
    low, high = once.everloop_bounds(counts)
    rows, person = [], 0
    for stratum in (0, 1):
        for met, ones in ((False, counts.control), (True, counts.candidate)):
            for place in range(int(counts.people[stratum])):
                rows.append((person, stratum, met, float(place < ones[0, stratum])))
                person += 1
    people, stratum, met, total = (np.array(c) for c in zip(*rows, strict=True))
    cells = Cells(people, stratum, met, np.ones(person), total, person, 2)
    moments = moments_of(cells)
    for look in (0, 1):
        effect = effect_at(moments, look + 1)
        expected = effect.interval(once.ALPHA, AIM * effect.control)
        assert (low[0, look], high[0, look]) == pytest.approx(expected, rel=1e-9)


def test_few_people_decide_nothing() -> None:
    counts = once.Counts(np.array([50, 60]), np.array([[0, 0]]), np.array([[50, 60]]))
    low, _ = once.everloop_bounds(counts)
    assert math.isnan(low[0, 0])


def test_gbstats_is_asked_itself() -> None:
    counts = once.draw(np.random.default_rng(11), "dense", -0.2, 2, 12)
    found = once.gbstats_crossings(counts)
    n = int(np.cumsum(counts.people)[found.look[0]])
    ones = [int(np.cumsum(c[0])[found.look[0]]) for c in (counts.control, counts.candidate)]
    test = SequentialTwoSidedTTest(
        ProportionStatistic(n, ones[0]),
        ProportionStatistic(n, ones[1]),
        SequentialConfig(difference_type="absolute"),
    )
    assert found.side[0] == -1
    assert test.compute_result().ci[1] < 0


def test_a_pooled_peer_sees_each_arms_people() -> None:
    trial = returning.play(
        np.random.default_rng(11), "dense", np.array([0.3, 0.6]), np.zeros(2), people=50
    )
    control, candidate = returning.pooled(trial)[-1]
    mine = trial.met
    total = float((trial.total * mine).sum() / (trial.count * mine).sum())
    assert candidate.mean == pytest.approx(total)
    assert candidate.n == int(((trial.count * mine).sum(axis=1) > 0).sum())
    assert control.m_statistic.sum == pytest.approx(float((trial.total * ~mine).sum()))


def test_people_keep_their_place_and_days_differ() -> None:
    trial = returning.play(
        np.random.default_rng(12), "dense", np.array(returning.RAMP), np.zeros(14)
    )
    assert (np.diff(trial.met.astype(int), axis=1) >= 0).all()
    days = trial.total.sum(axis=0) / trial.count.sum(axis=0)
    assert np.ptp(days) > 0.2


def test_quick_parts_have_what_the_goals_and_the_table_need() -> None:
    rows = [
        *once.measure(11, 3, looks=6),
        *returning.rows_of(returning.replay(11, "dense", "ramp", 0.0, 2), "dense", "ramp", 0.0, 2),
        *groups.measure(11, 2),
        *ratios.measure(11, 3),
        *ratios.measure_regulars(11, 3),
    ]
    told = json.loads(record("gates", 11, rows, goals(rows)))
    assert [(g["name"], g["goal"], g["sense"]) for g in told["goals"]] == [
        ("false_promotion_rate", 0.05, "max"),
        ("false_rollback_rate", 0.05, "max"),
    ]
    studies = {row["study"] for row in rows}
    assert all(study in table(rows) for study in studies)
    for kind in ("dense", "sparse"):
        asked = {r["effect"] for r in rows if r.get("rewards") == kind and "once" in r["study"]}
        assert asked == {0.0, 0.05, -0.05, -0.1, -0.2}


def test_the_goal_is_the_worst_of_our_settings_without_an_effect() -> None:
    rows = [
        {"system": "everloop", "effect": 0.0, "better": 0.01, "worse": 0.04, "repetitions": 100},
        {"system": "everloop", "effect": 0.0, "better": 0.03, "worse": 0.02, "repetitions": 100},
        {"system": "everloop", "effect": 0.1, "better": 0.9, "worse": 0.0, "repetitions": 100},
        {"system": "peer", "effect": 0.0, "better": 0.5, "worse": 0.5, "repetitions": 100},
    ]
    found = {goal.name: goal.measured.value for goal in goals(rows)}
    assert found == {"false_promotion_rate": 0.03, "false_rollback_rate": 0.04}


def test_an_interval_of_a_rate_holds_the_rate() -> None:
    low, high = wilson95(0.0, 2000)
    assert low == 0.0
    assert 0.0 < high < 0.01


def test_a_plan_is_made_from_a_week_without_a_trial() -> None:
    found = list(plans.measure(11, 2))
    assert {row["rewards"] for row in found} == {"dense", "sparse"}
    assert all(row["planned_days"] is not None for row in found)


@pytest.mark.slow
def test_a_candidate_equal_to_the_control_is_not_told_apart_looked_at_six_hourly() -> None:
    found = returning.replay_hours(11, 200)
    assert found.share(1) <= 0.05
    assert found.share(-1) <= 0.05


def test_lost_decisions_of_regular_users_alarm_and_fewer_visits_only_warn() -> None:
    rows = list(ratios.measure_regulars(11, 3 * ratios.FEWER))
    found = {(r["lost"], r["comes"]): r for r in rows}
    assert found[0.5, 1.0]["alarms"] == 1.0
    assert found[0.5, 1.0]["median_day"] == ratios.RAMP.index(0.25) + 1
    assert found[0.0, 0.7]["alarms"] == 0.0
    assert found[0.0, 0.7]["warnings"] == 1.0
    assert all(r["repetitions"] == 3 for r in rows)
