"""A policy's weights on logged decisions, computed in blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import States
from everloop.contracts.ports import Policy
from rl.off_policy.estimators import WeightedDecisions, weigh
from rl.off_policy.regression import RewardRegression

_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Scored:
    """A policy on n logged decisions.

    Attributes:
        decisions: rewards, weights and model predictions.
        unsupported: (n,) probability on valid actions that none of these decisions took.
        share: (A,) mean probability of each action.
    """

    decisions: WeightedDecisions
    unsupported: Float
    share: Float


def training_rows(episodes: EncodedEpisodes) -> Bool:
    """(n,) which rows ``episodes.training`` holds, without copying them."""
    return ~episodes.holdout & ~episodes.comparison & np.isfinite(episodes.reward)


def judged_rows(episodes: EncodedEpisodes) -> Bool:
    """(n,) which rows ``episodes.evaluation`` holds, without copying them."""
    known = np.isfinite(episodes.reward) & np.isfinite(episodes.propensity)
    return episodes.holdout & ~episodes.comparison & known


def first_decisions(episodes: EncodedEpisodes, most: int) -> Bool:
    """(n,) True for the first ``most`` decisions of each person, in dataset (time) order."""
    order = np.argsort(episodes.person, kind="stable")
    sorted_people = episodes.person[order]
    starts = np.flatnonzero(np.r_[True, sorted_people[1:] != sorted_people[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    chosen = np.zeros(len(episodes), dtype=np.bool_)
    chosen[order] = rank < most
    return chosen


def score(
    policy: Policy,
    episodes: EncodedEpisodes,
    model: RewardRegression,
    epsilon: float,
    valid: Bool,
) -> Scored:
    """Ask a policy about logged states, with exploration ``epsilon``, among the ``valid`` (n, A) actions.

    Raises:
        ShouldFixArgument: the policy reads another encoding of states, or answers with something
            that is no distribution over valid actions.
    """
    require_encoder(policy, episodes)
    actions = episodes.mask.shape[1]
    logged = np.bincount(episodes.action, minlength=actions) > 0
    parts: list[WeightedDecisions] = []
    unsupported, share = np.zeros(len(episodes)), np.zeros(actions)
    for start in range(0, len(episodes), _ROWS):
        rows = slice(start, start + _ROWS)
        context, mask = episodes.context[rows], valid[rows]
        target = policy.act(States(context, mask), epsilon).propensity.astype(np.float64)
        if target.shape != mask.shape or (target[~mask] > 0).any():
            raise ShouldFixArgument(
                f"Policy {policy.version} gives probability to actions that are not valid.",
                "Apply the action mask before the softmax.",
            )
        parts.append(
            weigh(
                episodes.reward[rows],
                episodes.action[rows],
                episodes.propensity[rows],
                target,
                model.predict(context),
            )
        )
        unsupported[rows] = target[:, ~logged].sum(axis=1)
        share += target.sum(axis=0)
    return Scored(_joined(parts), unsupported, share / max(1, len(episodes)))


def require_encoder(policy: Policy, episodes: EncodedEpisodes) -> None:
    """Refuse a policy that was trained on another encoding."""
    if policy.encoder != episodes.encoder:
        raise ShouldFixArgument(
            f"Policy {policy.version} reads states of encoder {policy.encoder!r}, these episodes "
            f"were encoded by {episodes.encoder!r}.",
            "Encode the episodes with the policy's encoder.",
        )


def _joined(parts: list[WeightedDecisions]) -> WeightedDecisions:
    return WeightedDecisions(
        *(
            np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
            for name in ("reward", "weight", "q_logged", "q_target")
        )
    )
