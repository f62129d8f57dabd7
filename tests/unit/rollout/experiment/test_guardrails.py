"""Guardrails, groups and arms: margins, signs and multiplicity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollout_spec import GuardrailSpec, RolloutSpec
from everloop.contracts.rollouts import MetricEffect
from everloop.rollout.experiment.analyse import earlier_behaviour
from everloop.rollout.experiment.arms import arm_means
from everloop.rollout.experiment.effect import effect_at
from everloop.rollout.experiment.guardrails import (
    guardrails_of,
    judged,
    mapped_range,
    segments_of,
)
from everloop.rollout.experiment.moments import moments_of
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.experiment.strata import cells_of, strata_of
from tests.unit.rollout.experiment.made import SPEC, cells, observed


def with_terms(**terms: Any) -> LoopSpec:
    return SPEC.model_copy(update={"rollout": RolloutSpec(**terms)})


def guarded(observations: TrialObservations, **terms: Any) -> tuple[MetricEffect, ...]:
    return guardrails_of(
        with_terms(**terms), observations, strata_of(observations), earlier_behaviour(observations)
    )


def one(name: str, margin: float = 0.05, higher: bool = True) -> tuple[GuardrailSpec, ...]:
    return (GuardrailSpec(signal=name, margin=margin, higher_is_better=higher),)


@pytest.mark.parametrize(
    ("low", "high", "held"),
    [
        (-0.04, 0.2, True),
        (-0.05, 0.2, None),
        (-0.2, 0.2, None),
        (-0.2, -0.05, None),
        (-0.2, -0.06, False),
        (math.nan, 0.2, None),
        (math.nan, math.nan, None),
    ],
)
def test_a_guardrail_is_kept_above_minus_its_margin_and_harmed_below(
    low: float, high: float, held: bool | None
) -> None:
    found = judged("x", Estimate("x", 0.0, low, high, 0.95, 9, 9, "test"), 0.05)
    assert found.held is held


def test_margins_are_of_the_range_as_the_reward_sees_it() -> None:
    ranges = {signal.name: mapped_range(signal) for signal in SPEC.signals}
    assert ranges == {"engagement": 1.0, "resonance": 2.0, "explicit_feedback": 2.0}
    found = {g.name: g.margin for g in guarded(observed(11), margin=0.1)}
    assert found == pytest.approx({"engagement": 0.1, "resonance": 0.2, "explicit_feedback": 0.2})


def test_a_signal_that_falls_is_harmed_and_one_that_rises_is_kept() -> None:
    """Engagement is the reward, resonance its opposite, explicit feedback always .5."""
    found = {g.name: g.held for g in guarded(observed(12, effect=0.4))}
    assert found == {"engagement": True, "resonance": False, "explicit_feedback": None}
    back = {g.name: g.held for g in guarded(observed(12, effect=-0.4))}
    assert back["engagement"] is False
    assert back["resonance"] is True


def test_a_signal_of_which_less_is_better_is_turned_round() -> None:
    observations = observed(13, effect=0.4)
    (more,) = guarded(observations, guardrails=one("engagement"))
    (less,) = guarded(observations, guardrails=one("engagement", higher=False))
    assert less.effect.value == pytest.approx(-more.effect.value)
    assert (more.held, less.held) == (True, False)


def test_harm_shares_its_error_and_non_inferiority_does_not() -> None:
    observations = observed(14)
    (alone,) = guarded(observations, guardrails=one("engagement"))
    three = guarded(observations)[0]
    assert three.effect.low == pytest.approx(alone.effect.low)
    assert three.effect.high > alone.effect.high


def test_a_larger_margin_is_easier_to_keep() -> None:
    observations = observed(15, people=400)
    (small,) = guarded(observations, guardrails=one("resonance", 0.005))
    (large,) = guarded(observations, guardrails=one("resonance", 0.2))
    assert (small.held, large.held) == (None, True)


def test_fewer_people_than_asked_for_know_nothing() -> None:
    (found,) = guarded(observed(16, people=80), guardrails=one("engagement", 1.0))
    assert found.held is None
    assert math.isnan(found.effect.low)
    assert math.isfinite(found.effect.value)


def test_a_signal_that_was_not_observed_has_no_effect() -> None:
    observations = observed(17, signals=np.zeros((3600, 0)), signal_names=())
    assert guarded(observations) == ()


def segmented(observations: TrialObservations, **terms: Any) -> dict[str, MetricEffect]:
    strata = strata_of(observations)
    return {m.name: m for m in segments_of(with_terms(**terms), observations, strata, None)}


def test_groups_have_their_own_effects_and_share_the_error() -> None:
    observations = observed(18, group_effect=-0.4)
    found = segmented(observations)
    assert found["age_group=old"].effect.high < -0.2
    assert found["age_group=old"].held is False
    assert found["age_group=young"].effect.low < 0 < found["age_group=young"].effect.high
    assert found["age_group=old"].effect.confidence == pytest.approx(1 - 0.05 / 2)
    alone = segmented(
        observed(18, group_effect=-0.4).where(observations.segments["age_group"] == "old")
    )["age_group=old"]
    width, shared = (e.effect.high - e.effect.low for e in (alone, found["age_group=old"]))
    assert shared > width


def test_a_groups_margin_is_of_the_attainable_range() -> None:
    found = segmented(observed(19), margin=0.1)
    width = SPEC.reward.attainable_high - SPEC.reward.attainable_low
    assert found["age_group=old"].margin == pytest.approx(0.1 * width)


def test_small_groups_are_one_and_unknown_is_none() -> None:
    people = 600
    names = np.where(np.arange(people) < 300, "many", np.where(np.arange(people) % 2, "a", "b"))
    names = np.where(np.arange(people) >= 340, "", names)
    observations = observed(20, people=people)
    observations = observed(20, people=people, segments={"age_group": names[observations.person]})
    found = segmented(observations)
    assert sorted(found) == ["age_group=many", "age_group=others"]
    assert found["age_group=others"].effect.clusters == 40
    assert math.isnan(found["age_group=others"].effect.low)


def test_arms_differ_by_the_effect_before_covariates() -> None:
    observations = observed(21, effect=0.1, shares=(0.1, 0.5))
    of = cells_of(observations, strata_of(observations), observations.reward)
    moments = moments_of(of)
    effect = effect_at(moments)
    control, candidate = arm_means(of, moments, effect.strata, 0.95)
    assert candidate.value - control.value == pytest.approx(effect.value)
    assert control.value == pytest.approx(effect.control)
    assert control.low < control.value < control.high


def test_an_arms_interval_is_clustered_by_person_by_hand() -> None:
    """Control 0 and 1 of two people: mean .5, residuals 1/2 (-.5, .5), half 1.96 sqrt(.125)."""
    rows = [(0, 0, True, 2.0, 2.0), (1, 0, False, 1.0, 0.0), (2, 0, False, 1.0, 1.0)]
    of = cells(rows, 3, 1)
    moments = moments_of(of)
    control, candidate = arm_means(of, moments, effect_at(moments).strata, 0.95)
    assert control.high - control.value == pytest.approx(1.959964 * math.sqrt(0.125), rel=1e-5)
    assert (candidate.value, candidate.n, candidate.clusters) == (1.0, 2, 1)
    assert (control.n, control.clusters) == (2, 2)
