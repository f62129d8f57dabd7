"""A doubly robust policy learned on the raw log: for reports alone, it shows what privacy costs.

With cross-fitted q (fitted on other people) and logged propensity p, every action of decision i is worth

    G_i(a) = q(x_i, a) + 1{a = a_i} (r_i - q(x_i, a_i)) / p_i

without bias (Dudik, Langford, Li 2011, "Doubly robust policy evaluation and learning"). The policy is a
softmax of a linear form that maximises (1/n) sum_i sum_a pi(a | x_i) G_i(a) - penalty |theta|^2 / 2, with
the penalty that does best on the other half of the training people.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.learners.served import SoftScores
from rl.learners.simulated import source_of
from rl.learners.writing import write_policy
from rl.off_policy import regression

PENALTIES = (1.0, 0.1, 0.01, 0.001)
"""Tried from the most cautious on; a tie keeps the more cautious."""
MOST_ROWS = 50_000
"""Decisions of whole people that are used: more would cost time and change little."""
_ITERATIONS = 60


class RawLogLearner:
    """Learns on the training people's logged decisions; its policy never leaves the trust boundary."""

    name = "raw_dr"
    provenance = Provenance.RAW_LOG

    def learn(self, task: LearningTask) -> LearnedPolicy:
        """See ``PolicyLearner``.

        Raises:
            ShouldFixArgument: the task holds no episodes, or episodes of another encoder.
            ShouldCollectMoreData: fewer than two training people logged propensities.
        """
        started = time.process_time()
        source = source_of(task)
        episodes = _usable(task)
        u = np.hstack([np.ones((len(episodes), 1)), episodes.context.astype(np.float64)])
        half = _halves(episodes)
        reward = task.spec.reward
        worth = _worth(episodes, half, reward.attainable_low, reward.attainable_high)
        theta = optimise(u, episodes.mask, worth, _best_penalty(u, episodes.mask, worth, half))
        served = SoftScores(theta, np.arange(source.width), 1.0)
        return write_policy(task, source, self.name, self.provenance, served, 0, started)


def _usable(task: LearningTask) -> EncodedEpisodes:
    if task.episodes is None:
        raise ShouldFixArgument(
            "raw_dr learns on the raw log, but the task holds no episodes.",
            "Give it the encoded episodes, or leave raw_dr out of training.alternatives.",
        )
    if task.episodes.encoder != task.profiles.encoder:
        raise ShouldFixArgument(
            f"The episodes' encoder is {task.episodes.encoder}, the profiles' is "
            f"{task.profiles.encoder}.",
            "Encode the episodes under this specification.",
        )
    training = task.episodes.training
    usable = training.where((training.propensity > 0.0) & (training.propensity <= 1.0))
    if len(np.unique(usable.person)) < 2:
        raise ShouldCollectMoreData(
            f"{len(np.unique(usable.person))} training people have rewarded decisions with a "
            "propensity; cross-fitting needs two.",
            "Collect more episodes, or leave raw_dr out of training.alternatives.",
        )
    if len(usable) > MOST_ROWS:
        usable = usable.where(usable.person <= np.sort(usable.person)[MOST_ROWS])
    return usable


def _halves(episodes: EncodedEpisodes) -> Bool:
    """(n,) one half of the people, every second one; pseudonyms have no order that means anything."""
    _, rank = np.unique(episodes.person, return_inverse=True)
    return np.asarray(rank % 2 == 0)


def _worth(episodes: EncodedEpisodes, half: Bool, low: float, high: float) -> Float:
    """(n, A) G, each row with the q that was fitted on the other half of the people."""
    worth = np.zeros(episodes.mask.shape)
    for rows in (half, ~half):
        model = regression.fit(episodes.where(~rows), low, high)
        worth[rows] = model.predict(episodes.context[rows])
    taken = (np.arange(len(episodes)), episodes.action)
    worth[taken] += (episodes.reward - worth[taken]) / episodes.propensity
    return worth


def _best_penalty(u: Float, mask: Bool, worth: Float, half: Bool) -> float:
    """The penalty whose policy, learned on either half, is worth most on the other."""

    def elsewhere(penalty: float) -> float:
        total = 0.0
        for rows in (half, ~half):
            theta = optimise(u[~rows], mask[~rows], worth[~rows], penalty)
            total += float((_chance(u[rows], mask[rows], theta) * worth[rows]).sum())
        return total

    return max(PENALTIES, key=elsewhere)


def optimise(u: Float, mask: Bool, worth: Float, penalty: float) -> Float:
    """(A, q) coefficients of the softmax that maximise the penalised objective, from uniform on.

    Args:
        u: (n, q) what scores are linear in.
        mask: (n, A) valid actions.
        worth: (n, A) G.
        penalty: of |theta|^2 / 2, > 0.
    """
    rows, shape = len(u), (mask.shape[1], u.shape[1])

    def loss(flat: Float) -> tuple[float, Float]:
        theta = flat.reshape(shape)
        chance = _chance(u, mask, theta)
        earned = (chance * worth).sum(axis=1, keepdims=True)
        slope = (chance * (worth - earned)).T @ u / rows - penalty * theta
        return -float(earned.mean() - penalty * (theta**2).sum() / 2), -slope.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    )
    return np.asarray(found.x.reshape(shape))


def _chance(u: Float, mask: Bool, theta: Float) -> Float:
    return np.asarray(softmax(np.where(mask, u @ theta.T, -np.inf), axis=1))
