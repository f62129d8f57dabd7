"""Each success metric against a log small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from everloop import loops
from everloop.contracts.datasets import DatasetManifest, EncodedEpisodes, Exclusions
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.feedback import TrustFigures
from everloop.contracts.figures import SuccessFigure
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.loop_spec import BenchmarkMetric, LoopSpec, ThresholdSpec
from everloop.reporting.success import success_figures, unmeasured

SPEC = loops.load("companion")
PAIR, CALM, NOTHING = (SPEC.action_index[a] for a in ("pair-one", "intervene-calm", "no_action"))
NAN = float("nan")
DAY = 86_400.0
START = 19_675 * DAY
"""2023-11-14."""


def episodes(
    rows: Sequence[tuple[int, int, tuple[float, float, float]]], **more: Any
) -> EncodedEpisodes:
    """(person, action, (engagement, resonance, feedback)) per row; ``more`` replaces arrays."""
    n = len(rows)
    person = np.array([r[0] for r in rows], dtype=np.int64)
    base: dict[str, Any] = {
        "episode_id": np.array([f"e{i}" for i in range(n)]),
        "person": person,
        "people": np.array([f"p{i}" for i in range(int(person.max(initial=-1)) + 1)]),
        "context": np.zeros((n, 2), np.float32),
        "interacting": np.array([True, False]),
        "action": np.array([r[1] for r in rows], dtype=np.int64),
        "mask": np.ones((n, len(SPEC.actions)), np.bool_),
        "propensity": np.full(n, 0.125),
        "reward": np.zeros(n),
        "signals": np.array([r[2] for r in rows]).reshape(n, 3),
        "holdout": np.zeros(n, np.bool_),
        "comparison": np.zeros(n, np.bool_),
        "timestamp": START + np.arange(n, dtype=np.float64),
        "encoder": "test-1",
    }
    return EncodedEpisodes(**{**base, **more})


def one(name: str, data: EncodedEpisodes, spec: LoopSpec = SPEC, **more: Any) -> SuccessFigure:
    return next(f for f in success_figures(spec, data, **more) if f.name == name)


def manifest(day: date) -> DatasetManifest:
    return DatasetManifest("d", "companion", "default", day, 28, 1, 1, 1, "s", (), Exclusions())


def test_every_metric_of_the_specification_is_there_in_order() -> None:
    figures = success_figures(SPEC, episodes([(0, PAIR, (0, 0.5, NAN))]))
    assert [f.name for f in figures] == [m.name for m in SPEC.success_metrics]
    assert [(f.baseline, f.target) for f in figures] == [
        (m.baseline, m.target) for m in SPEC.success_metrics
    ]


def test_pairing_accuracy_counts_pairings_with_resonance_above_zero() -> None:
    rows = [
        (0, PAIR, (0, 0.5, NAN)),
        (1, PAIR, (0, -0.5, NAN)),
        (2, PAIR, (0, 0.1, NAN)),
        (3, PAIR, (0, 0.0, NAN)),
        (4, PAIR, (0, NAN, NAN)),  # no resonance evidence
        (5, CALM, (0, 0.9, NAN)),  # no pairing
        (6, PAIR, (0, 0.9, NAN)),  # the comparison policy's
    ]
    data = episodes(rows, comparison=np.array([False] * 6 + [True]))
    figure = one("pairing_accuracy", data)
    assert figure.current is not None
    assert figure.current.value == 0.5
    assert (figure.current.n, figure.current.clusters) == (4, 4)
    assert (figure.current.low, figure.current.high) == pytest.approx(
        wilson(0.5, 4, critical(0.95))
    )
    assert figure.note == (
        "resonance above 0 over the 4 of 5 suggest pairing decisions with resonance evidence"
    )
    assert not figure.lower_is_better


def test_interventions_are_accepted_at_success_and_rejected_at_failure() -> None:
    rewards = (0.2, 0.19, 0.9, -0.2, -0.19, -0.9, -1.0, 0.0, NAN, 1.0)
    rows = [(i, CALM, (0.0, NAN, NAN)) for i in range(9)] + [(9, PAIR, (1, 1, NAN))]
    data = episodes(rows, reward=np.array(rewards))
    accepted, rejected = (
        one(f"intervention_{name}", data) for name in ("acceptance", "false_positive_rate")
    )
    assert accepted.current is not None
    assert rejected.current is not None
    assert (accepted.current.value, accepted.current.n) == (2 / 8, 8)
    assert (rejected.current.value, rejected.current.n) == (3 / 8, 8)
    assert (accepted.current.low, accepted.current.high) == pytest.approx(
        wilson(2 / 8, 8, critical(0.95))
    )
    assert rejected.lower_is_better
    assert not accepted.lower_is_better
    assert (
        rejected.note == "reward at most -0.2 over the 8 of 9 intervention decisions with a reward"
    )


def test_where_people_are_held_out_the_metrics_are_about_them_alone() -> None:
    rows = [(i, PAIR, (0, 0.5 if i < 3 else -0.5, NAN)) for i in range(8)]
    held = np.arange(8) >= 2
    figure = one("pairing_accuracy", episodes(rows, holdout=held))
    assert figure.current is not None
    assert (figure.current.value, figure.current.n) == (pytest.approx(1 / 6), 6)
    assert "suggest pairing decisions of held-out people" in figure.note
    seen = episodes(
        rows, holdout=held, person=np.arange(8) // 2, timestamp=START + np.tile([0, 3 * DAY], 4)
    )
    retention = one("user_retention_7_day", seen, manifest=manifest(date(2023, 11, 22)))
    assert retention.current is not None
    assert retention.current.clusters == 3
    assert "person-days of held-out people" in retention.note


def test_a_metric_without_its_decisions_or_its_evidence_says_so() -> None:
    data = episodes([(0, PAIR, (0, NAN, NAN))])
    assert one("intervention_acceptance", data).note == (
        "not measurable on this data: the log has no intervention decisions with a reward"
    )
    assert one("pairing_accuracy", data).note == (
        "not measurable on this data: none of the 1 suggest pairing decisions has resonance evidence"
    )


def test_click_through_rate_is_the_mean_of_a_one_sided_signal() -> None:
    spec = loops.load("open_bandit")
    n = 8
    data = replace(
        episodes([(i, 0, (NAN, NAN, NAN)) for i in range(n)]),
        mask=np.ones((n, 80), np.bool_),
        signals=np.array([[1.0], [0], [0], [0], [0], [0], [1.0], [NAN]]),
    )
    figure = one("click_through_rate", data, spec)
    assert figure.current is not None
    assert figure.current.value == pytest.approx(2 / 7)
    assert figure.current.method == "Wilson"
    graded = replace(data, signals=np.array([[0.5], [0], [0], [0], [0], [0], [0.25], [NAN]]))
    figure = one("click_through_rate", graded, spec)
    assert figure.current is not None
    assert figure.current.value == pytest.approx(0.75 / 7)
    assert figure.note.startswith("mean click over the 7 of 8 decisions")
    assert "no person" in one("user_retention_7_day", data, spec).note


def test_prediction_error_is_in_the_signals_own_units_on_held_out_rows() -> None:
    rows = [(i, PAIR, (0.0, r, NAN)) for i, r in enumerate((0.2, -0.4, 0.8, NAN))]
    data = episodes(rows, holdout=np.array([True, True, False, True]))
    predicted = np.array([[0, 0.0, 0], [0, 0.0, 0], [0, -1.0, 0], [0, 0.3, 0]])
    figure = one("resonance_prediction_rmse", data, predicted=predicted)
    assert figure.current is not None
    # Errors .2 and -.4 on [-1, 1] are .1 and .2 on the declared [0, 1].
    assert figure.current.value == pytest.approx(np.sqrt((0.01 + 0.04) / 2))
    assert figure.current.n == 2
    assert figure.lower_is_better
    unpredicted = np.full((4, 3), NAN)
    assert "no held-out" in one("resonance_prediction_rmse", data, predicted=unpredicted).note
    assert "no predictions" in one("resonance_prediction_rmse", data).note


def test_retention_counts_person_days_whose_wait_lies_in_the_window() -> None:
    days = {0: (0, 3, 12), 1: (0, 9), 2: (4,), 3: (14,)}
    rows, when = [], []
    for person, seen in days.items():
        for day in seen:
            rows += [(person, NOTHING, (0.0, NAN, NAN))] * 2
            when += [START + day * DAY + 60, START + day * DAY + 7200]
    data = episodes(rows, timestamp=np.array(when))
    figure = one("user_retention_7_day", data)
    # The newest day is 14, so days 0..7 are asked: person 0 on 0 (yes, day 3) and 3 (no: 12 is 9
    # days on), person 1 on 0 (no: 9 is 9 days on), person 2 on 4 (no).
    assert figure.current is not None
    assert (figure.current.value, figure.current.n, figure.current.clusters) == (0.25, 4, 3)
    assert figure.note == "seen again within 7 days, over 4 person-days"
    # A window that ends two days later asks days 0..9 as well: person 1 on 9 (no).
    later = one("user_retention_7_day", data, manifest=manifest(date(2023, 11, 30)))
    assert later.current is not None
    assert (later.current.value, later.current.n) == (0.2, 5)


def test_retention_on_the_seventh_day_counts_and_on_the_eighth_does_not() -> None:
    for gap, expected in ((7, 1.0), (8, 0.0)):
        rows = [(0, NOTHING, (0.0, NAN, NAN))] * 2
        data = episodes(rows, timestamp=START + np.array([0.0, gap * DAY]))
        figure = one("user_retention_7_day", data, manifest=manifest(date(2023, 11, 22)))
        assert figure.current is not None
        assert figure.current.value == expected


def test_retention_needs_eight_days() -> None:
    rows = [(0, NOTHING, (0.0, NAN, NAN))] * 2
    data = episodes(rows, timestamp=START + np.array([0.0, 6 * DAY]))
    assert "too short to wait 7 days" in one("user_retention_7_day", data).note
    assert "no episodes" in one("user_retention_7_day", episodes([])).note


ANSWERED = TrustFigures(1500, 4.32, 4.22, 4.41, 2000, 24, 0.012, 0.0081, 0.0178)
DATA = episodes([(i, NOTHING, (0.0, NAN, NAN)) for i in range(3)])
NOBODY = TrustFigures(0, None, None, None, 0, 0, None, None, None)


def test_trust_is_what_people_answered_until_the_cut_off() -> None:
    figure = one("user_trust_score", DATA, trust=ANSWERED)
    assert figure.current == Estimate(
        "user_trust_score", 4.32, 4.22, 4.41, 0.95, 1500, 1500, "betting"
    )
    assert figure.note == "newest answer of 1,500 people to the trust survey, 1 to 5"
    assert (figure.target, figure.lower_is_better) == (4.2, False)


def test_opt_outs_are_shares_of_the_people_known() -> None:
    figure = one("opt_out_rate", DATA, trust=ANSWERED)
    assert figure.current == Estimate(
        "opt_out_rate", 0.012, 0.0081, 0.0178, 0.95, 2000, 2000, "Wilson"
    )
    assert figure.note == "24 of 2,000 people known to the tenant refused training"
    assert (figure.target, figure.lower_is_better) == (0.02, True)
    nobody = SPEC.model_copy(update={"person_ids": False})
    assert "no person" in one("opt_out_rate", DATA, nobody, trust=ANSWERED).note
    assert one("user_trust_score", DATA, nobody, trust=ANSWERED).current is not None


def test_trust_that_nobody_spoke_of_has_no_value() -> None:
    for name, said in (("user_trust_score", "no answers yet"), ("opt_out_rate", "no people yet")):
        figure = one(name, DATA, trust=NOBODY)
        assert figure.current is None
        assert figure.note.startswith(said)
        assert "not at hand" in one(name, DATA).note


def test_a_run_that_ended_early_still_knows_what_people_said() -> None:
    figures = {f.name: f for f in unmeasured(SPEC, "ended", ANSWERED)}
    measured = {name for name, figure in figures.items() if figure.current is not None}
    assert measured == {"user_trust_score", "opt_out_rate"}
    assert figures["bias_parity"].note == "ended"


def parity_log(groups: dict[str, tuple[int, float]]) -> tuple[EncodedEpisodes, dict[str, Any]]:
    """Groups of (people, rescaled mean reward); one row a person, spread evenly around the mean."""
    names, rewards = [], []
    for name, (people, mean) in groups.items():
        names += [name] * people
        spread = np.linspace(-0.1, 0.1, people)
        rewards += list((mean + spread) * 1.7 - 0.7)
    rows = [(i, NOTHING, (0.0, NAN, NAN)) for i in range(len(names))]
    return episodes(rows, reward=np.array(rewards)), {"groups": {"age_group": np.array(names)}}


def test_parity_is_the_lowest_group_against_the_others_on_the_attainable_scale() -> None:
    data, more = parity_log({"a": (60, 0.4), "b": (60, 0.5), "c": (60, 0.6)})
    figure = one("bias_parity", data, **more)
    assert figure.current is not None
    assert figure.current.value == pytest.approx(0.4 / 0.55)
    assert figure.note == "lowest of 3 groups: age_group a against the others"
    assert "simultaneous over 3" in figure.current.method
    assert figure.current.low < figure.current.value < figure.current.high


def test_parity_merges_groups_that_are_too_small() -> None:
    data, more = parity_log({"a": (60, 0.5), "b": (30, 0.4), "c": (30, 0.4)})
    figure = one("bias_parity", data, **more)
    assert figure.current is not None
    assert figure.current.value == pytest.approx(0.8)
    assert "smaller groups" in figure.note
    lenient = SPEC.model_copy(update={"thresholds": ThresholdSpec(fairness_min_group=100)})
    assert "large enough" in one("bias_parity", data, lenient, **more).note


def test_parity_leaves_out_rows_whose_group_is_unknown() -> None:
    known, more = parity_log({"a": (60, 0.4), "b": (60, 0.5)})
    with_unknown, other = parity_log({"a": (60, 0.4), "b": (60, 0.5), "": (60, 0.9)})
    first, second = one("bias_parity", known, **more), one("bias_parity", with_unknown, **other)
    assert first.current is not None
    assert second.current is not None
    assert first.current.value == pytest.approx(second.current.value)


def test_parity_without_groups_or_without_reward_is_not_measurable() -> None:
    data, more = parity_log({"a": (60, 0.4), "b": (60, 0.5)})
    assert "no protected group" in one("bias_parity", data).note
    flat = replace(data, reward=np.full(len(data), -0.7))
    assert "attainable minimum" in one("bias_parity", flat, **more).note
    unrewarded = replace(data, reward=np.full(len(data), NAN))
    assert "large enough" in one("bias_parity", unrewarded, **more).note


def test_metrics_that_no_signal_measures_say_so() -> None:
    data = episodes([(0, NOTHING, (0.0, NAN, NAN))])
    metrics = (
        BenchmarkMetric(name="happiness", baseline=0, target=1),
        BenchmarkMetric(name="pulse", baseline=0, target=1, signal="heart_rate"),
        BenchmarkMetric(name="thumbs", baseline=0, target=1, signal="engagement", unit="score"),
    )
    spec = SPEC.model_copy(update={"success_metrics": metrics})
    assert one("happiness", data, spec).note.endswith("no signal in the log speaks of it")
    assert "part of the context" in one("pulse", data, spec).note
    assert "no definition" in one("thumbs", data, spec).note


def test_shapes_are_checked() -> None:
    data = episodes([(0, NOTHING, (0.0, NAN, NAN))])
    with pytest.raises(ShouldFixArgument, match=r"predicted has shape \(1, 2\), not \(1, 3\)"):
        success_figures(SPEC, data, predicted=np.zeros((1, 2)))
    with pytest.raises(ShouldFixArgument, match=r"groups\['age_group'\] has 2 rows, not 1"):
        success_figures(SPEC, data, groups={"age_group": np.array(["a", "b"])})


def test_an_empty_log_measures_nothing_and_says_why() -> None:
    assert all(f.current is None and f.note for f in success_figures(SPEC, episodes([])))
    assert all(f.note == "ended" for f in unmeasured(SPEC, "ended"))
