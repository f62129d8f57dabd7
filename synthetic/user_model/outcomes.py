"""What the user model's heads are to predict: targets in [0, 1] and how much each counts.

Heads in order: position of each signal within its range; acceptance, a reward of at least
``reward.success_at``; presence of the types whose silence says nothing; journey end, no next decision
within ``journeys.ends_after_hours``; position of the next context's moving dimensions within [-1, 1].
What is not known (a signal that is absent, an end that could still come, a next context without a next
decision) has weight 0; a person of few decisions counts less for the end (``samples``). Their loss is the
mean over their episodes of

    sum_h weight_h c_h cross-entropy(target_h, sigmoid(logit_h)),     c_h from ``HEAD_WEIGHT``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import EncodedEpisodes, Float, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.people import Following, PeopleEpisodes
from synthetic.user_model.features import FeatureMap, missing_types

VALUE_WEIGHT = 1.0
ACCEPTANCE_WEIGHT = 1.0
NARROW_WEIGHT = 0.2
MOTION_WEIGHT = 20.0
"""How much the kinds of heads count in the loss that is clipped jointly. Next contexts count much, since
their residuals and features are small: their part of the gradient stays under a tenth of the others'."""

_HOUR = 3_600.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """``target`` and ``weight``, each (n, H); a weight of 0 means not known."""

    target: Float
    weight: Float


def outcomes_of(
    spec: LoopSpec, features: FeatureMap, episodes: EncodedEpisodes, after: Following, rows: Int
) -> Outcomes:
    """Targets of the given episodes; ``after`` holds what every one of ``episodes`` was followed by."""
    signals = episodes.signals[rows]
    low = np.array([-1.0 if s.two_sided else s.low for s in spec.signals])
    high = np.array([1.0 if s.two_sided else s.high for s in spec.signals])
    known = np.isfinite(signals)
    reward = episodes.reward[rows]
    late = spec.journeys.ends_after_hours * _HOUR
    wait, observed = after.wait[rows], after.observed[rows]
    following = after.row[rows]
    moved = after.context[np.maximum(following, 0)][:, features.moving].astype(np.float64)
    rewarded = np.isfinite(reward)
    followed = np.repeat((following >= 0)[:, None], moved.shape[1], axis=1)
    target = (
        np.where(known, (signals - low) / (high - low), 0.5),
        (np.where(rewarded, reward, 0.0) >= spec.reward.success_at)[:, None],
        known[:, list(missing_types(spec))],
        (wait > late)[:, None],
        np.where(followed, (moved + 1.0) / 2.0, 0.5),
    )
    weight = (
        known * VALUE_WEIGHT,
        rewarded[:, None] * ACCEPTANCE_WEIGHT,
        np.full((len(rows), features.presences), NARROW_WEIGHT),
        ((wait <= late) | (observed >= late))[:, None] * NARROW_WEIGHT,
        followed * MOTION_WEIGHT,
    )
    return Outcomes(
        np.clip(np.concatenate([part.astype(np.float64) for part in target], axis=1), 0.0, 1.0),
        np.concatenate([part.astype(np.float64) for part in weight], axis=1),
    )


def resting_of(people: PeopleEpisodes, dimensions: Int) -> Float:
    """(P, E, m) where each person rests, as far as an episode's next one is not looked at.

    The mean of the person's contexts that count, without the one that followed: a mean over it would
    know what is to be predicted. Alone, an episode's own context.
    """
    real = people.rows >= 0
    contexts = people.episodes.context[np.maximum(people.rows, 0)][:, :, dimensions]
    values = np.where(real[:, :, None], contexts, 0.0).astype(np.float64)
    total, count = values.sum(axis=1, keepdims=True), real.sum(axis=1)[:, None, None]
    newer = np.zeros_like(values)
    newer[:, 1:] = values[:, :-1]
    without = (np.arange(values.shape[1]) > 0)[None, :, None]
    return np.asarray((total - newer) / np.maximum(count - without, 1))
