"""How a policy's interventions would be received: accepted and rejected ones, off-policy.

Over the logged interventions i, with w_i = pi(a_i|x_i) / p_i and y_i whether reward r_i reaches
``reward.success_at`` (accepted) or stays at or below ``reward.failure_at`` (rejected),

    V = sum_i w_i y_i / sum_i w_i

estimates P(y | the policy intervenes) at logged states: the self-normalised estimator on these rows
(Swaminathan, Joachims 2015). Its variance is that of a ratio over people (Cochran 1977, chapter 2.11),

    var = P / (P - 1) sum_j (sum_{i of person j} w_i (y_i - V))^2 / (sum_i w_i)^2,

and its interval Wilson's at the effective size V (1 - V) / var, at most (sum w)^2 / sum w^2. Where y never
differs, no variance is seen: then it is (sum_j W_j)^2 / sum_j W_j^2 with W_j the weight of person j.
"""

from __future__ import annotations

import math

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Int
from everloop.contracts.evaluation import Estimate
from everloop.contracts.intervals import critical, wilson
from everloop.contracts.loop_spec import LoopSpec
from rl.off_policy.intervals import FEWEST_PEOPLE, totals_by_person

ACCEPTED, REJECTED = "intervention_acceptance", "intervention_false_positive_rate"
CONFIDENCE = 0.95


def intervention_rates(
    spec: LoopSpec, episodes: EncodedEpisodes, weight: Float
) -> tuple[Estimate, ...]:
    """Acceptance and false positive rate of a policy's interventions; () where none was weighed.

    Args:
        spec: the loop.
        episodes: n judged decisions.
        weight: (n,) w.

    Returns:
        Two shares in [0, 1]; ``n`` is the effective size rounded down, ``clusters`` the people with a
        weighed intervention. NaN bounds with fewer than two of them.
    """
    kinds = np.array([action.kind is ActionKind.INTERVENTION for action in spec.actions])
    rows = kinds[episodes.action] & (weight > 0)
    if not rows.any():
        return ()
    reward, person, own = episodes.reward[rows], episodes.person[rows], weight[rows]
    return (
        weighted_share(ACCEPTED, reward >= spec.reward.success_at, own, person),
        weighted_share(REJECTED, reward <= spec.reward.failure_at, own, person),
    )


def weighted_share(name: str, hit: Bool, weight: Float, person: Int) -> Estimate:
    """The module's V for (n,) hits with (n,) weights above 0, n >= 1."""
    n, total = len(hit), float(weight.sum())
    share = min(1.0, float(weight[hit].sum()) / total)
    by_person = totals_by_person(weight, person)[0]
    people = len(by_person)
    effective = total**2 / float((weight**2).sum())
    residual = totals_by_person(weight * (hit - share), person)[0]
    if hit.all() or not hit.any():
        effective = total**2 / float((by_person**2).sum())
    elif people >= FEWEST_PEOPLE:
        variance = people / (people - 1) * float((residual**2).sum()) / total**2
        if variance > 0:
            effective = min(effective, share * (1 - share) / variance)
    low = high = math.nan
    if people >= FEWEST_PEOPLE:
        low, high = wilson(share, effective, critical(CONFIDENCE))
    method = f"self-normalised weights on {n:,} logged interventions; Wilson, clustered by person"
    return Estimate(name, share, low, high, CONFIDENCE, int(effective), people, method)
