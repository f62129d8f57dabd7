"""What policies' short journeys are worth on held-out people, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import ShouldCollectMoreData
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from rl.off_policy import bootstrap, journeys
from rl.off_policy.allowed import Allowed, allowed
from rl.off_policy.bootstrap import bootstrap_intervals
from rl.off_policy.intervals import clustered_mean
from rl.off_policy.journeys import Journeys, Steps
from rl.off_policy.regression import RewardRegression
from rl.off_policy.scoring import score
from rl.off_policy.values import INTERVAL

NAME = "journeys"
_COUNTER = 1


@dataclass(frozen=True, slots=True)
class Walked:
    """Held-out people's decisions that belong to complete journeys.

    Attributes:
        episodes: n decisions.
        allowed: what judged policies may do there.
        steps: their places in journeys.
        left_out: journeys with a decision that has no reward or propensity, or that another policy took.
    """

    episodes: EncodedEpisodes
    allowed: Allowed
    steps: Steps
    left_out: int


def walked(spec: LoopSpec, episodes: EncodedEpisodes) -> Walked:
    """Split the held-out people's decisions into journeys and keep the complete ones."""
    held = episodes.where(episodes.holdout)
    steps = journeys.split(held.person, held.timestamp, spec.journeys.ends_after_hours)
    usable = ~held.comparison & np.isfinite(held.reward)
    usable &= (held.propensity > 0) & (held.propensity <= 1)
    rows = journeys.complete(steps, usable)
    left_out = len(np.unique(steps.journey[~rows]))
    kept = held.where(rows)
    return Walked(kept, allowed(spec, kept), journeys.only(steps, rows), left_out)


def value_of_journeys(
    policy: Policy | None,
    known: Walked,
    model: RewardRegression,
    epsilon: float,
    confidence: float,
    least_effective: float,
) -> tuple[Estimate, Estimate]:
    """Mean sum of rewards of a journey, with a t and a bootstrap interval over people.

    Args:
        policy: the policy; None: the logging policy, whose value is the mean of what was logged.
        known: the journeys.
        model: the reward model, which scoring asks and this estimate ignores.
        epsilon: exploration of the policy.
        confidence: of the intervals.
        least_effective: the effective sample of journeys that an estimate needs.

    Raises:
        ShouldCollectMoreData: there is no complete journey, one is longer than three decisions, or too
            few resemble the policy's.
    """
    rows = known.episodes
    if len(rows) == 0:
        raise ShouldCollectMoreData(
            "No held-out journey has a reward and a propensity at each of its decisions "
            f"({known.left_out:,} are incomplete).",
            "Log propensities, and rewards or their silence, at every decision.",
        )
    weight = np.ones(len(rows))
    if policy is not None:
        weight = score(policy, rows, model, epsilon, known.allowed.mask).decisions.weight
    journeys.require_short(known.steps, weight, least_effective)
    walks = journeys.assemble(known.steps, rows.reward, weight, rows.person)
    return _with_intervals(walks, confidence, _told(walks, known, policy is None))


def _with_intervals(walks: Journeys, confidence: float, told: str) -> tuple[Estimate, Estimate]:
    by_t = clustered_mean(
        NAME,
        journeys.self_normalised_pdis(walks),
        walks.person,
        confidence,
        f"{told}; {INTERVAL}",
    )
    figures = [journeys.resampled_value(walks)]
    low, high = bootstrap_intervals(figures, confidence, _COUNTER)[0]
    method = f"{told}; {bootstrap.METHOD.format(resamples=bootstrap.RESAMPLES)}"
    return by_t, replace(by_t, low=low, high=high, method=method)


def _told(walks: Journeys, known: Walked, as_logged: bool) -> str:
    how = "as logged" if as_logged else "self-normalised per-decision importance sampling"
    left = f", {known.left_out:,} incomplete ones left out" if known.left_out else ""
    return f"{how} on {len(walks):,} journeys{left}"
