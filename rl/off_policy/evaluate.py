"""One policy judged on held-out people: estimates, the gate's bounds, overlap and groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate, OverlapDiagnostics, PolicyEvaluation
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from rl.off_policy import estimators, overlap
from rl.off_policy.bounds import METHOD, Judgement, Sides, bounds_of_difference, prepare, sides
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.groups import group_values
from rl.off_policy.intervals import clustered_mean
from rl.off_policy.scoring import judged_rows, require_encoder, score, training_rows

LOGGING_POLICY = "logging policy"
_INTERVAL = "t interval over people"
_ROUNDING = 1e-9


def evaluate(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    candidate: Policy,
    active: Policy | None,
    *,
    candidates: int = 1,
    groups: Mapping[str, NDArray[np.str_]] | None = None,
    exploration_floor: float | None = None,
) -> PolicyEvaluation:
    """Estimate what a candidate would earn per decision at the held-out people's logged states.

    The candidate acts with the exploration that it would serve with. The reward model is fitted on
    ``episodes.training``, everything else is taken on ``episodes.evaluation``. Too little data is an
    answer, not an error: figures are NaN and ``overlap.problems`` says why.

    Args:
        spec: the loop.
        episodes: every encoded episode of the dataset version.
        candidate: the policy on trial.
        active: the serving policy; None: the baseline is the logging policy's mean reward.
        candidates: how many candidates were or will be judged on these held-out people; the error
            probability is split over them.
        groups: protected attribute -> (n,) group of each episode of ``episodes``.
        exploration_floor: smallest exploration epsilon of any policy that logged; a valid action
            then had a propensity of at least epsilon / A. Default: the loop's serving floor. Where a
            logged propensity contradicts it, the bounds do without it and are wider.

    Raises:
        ShouldFixArgument: the candidate reads another encoding, a person is on both sides of the split,
            ``groups`` do not fit, or ``candidates`` or ``exploration_floor`` is out of range.
    """
    floor = spec.exploration.serving_floor if exploration_floor is None else exploration_floor
    _check(episodes, candidate, candidates, floor, groups or {})
    name = active.version if active else LOGGING_POLICY
    confidence = 1 - spec.thresholds.alpha
    problem = _unusable(spec, episodes, active)
    if problem:
        return _nothing(spec, episodes, candidate.version, name, problem, candidates)

    setting = prepare(spec, episodes, floor, candidates)
    judged = setting.judged
    own = score(candidate, judged, setting.model, setting.epsilon)
    rival = score(active, judged, setting.model, setting.epsilon) if active else None
    worth = estimators.dr(own.decisions)
    baseline = estimators.dr(rival.decisions) if rival else judged.reward

    diagnostics = overlap.diagnose(own, judged, spec.thresholds)
    difference, problems = _difference(
        setting,
        sides(setting, setting.pilot, candidate, active),
        Sides(own.decisions, rival.decisions if rival else None, judged.reward, judged.person),
        worth - baseline,
    )
    if rival:
        problems += tuple(
            f"For the active policy: {text}"
            for text in overlap.diagnose(rival, judged, spec.thresholds).problems
        )
    labels = {name: values[setting.rows] for name, values in (groups or {}).items()}
    by_group = partial(group_values, spec, judged, labels)
    return PolicyEvaluation(
        policy=candidate.version,
        baseline_name=name,
        estimates=_estimates(own.decisions, judged.person, confidence),
        baseline=clustered_mean(
            "baseline",
            baseline,
            judged.person,
            confidence,
            f"{'doubly robust' if rival else 'mean logged reward'}; {_INTERVAL}",
        ),
        difference=difference,
        overlap=replace(diagnostics, problems=diagnostics.problems + problems),
        groups=by_group(worth),
        baseline_groups=by_group(baseline),
        action_share=dict(zip(spec.action_ids, own.share.tolist(), strict=True)),
        comparison=_comparison(episodes, confidence),
        positive_rewards=int((judged.reward > 0).sum()),
        held_out=int(judged_rows(episodes).sum()),
        candidates=candidates,
    )


def _check(
    episodes: EncodedEpisodes,
    candidate: Policy,
    candidates: int,
    floor: float,
    groups: Mapping[str, NDArray[np.str_]],
) -> None:
    require_encoder(candidate, episodes)
    if candidates < 1:
        raise ShouldFixArgument(f"candidates={candidates} is below 1.", "Count this one too.")
    if not 0 < floor <= 1:
        raise ShouldFixArgument(
            f"exploration_floor={floor} is outside (0, 1].",
            "Give the smallest epsilon that logged.",
        )
    learnt_from = episodes.person[training_rows(episodes)]
    both = np.intersect1d(learnt_from, episodes.person[episodes.holdout])
    if len(both):
        raise ShouldFixArgument(
            f"{len(both)} people are both trained on and held out, the first is "
            f"{episodes.people[both[0]]}.",
            "Split by person.",
        )
    for attribute, labels in groups.items():
        if len(labels) != len(episodes):
            raise ShouldFixArgument(
                f"groups[{attribute!r}] has {len(labels)} labels for {len(episodes)} episodes.",
                "Give one label per episode.",
            )


def _unusable(spec: LoopSpec, episodes: EncodedEpisodes, active: Policy | None) -> str:
    """Why nothing can be estimated; "" where it can."""
    if active is not None and active.encoder != episodes.encoder:
        return (
            f"The active policy {active.version} reads states of encoder {active.encoder!r}, these "
            f"episodes were encoded by {episodes.encoder!r}: the two cannot be compared."
        )
    rows = judged_rows(episodes)
    if not rows.any():
        return (
            "There is no held-out decision with a reward and a logged propensity: "
            f"{int(episodes.holdout.sum()):,} of {len(episodes):,} decisions are held out."
        )
    if not training_rows(episodes).any():
        return "There is no rewarded decision of the other people to fit the reward model on."
    propensity, reward = episodes.propensity[rows], episodes.reward[rows]
    wrong = ~((propensity > 0) & (propensity <= 1))
    if wrong.any():
        return (
            f"{int(wrong.sum()):,} held-out decisions have a propensity outside (0, 1], "
            f"the first is {propensity[wrong][0]:g}."
        )
    low, high = spec.reward.attainable_low, spec.reward.attainable_high
    outside = (reward < low - _ROUNDING) | (reward > high + _ROUNDING)
    if outside.any():
        return (
            f"{int(outside.sum()):,} held-out rewards lie outside the attainable range "
            f"[{low:g}, {high:g}] that the loop declares, the first is {reward[outside][0]:g}: "
            "no bound can be trusted."
        )
    return ""


def _difference(
    setting: Judgement, pilot: Sides, judged: Sides, rows: Float
) -> tuple[Estimate, tuple[str, ...]]:
    method = METHOD.format(alpha=setting.alpha)
    confidence = 1 - 2 * setting.alpha
    point = clustered_mean("difference", rows, judged.person, confidence, method)
    try:
        low, high = bounds_of_difference(setting, pilot, judged)
    except ShouldFixArgument as contradiction:
        problem = f"The difference has no valid bound: {contradiction.message}"
        return replace(point, low=math.nan, high=math.nan), (problem,)
    if low > high:
        problem = (
            f"The difference's lower bound {low:.4f} is above its upper bound {high:.4f}: "
            "the logged propensities cannot be true."
        )
        return replace(point, low=math.nan, high=math.nan), (problem,)
    return replace(point, low=low, high=high), ()


def _estimates(
    decisions: WeightedDecisions, person: Int, confidence: float
) -> tuple[Estimate, ...]:
    tuned = np.unique(np.quantile(decisions.weight, [0.5, 0.75, 0.9, 0.95, 0.99, 1.0]))
    thresholds = [math.inf, *tuned[::-1].tolist()]
    shrinkages = [math.inf, *(tuned[::-1] ** 2 * 10).tolist()]
    threshold = estimators.least_error(estimators.switch_dr, decisions, thresholds)
    shrinkage = estimators.least_error(estimators.dr_os, decisions, shrinkages)
    rows = {
        "ips": estimators.ips(decisions),
        "snips": estimators.snips(decisions),
        "dm": estimators.dm(decisions),
        "dr": estimators.dr(decisions),
        "switch_dr": estimators.switch_dr(decisions, threshold),
        "dr_os": estimators.dr_os(decisions, shrinkage),
    }
    notes = {
        "dm": "; leaves the reward model's own error out",
        "switch_dr": f"; weights up to {_limit(threshold)}",
        "dr_os": f"; shrinkage {_limit(shrinkage)}",
    }
    return tuple(
        clustered_mean(name, values, person, confidence, _INTERVAL + notes.get(name, ""))
        for name, values in rows.items()
    )


def _limit(value: float) -> str:
    return "no limit" if math.isinf(value) else f"{value:g}"


def _comparison(episodes: EncodedEpisodes, confidence: float) -> Estimate | None:
    rows: Bool = episodes.comparison & np.isfinite(episodes.reward)
    if not rows.any():
        return None
    return clustered_mean(
        "comparison",
        episodes.reward[rows],
        episodes.person[rows],
        confidence,
        f"mean reward of the comparison logs; {_INTERVAL}",
    )


def _nothing(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    policy: str,
    baseline: str,
    problem: str,
    candidates: int,
) -> PolicyEvaluation:
    confidence = 1 - spec.thresholds.alpha
    nan = math.nan

    def empty(name: str) -> Estimate:
        return Estimate(name, nan, nan, nan, confidence, 0, 0, "no estimate")

    diagnostics = OverlapDiagnostics(0, 0.0, nan, nan, nan, nan, nan, nan, (problem,))
    return PolicyEvaluation(
        policy=policy,
        baseline_name=baseline,
        estimates=tuple(empty(name) for name in ("ips", "snips", "dm", "dr", "switch_dr", "dr_os")),
        baseline=empty("baseline"),
        difference=empty("difference"),
        overlap=diagnostics,
        comparison=_comparison(episodes, confidence),
        positive_rewards=0,
        held_out=int(judged_rows(episodes).sum()),
        candidates=candidates,
    )
