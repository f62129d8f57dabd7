"""Everything that people's answers say of a candidate, as one set of figures."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np

from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import DayEffect, ExperimentFigures, RolloutRecord
from everloop.rollout.experiment.arms import arm_means
from everloop.rollout.experiment.drift import cusum, departures
from everloop.rollout.experiment.effect import AIM, Effect, effect_at
from everloop.rollout.experiment.fairness import exposure_fairness
from everloop.rollout.experiment.guardrails import enough_people, guardrails_of, segments_of
from everloop.rollout.experiment.moments import Moments, moments_of
from everloop.rollout.experiment.noticed import noticed
from everloop.rollout.experiment.observations import CANDIDATE, Floats, TrialObservations
from everloop.rollout.experiment.srm import sample_ratio
from everloop.rollout.experiment.strata import Cells, Strata, cells_of, strata_of
from everloop.rollout.experiment.visits import visits


def analyse(
    spec: LoopSpec, record: RolloutRecord, observations: TrialObservations, until: datetime
) -> ExperimentFigures:
    """Measure a trial with what is known at ``until``.

    The primary interval holds over all looks, however often one looks, both sides at the trial's alpha
    together: a candidate equal to the control is called better, and worse, with probability at most
    alpha / 2 each. Intervals are NaN until each arm has ``min_people`` people with a reward.

    Args:
        observations: the trial's closed decisions; those after ``until`` are left out.

    Raises:
        ShouldFixArgument: ``until`` has no time zone.
    """
    known = observations.until(until)
    strata, covariates = strata_of(known), earlier_behaviour(known)
    cells = cells_of(known, strata, known.reward)
    moments = moments_of(cells, covariates)
    effect = effect_at(moments)
    control, candidate = arm_means(cells, moments, effect.strata, 1 - spec.rollout.alpha)
    above_least = control.value - spec.reward.attainable_low
    statistic, drifted = cusum(
        departures(_over(moments, strata, until)),
        spec.rollout.drift_slack,
        spec.rollout.drift_threshold,
    )
    return ExperimentFigures(
        rollout_id=record.rollout_id,
        until=until,
        primary=_primary(spec, cells, effect),
        control=control,
        candidate=candidate,
        relative=effect.value / above_least if above_least > 0 else math.nan,
        guardrails=guardrails_of(spec, known, strata, covariates),
        ratio=replace(sample_ratio(known), visits=visits(known)),
        days=days_of(moments, strata),
        cusum=statistic,
        drifted=drifted,
        segments=segments_of(spec, known, strata, covariates),
        variance_reduction=effect.reduction,
        exposed=_exposed(known),
        fallback_share=known.fallback_share(),
        fairness=exposure_fairness(spec, known),
        flagged=noticed(known, known.flagged),
        rejected=noticed(known, known.rejected),
    )


def primary_of(spec: LoopSpec, observations: TrialObservations, until: datetime) -> Estimate:
    """The primary alone, as ``analyse`` has it at ``until``; what a chart over time needs.

    Raises:
        ShouldFixArgument: ``until`` has no time zone.
    """
    known = observations.until(until)
    cells = cells_of(known, strata_of(known), known.reward)
    return _primary(spec, cells, effect_at(moments_of(cells, earlier_behaviour(known))))


def _primary(spec: LoopSpec, cells: Cells, effect: Effect) -> Estimate:
    terms = spec.rollout
    low = high = math.nan
    if enough_people(cells, terms.min_people):
        aim = AIM * (effect.control - spec.reward.attainable_low)
        low, high = effect.interval(terms.alpha, aim)
    return Estimate(
        "effect",
        effect.value,
        low,
        high,
        1 - terms.alpha,
        sum(effect.decisions),
        len(np.unique(cells.person)),
        "anytime-valid, stratified by day, clustered by person",
    )


def earlier_behaviour(observations: TrialObservations) -> Floats | None:
    """(P, 2): the mean reward before the trial, about its mean, and whether there is one; None without any.

    Whoever has no history stands at the mean, and the second column takes what sets such people apart.
    """
    has = np.isfinite(observations.before)
    if not has.any():
        return None
    centred = np.where(has, observations.before, 0.0) - observations.before[has].mean()
    return np.stack([np.where(has, centred, 0.0), has.astype(np.float64)], axis=1)


def days_of(moments: Moments, strata: Strata) -> tuple[DayEffect, ...]:
    """One entry per stratum with both arms; errors are those of the draw of people."""
    plain = np.array([1.0, 0.0])
    found = []
    for d in np.flatnonzero(moments.weight > 0).tolist():
        weight, effect = moments.weight[d], moments.score[0, d] / moments.weight[d]
        plain[1] = -effect
        variance = max(
            float(plain @ c[:2, :2, d, d] @ plain) for c in (moments.designed, moments.observed)
        )
        found.append(
            DayEffect(
                day=strata.day[d],
                percent=float(strata.percent[d]),
                effect=float(effect),
                standard_error=math.sqrt(max(variance, 0.0)) / float(weight),
                candidate_people=int(moments.people[1, d]),
                control_people=int(moments.people[0, d]),
            )
        )
    return tuple(found)


def _over(moments: Moments, strata: Strata, until: datetime) -> Moments:
    """The strata of days that are over: a day's beginning is not compared with whole days."""
    today = until.date().isoformat()
    over = np.array([day < today for day in strata.day], dtype=np.bool_)
    both = np.ix_(over, over)
    return Moments(
        decisions=moments.decisions[:, over],
        total=moments.total[:, over],
        people=moments.people[:, over],
        score=moments.score[:, over],
        raw=moments.raw[:, :, over][:, :, :, over],
        nested=moments.nested[both],
        observed=moments.observed[:, :, over][:, :, :, over],
        together=moments.together[both],
    )


def _exposed(observations: TrialObservations) -> dict[str, int]:
    """People by the arm of their first exposure in it: who moved up counts in both."""
    candidate = observations.arm == CANDIDATE
    return {
        "control": len(np.unique(observations.person[~candidate])),
        "candidate": len(np.unique(observations.person[candidate])),
    }
