"""Policies judged on held-out people: estimates, the gate's bounds, overlap and groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.evaluation import Estimate, OverlapDiagnostics, PolicyEvaluation
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from rl.off_policy import estimators, overlap
from rl.off_policy.bounds import METHOD, Judgement, Sides, bounds_of_difference, prepare
from rl.off_policy.estimators import WeightedDecisions
from rl.off_policy.groups import group_values
from rl.off_policy.intervals import clustered_mean
from rl.off_policy.journey_values import Walked, value_of_journeys, walked
from rl.off_policy.rates import intervention_rates
from rl.off_policy.scoring import Scored, judged_rows, require_encoder, score
from rl.off_policy.shares import bound_share, pair_share
from rl.off_policy.usable import check_arguments, unusable
from rl.off_policy.values import (
    INTERVAL,
    NAMES,
    contributions,
    with_betting_bounds,
    with_bootstrap_intervals,
    with_t_intervals,
)

LOGGING_POLICY = "logging policy"


def evaluate(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    candidate: Policy,
    active: Policy | None,
    *,
    candidates: int = 1,
    groups: Mapping[str, NDArray[np.str_]] | None = None,
    exploration_floor: float | None = None,
    logged: int | None = None,
    compared: int = 1,
) -> PolicyEvaluation:
    """One candidate on the held-out people; see ``HeldOut``, whose arguments these are."""
    judging = HeldOut(
        spec,
        episodes,
        active,
        candidates=candidates,
        groups=groups,
        exploration_floor=exploration_floor,
        logged=logged,
    )
    return judging.evaluate(candidate, compared=compared)


class HeldOut:
    """What candidates would earn per decision at the held-out people's logged states.

    Policies act with the exploration that the service would use now, ``LoopSpec.serving_epsilon`` of the
    episodes that were logged: that is what would meet people first. The reward model is fitted once on
    ``episodes.training``, everything else is taken on ``episodes.evaluation``; a policy is asked once,
    however often it is compared. Too little data is an answer, not an error: figures are NaN and
    ``overlap.problems`` says why.

    Policies act under today's flags, whatever was valid when a decision was logged: a logged action that
    a flag forbids has weight 0, and a state where flags leave nothing stays as logged. The loop's limits
    per person cannot be replayed, since what a person had met before depends on the policy: masks hold
    them as they were met when the decision was logged. The logging policy's own mean is of what it did.

    Args:
        spec: the loop.
        episodes: every encoded episode of the dataset version.
        active: the serving policy; None: the baseline is the logging policy's mean reward.
        candidates: how many candidates were or will be judged on these held-out people; the error
            probability is split over them.
        groups: protected attribute -> (n,) group of each episode of ``episodes``.
        exploration_floor: smallest exploration epsilon of any policy that logged; a valid action
            then had a propensity of at least epsilon / A. Default: the least that the loop's service ever
            explores with. Where a logged propensity contradicts it, the bounds do without it and are
            wider.
        logged: how many episodes of the loop were ever logged; default: those of ``episodes``.

    Raises:
        ShouldFixArgument: a person is on both sides of the split, ``groups`` do not fit, or ``candidates``
            or ``exploration_floor`` is out of range.
    """

    def __init__(
        self,
        spec: LoopSpec,
        episodes: EncodedEpisodes,
        active: Policy | None,
        *,
        candidates: int = 1,
        groups: Mapping[str, NDArray[np.str_]] | None = None,
        exploration_floor: float | None = None,
        logged: int | None = None,
    ) -> None:
        check_arguments(episodes, candidates, exploration_floor, logged, groups or {})
        floor = min(spec.exploration.start, spec.exploration.serving_floor)
        floor = floor if exploration_floor is None else exploration_floor
        self._spec, self._episodes, self._active = spec, episodes, active
        self._candidates, self._groups = candidates, groups or {}
        self._problem = unusable(spec, episodes, active)
        self._epsilon = spec.serving_epsilon(len(episodes) if logged is None else logged)
        self._setting = (
            None if self._problem else prepare(spec, episodes, floor, candidates, self._epsilon)
        )
        self._asked: dict[int, tuple[Policy, Scored, WeightedDecisions]] = {}
        self._walked: Walked | None = None
        self._journeys: dict[int, tuple[Policy | None, tuple[Estimate, ...], str]] = {}

    def evaluate(self, candidate: Policy, *, compared: int = 1) -> PolicyEvaluation:
        """The candidate's values, its difference to the baseline with bounds, overlap and groups.

        Args:
            candidate: the policy.
            compared: how many policies, this one included, are compared with one another; the pairs
                take their part of the error (``rl.off_policy.shares``).

        Raises:
            ShouldFixArgument: the candidate reads another encoding.
        """
        require_encoder(candidate, self._episodes)
        spec, setting, active = self._spec, self._setting, self._active
        name = active.version if active else LOGGING_POLICY
        if setting is None:
            return _nothing(
                spec, self._episodes, candidate.version, name, self._problem, self._candidates
            )
        judged, confidence = setting.judged, 1 - spec.thresholds.alpha
        own, rival = self._scored(candidate), self._scored(active) if active else None
        worth = estimators.dr(own.decisions)
        baseline = estimators.dr(rival.decisions) if rival else judged.reward
        difference, problems = self._difference(
            "difference",
            candidate,
            active,
            bound_share(spec.thresholds.alpha, self._candidates, compared),
        )
        if rival:
            problems += tuple(
                f"For the active policy: {text}"
                for text in overlap.diagnose(rival, judged, spec.thresholds).problems
            )
        diagnostics = overlap.diagnose(own, judged, spec.thresholds)
        estimates, intervals = self._valued(own.decisions, self._piloted(candidate), confidence)
        labels = {name: values[setting.rows] for name, values in self._groups.items()}
        by_group = partial(group_values, spec, judged, labels)
        journeys, refused = self._journeys_of(candidate)
        return PolicyEvaluation(
            policy=candidate.version,
            baseline_name=name,
            estimates=estimates,
            baseline=clustered_mean(
                "baseline",
                baseline,
                judged.person,
                confidence,
                f"{'doubly robust' if rival else 'mean logged reward'}; {INTERVAL}",
            ),
            difference=difference,
            overlap=replace(
                diagnostics,
                problems=diagnostics.problems + problems,
                excluded_share=float(setting.allowed.excluded.mean()),
                kept_as_logged=int(setting.allowed.kept.sum()),
            ),
            groups=by_group(worth),
            baseline_groups=by_group(baseline),
            action_share=dict(zip(spec.action_ids, own.share.tolist(), strict=True)),
            comparison=_comparison(self._episodes, confidence),
            positive_rewards=int((judged.reward > 0).sum()),
            held_out=int(judged_rows(self._episodes).sum()),
            candidates=self._candidates,
            rates=intervention_rates(spec, judged, own.decisions.weight),
            epsilon=self._epsilon,
            intervals=intervals + journeys[1:],
            journeys=journeys[0] if journeys else None,
            baseline_journeys=next(iter(self._journeys_of(active)[0]), None),
            journeys_refused=refused,
        )

    def between(self, name: str, first: Policy, second: Policy, *, compared: int = 2) -> Estimate:
        """V(first) - V(second) of two among ``compared`` policies, with bounds that hold for every pair.

        The same people are asked about both, so it is known far better than either value.
        """
        require_encoder(first, self._episodes)
        require_encoder(second, self._episodes)
        if self._setting is None:
            return _empty(name, 1 - self._spec.thresholds.alpha)
        share = pair_share(self._spec.thresholds.alpha, self._candidates, compared)
        return self._difference(name, first, second, share)[0]

    def _difference(
        self, name: str, first: Policy, second: Policy | None, alpha: float
    ) -> tuple[Estimate, tuple[str, ...]]:
        setting = self._setting
        if setting is None:
            return _empty(name, 1 - self._spec.thresholds.alpha), (self._problem,)
        judged, pilot = setting.judged, setting.pilot
        plus, minus = self._scored(first), self._scored(second) if second else None
        before = self._piloted(first), self._piloted(second) if second else None
        worth = estimators.dr(plus.decisions)
        against = estimators.dr(minus.decisions) if minus else judged.reward
        return _bounded(
            name,
            replace(setting, alpha=alpha),
            Sides(*before, pilot.reward, pilot.person),
            Sides(plus.decisions, minus.decisions if minus else None, judged.reward, judged.person),
            worth - against,
        )

    def _valued(
        self, decisions: WeightedDecisions, piloted: WeightedDecisions, confidence: float
    ) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
        """Every estimator's value with its t interval, and the other intervals of the same values."""
        setting = self._usable()
        person, parts = setting.judged.person, contributions(decisions)
        estimates = with_t_intervals(parts, person, confidence)
        bounded = with_betting_bounds(
            estimates[NAMES.index("dr")],
            setting.known,
            (piloted, setting.pilot.person),
            (decisions, person),
        )
        drawn = with_bootstrap_intervals(parts, decisions, person, confidence)
        return estimates, (*drawn, bounded)

    def _journeys_of(self, policy: Policy | None) -> tuple[tuple[Estimate, ...], str]:
        """(t, bootstrap) of the value of a policy's journeys, or () and why not."""
        if id(policy) not in self._journeys:
            setting, thresholds = self._usable(), self._spec.thresholds
            self._walked = self._walked or walked(self._spec, self._episodes)
            found: tuple[Estimate, ...] = ()
            refused = ""
            try:
                found = value_of_journeys(
                    policy,
                    self._walked,
                    setting.model,
                    setting.epsilon,
                    1 - thresholds.alpha,
                    thresholds.min_effective_sample,
                )
            except ShouldCollectMoreData as reason:
                refused = str(reason)
            self._journeys[id(policy)] = policy, found, refused
        return self._journeys[id(policy)][1:]

    def _usable(self) -> Judgement:
        if self._setting is None:
            raise ShouldFixArgument(self._problem, "Collect decisions that can be judged.")
        return self._setting

    def _scored(self, policy: Policy) -> Scored:
        return self._ask(policy)[1]

    def _piloted(self, policy: Policy) -> WeightedDecisions:
        return self._ask(policy)[2]

    def _ask(self, policy: Policy) -> tuple[Policy, Scored, WeightedDecisions]:
        setting = self._usable()
        if id(policy) not in self._asked:
            ask = partial(score, policy, model=setting.model, epsilon=setting.epsilon)
            judged = ask(setting.judged, valid=setting.allowed.mask)
            pilot = ask(setting.pilot, valid=setting.pilot_allowed.mask)
            self._asked[id(policy)] = policy, judged, pilot.decisions
        return self._asked[id(policy)]


