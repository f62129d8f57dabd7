"""Signals that a candidate must not worsen, and groups of people that it must not harm.

*Non-inferiority*: a guardrail is kept once its lower bound is above minus its margin, the share of the
signal's mapped range that it may lose. Promotion needs every one of them (an intersection-union test;
Berger 1982), so each has the whole alpha / 2. *Harm*: its upper bound is below minus the margin. One of
S guardrails is enough to roll back, so these bounds share alpha / 2 by Bonferroni.

Effects of groups are told side by side, so all G intervals hold together: alpha / G each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec, SignalSpec
from everloop.contracts.rollout_spec import GuardrailSpec
from everloop.contracts.rollouts import MetricEffect
from everloop.rollout.experiment.effect import Effect, effect_at
from everloop.rollout.experiment.moments import moments_of
from everloop.rollout.experiment.observations import Floats, TrialObservations
from everloop.rollout.experiment.strata import Cells, Strata, cells_of

OTHERS = "others"


def guardrails_of(
    spec: LoopSpec, observations: TrialObservations, strata: Strata, covariates: Floats | None
) -> tuple[MetricEffect, ...]:
    """One effect per guardrail that the observations hold, in the specification's order.

    A signal of which less is better is turned round, so that a positive effect is always good.
    """
    rules = spec.rollout.guardrails or tuple(
        GuardrailSpec(signal=signal.name, margin=spec.rollout.margin) for signal in spec.signals
    )
    declared = {signal.name: signal for signal in spec.signals}
    found = []
    for rule in rules:
        if rule.signal not in observations.signal_names:
            continue
        column = observations.signals[:, observations.signal_names.index(rule.signal)]
        cells = cells_of(observations, strata, column if rule.higher_is_better else -column)
        margin = rule.margin * mapped_range(declared[rule.signal])
        effect = effect_at(moments_of(cells, covariates))
        estimate = _asymmetric(spec, rule.signal, effect, cells, margin, len(rules))
        found.append(judged(rule.signal, estimate, margin))
    return tuple(found)


def judged(name: str, effect: Estimate, margin: float) -> MetricEffect:
    """Kept above -margin, harmed below it, else not known; a bound that is NaN knows nothing."""
    held = True if effect.low > -margin else False if effect.high < -margin else None
    return MetricEffect(name, effect, margin, held)


def mapped_range(signal: SignalSpec) -> float:
    """Width of a signal's values as they enter the reward: two-sided ones are mapped to [-1, 1]."""
    return 2.0 if signal.two_sided else signal.high - signal.low


def segments_of(
    spec: LoopSpec, observations: TrialObservations, strata: Strata, covariates: Floats | None
) -> tuple[MetricEffect, ...]:
    """The effect on the reward within each group of each segment, all intervals together at alpha.

    Groups of fewer people than the fairness check tells apart are one, ``others``. The margin is the
    loop's, of the attainable range.
    """
    reward = spec.reward
    width = reward.attainable_high - reward.attainable_low
    groups = [
        (
            f"{segment}={label}",
            cells_of(observations, strata, np.where(rows, observations.reward, math.nan)),
        )
        for segment in sorted(observations.segments)
        for label, rows in groups_in(observations, segment, spec.thresholds.fairness_min_group)
    ]
    alpha = spec.rollout.alpha / max(len(groups), 1)
    found = []
    for name, cells in groups:
        effect = effect_at(moments_of(cells, covariates))
        known = enough_people(cells, spec.thresholds.fairness_min_group)
        low, high = (
            effect.interval(alpha, spec.rollout.margin * width) if known else (math.nan,) * 2
        )
        estimate = Estimate(
            name,
            effect.value,
            low,
            high,
            1 - alpha,
            sum(effect.decisions),
            len(np.unique(cells.person)),
            f"anytime-valid, by day, Bonferroni over {len(groups)} groups",
        )
        found.append(judged(name, estimate, spec.rollout.margin * width))
    return tuple(found)


def groups_in(
    observations: TrialObservations, segment: str, least: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Labels of a segment with their rows; those with fewer than ``least`` people together."""
    labels = observations.segments[segment]
    small = np.zeros(observations.n, dtype=np.bool_)
    for label in np.unique(labels).tolist():
        rows = labels == label
        if not label:
            continue
        if len(np.unique(observations.person[rows])) < least:
            small |= rows
        else:
            yield label, rows
    if small.any():
        yield OTHERS, small


def enough_people(cells: Cells, least: int) -> bool:
    """Whether each arm has this many people with a value."""
    return all(
        len(np.unique(cells.person[cells.candidate == met])) >= least for met in (False, True)
    )


def _asymmetric(
    spec: LoopSpec, name: str, effect: Effect, cells: Cells, margin: float, rules: int
) -> Estimate:
    terms = spec.rollout
    low = high = math.nan
    if enough_people(cells, terms.min_people):
        low = effect.interval(terms.alpha, margin)[0]
        high = effect.interval(terms.alpha / rules, margin)[1]
    return Estimate(
        name,
        effect.value,
        low,
        high,
        1 - terms.alpha,
        sum(effect.decisions),
        len(np.unique(cells.person)),
        f"anytime-valid, by day; upper bound by Bonferroni over {rules} guardrails",
    )
