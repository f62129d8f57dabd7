"""The reward model q(x, a): ridge regression in closed form, streamed over rows.

Features are [1, x, onehot(a), onehot(a) * x_I] with x_I the interacting dimensions of the context. The
one-hot blocks of different actions never meet, so the normal equations are an arrow: a shared block of
1 + d and one block of 1 + |I| per action, solved exactly by the Schur complement of the action blocks.
Memory is O(A (1 + |I|) (1 + d)), whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Float32
from everloop.contracts.errors import ShouldCollectMoreData

PENALTY = 10.0
"""Ridge penalty on every coefficient but the intercept: as strong as ten decisions."""
_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class RewardRegression:
    """A fitted q(x, a).

    Attributes:
        shared: (1 + d,) intercept and context coefficients.
        by_action: (1 + |I|, A) intercept and interaction coefficients of each action.
        interacting: (d,) which context dimensions are in I.
        low, high: predictions are cut to this range.
    """

    shared: Float
    by_action: Float
    interacting: Bool
    low: float
    high: float

    def predict(self, context: Float32) -> Float:
        """(n, A) expected reward of every action for (n, d) contexts, within [low, high]."""
        every, own = _features(context, self.interacting)
        raw = (every @ self.shared)[:, None] + own @ self.by_action
        return np.asarray(np.clip(raw, self.low, self.high))


def _features(context: Float32, interacting: Bool) -> tuple[Float, Float]:
    ones = np.ones((len(context), 1))
    x = context.astype(np.float64)
    return np.hstack([ones, x]), np.hstack([ones, x[:, interacting]])


def fit(
    episodes: EncodedEpisodes, low: float, high: float, penalty: float = PENALTY
) -> RewardRegression:
    """Fit q on rewarded episodes: minimise sum (r - q(x, a))^2 + penalty |coefficients|^2.

    Args:
        episodes: the training people's episodes; never those that are evaluated.
        low, high: the reward's attainable range; predictions are cut to what the fit itself
            predicted on these episodes' valid actions, and to this range.

    Raises:
        ShouldCollectMoreData: there is no episode.
    """
    if len(episodes) == 0:
        raise ShouldCollectMoreData(
            "No rewarded training episode is left to fit the reward model on.",
            "Collect more episodes or lower thresholds.holdout_share.",
        )
    actions = episodes.mask.shape[1]
    shared = 1 + episodes.context.shape[1]
    own = 1 + int(episodes.interacting.sum())
    gram, cross, blocks = (
        np.zeros((shared, shared)),
        np.zeros((actions, own, shared)),
        np.zeros((actions, own, own)),
    )
    toward, toward_own = np.zeros(shared), np.zeros((actions, own))
    for start in range(0, len(episodes), _ROWS):
        rows = slice(start, start + _ROWS)
        z, u = _features(episodes.context[rows], episodes.interacting)
        reward, action = episodes.reward[rows], episodes.action[rows]
        gram += z.T @ z
        toward += z.T @ reward
        for a in np.unique(action):
            taken = action == a
            cross[a] += u[taken].T @ z[taken]
            blocks[a] += u[taken].T @ u[taken]
            toward_own[a] += u[taken].T @ reward[taken]
    ridge = penalty * np.eye(shared)
    ridge[0, 0] = 0.0
    blocks += penalty * np.eye(own)
    eliminated = np.linalg.solve(blocks, cross)
    particular = np.linalg.solve(blocks, toward_own[:, :, None])[:, :, 0]
    schur = gram + ridge - np.einsum("aos,aot->st", cross, eliminated)
    right = toward - np.einsum("aos,ao->s", cross, particular)
    coefficients = np.linalg.lstsq(schur, right, rcond=None)[0]
    by_action = (particular - eliminated @ coefficients).T
    return _cut(
        RewardRegression(coefficients, by_action, episodes.interacting, low, high), episodes
    )


def _cut(model: RewardRegression, episodes: EncodedEpisodes) -> RewardRegression:
    """Cut later predictions to what was predicted here: bounds then rest on a narrower range."""
    least, most = model.high, model.low
    for start in range(0, len(episodes), _ROWS):
        rows = slice(start, start + _ROWS)
        predicted = model.predict(episodes.context[rows])[episodes.mask[rows]]
        least = min(least, float(predicted.min()))
        most = max(most, float(predicted.max()))
    return RewardRegression(model.shared, model.by_action, model.interacting, least, most)
