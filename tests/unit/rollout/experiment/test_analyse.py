"""The figures of a trial: what each is made of, and that they decide the right way round."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.contracts.rollouts import ExperimentFigures
from everloop.rollout.experiment.analyse import analyse, earlier_behaviour, primary_of
from everloop.rollout.experiment.boundary import log_evidence
from everloop.rollout.experiment.effect import AIM, effect_at, tuning_for
from everloop.rollout.experiment.moments import moments_of
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.strata import cells_of, strata_of
from tests.unit.rollout.experiment.made import BEGUN, RECORD, SPEC, observed

UNTIL = BEGUN + timedelta(days=30)


def figures(observations: TrialObservations, until: datetime = UNTIL) -> ExperimentFigures:
    return analyse(SPEC, RECORD, observations, until)


def test_a_better_candidate_is_better_and_a_worse_one_worse() -> None:
    better, worse = (
        figures(observed(11, effect=e, shares=(0.05, 0.25, 0.5))) for e in (0.15, -0.15)
    )
    assert better.primary.low > 0
    assert worse.primary.high < 0
    assert better.relative == pytest.approx(
        better.primary.value / (better.control.value - SPEC.reward.attainable_low)
    )
    assert better.primary.n == 3600
    assert better.primary.clusters == 600


def test_an_equal_candidate_is_neither() -> None:
    found = figures(observed(12, shares=(0.05, 0.25, 0.5)))
    assert found.primary.low < 0 < found.primary.high
    assert not found.drifted
    assert not found.ratio.mismatch
    assert found.fairness is not None
    assert found.fairness.status is not CheckStatus.FAILED


def test_what_came_later_is_not_known_yet() -> None:
    whole = observed(13, effect=0.15)
    cut = figures(whole, BEGUN + timedelta(days=2, hours=13))
    assert cut.primary.n == 1800
    assert len(cut.days) == 3
    assert cut == figures(
        whole.where(whole.timestamp < np.datetime64("2026-03-04")),
        BEGUN + timedelta(days=2, hours=13),
    )
    assert cut.until == BEGUN + timedelta(days=2, hours=13)


def test_fewer_people_than_asked_for_decide_nothing_but_are_told_of() -> None:
    few = figures(observed(14, people=150, effect=0.9))
    assert min(few.exposed.values()) < 100
    assert math.isnan(few.primary.low)
    assert math.isnan(few.primary.high)
    assert few.primary.value > 0.5


def test_a_smaller_alpha_makes_wider_intervals() -> None:
    observations = observed(15)
    strict = SPEC.model_copy(update={"rollout": RolloutSpec(alpha=0.01)})
    usual, wide = figures(observations), analyse(strict, RECORD, observations, UNTIL)
    assert wide.primary.low < usual.primary.low
    assert wide.primary.high > usual.primary.high
    assert wide.primary.confidence == 0.99


def test_the_interval_ends_where_the_evidence_is_one_over_the_trials_alpha() -> None:
    observations = observed(15)
    found = figures(observations).primary
    effect = effect_at(
        moments_of(
            cells_of(observations, strata_of(observations), observations.reward),
            earlier_behaviour(observations),
        )
    )
    aim = AIM * (effect.control - SPEC.reward.attainable_low)
    tuning = tuning_for(effect.spread, aim, SPEC.rollout.alpha)
    for bound in (found.low, found.high):
        away = (bound - found.value) * effect.weight
        evidence = log_evidence(away, effect.score_variance, tuning)
        assert float(evidence) == pytest.approx(-math.log(SPEC.rollout.alpha))


def test_history_narrows_the_interval_and_says_by_how_much() -> None:
    known, unknown = figures(observed(16)), figures(observed(16, before=np.full(600, np.nan)))
    assert known.variance_reduction > 0.1
    assert math.isnan(unknown.variance_reduction)
    widths = [f.primary.high - f.primary.low for f in (known, unknown)]
    assert widths[0] < widths[1]


def test_people_without_history_stand_at_the_mean() -> None:
    found = earlier_behaviour(observed(17, people=4, before=np.array([0.2, np.nan, 0.4, np.nan])))
    assert found is not None
    assert found == pytest.approx(np.array([[-0.1, 1], [0, 0], [0.1, 1], [0, 0]]))
    assert earlier_behaviour(observed(17, people=4, before=np.full(4, np.nan))) is None


def test_days_are_told_one_by_one() -> None:
    found = figures(observed(18, effect=0.3, shares=(0.1, 0.5)))
    assert [d.day for d in found.days] == [f"2026-03-0{d}" for d in range(1, 7)]
    assert [d.percent for d in found.days] == [10.0] * 3 + [50.0] * 3
    assert all(abs(d.effect - 0.3) < 4 * d.standard_error for d in found.days)
    assert all(d.candidate_people + d.control_people == 600 for d in found.days)
    assert found.days[0].candidate_people < found.days[5].candidate_people


def test_a_day_that_is_not_over_is_no_drift() -> None:
    """The last day, whose effect turned, counts once it is over."""
    whole = observed(19, effect=0.2, days=8)
    turned = np.where(
        (whole.arm == 1) & (whole.timestamp >= np.datetime64("2026-03-06")),
        np.clip(whole.reward - 0.6, -1, 1),
        whole.reward,
    )
    whole = observed(19, effect=0.2, days=8, reward=turned)
    during = figures(whole, datetime(2026, 3, 6, 23, tzinfo=UTC))
    assert during.cusum < 2.5
    after = figures(whole, datetime(2026, 3, 9, tzinfo=UTC))
    assert after.drifted
    assert after.cusum > SPEC.rollout.drift_threshold


def test_who_met_one_arm_was_exposed_in_that_one_alone() -> None:
    observations = observed(19, shares=(0.25,))
    exposed = figures(observations).exposed
    assert exposed["candidate"] == len(np.unique(observations.person[observations.arm == 1]))
    assert exposed["control"] + exposed["candidate"] == 600


def test_people_who_moved_up_were_exposed_in_both_arms() -> None:
    found = figures(observed(20, shares=(0.1, 0.9)))
    assert sum(found.exposed.values()) > 600
    assert sum(found.ratio.observed.values()) == 600


def test_nothing_is_an_answer_too() -> None:
    nothing = observed(21).where(np.zeros(3600, dtype=np.bool_))
    found = figures(nothing)
    assert math.isnan(found.primary.value)
    assert math.isnan(found.relative)
    assert found.days == ()
    assert found.exposed == {"control": 0, "candidate": 0}
    assert all(g.held is None for g in found.guardrails)


def test_the_primary_alone_is_the_same() -> None:
    observations = observed(22, effect=0.05)
    assert primary_of(SPEC, observations, UNTIL) == figures(observations).primary


def test_fallbacks_are_told() -> None:
    base = observed(23)
    found = figures(observed(23, fallback=(base.arm == 1) & (base.person % 4 == 0)))
    assert found.fallback_share == pytest.approx(0.25, abs=0.05)