def _bounded(
    name: str, setting: Judgement, pilot: Sides, judged: Sides, rows: Float
) -> tuple[Estimate, tuple[str, ...]]:
    method = METHOD.format(alpha=setting.alpha)
    confidence = 1 - 2 * setting.alpha
    point = clustered_mean(name, rows, judged.person, confidence, method)
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


def _comparison(episodes: EncodedEpisodes, confidence: float) -> Estimate | None:
    rows: Bool = episodes.comparison & np.isfinite(episodes.reward)
    if not rows.any():
        return None
    return clustered_mean(
        "comparison",
        episodes.reward[rows],
        episodes.person[rows],
        confidence,
        f"mean reward of the comparison logs; {INTERVAL}",
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
    nan, empty = math.nan, partial(_empty, confidence=confidence)
    diagnostics = OverlapDiagnostics(0, 0.0, nan, nan, nan, nan, nan, nan, (problem,))
    return PolicyEvaluation(
        policy=policy,
        baseline_name=baseline,
        estimates=tuple(empty(name) for name in NAMES),
        baseline=empty("baseline"),
        difference=empty("difference"),
        overlap=diagnostics,
        comparison=_comparison(episodes, confidence),
        positive_rewards=0,
        held_out=int(judged_rows(episodes).sum()),
        candidates=candidates,
    )


def _empty(name: str, confidence: float) -> Estimate:
    return Estimate(name, math.nan, math.nan, math.nan, confidence, 0, 0, "no estimate")
