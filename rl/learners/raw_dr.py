"""A doubly robust policy learned on the raw log: for reports alone, it shows what privacy costs.

With cross-fitted q (fitted on other people) and logged propensity p, every action of decision i is worth

    G_i(a) = q(x_i, a) + 1{a = a_i} (r_i - q(x_i, a_i)) / p_i

without bias (Dudik, Langford, Li 2011, "Doubly robust policy evaluation and learning"). The policy is a
softmax of the bandits' linear form (``design``), theta_a = phi_a B, that maximises
(1/n) sum_i sum_a pi(a | x_i) G_i(a) - penalty |B|^2 / 2, with the penalty that does best on the other half
of the training people.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.learners.design import design_of
from rl.learners.served import SoftScores
from rl.learners.simulated import source_of
from rl.learners.writing import write_policy
from rl.off_policy import regression

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Tried from the most cautious on; a tie keeps the more cautious."""
MOST_ROWS = 50_000
"""Decisions of whole people that are used: more would cost time and change little."""
_ITERATIONS = 100


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
        design = design_of(task.spec)
        reward, half = task.spec.reward, _halves(episodes)
        worth = _worth(episodes, half, reward.attainable_low, reward.attainable_high)
        log = LogView(design.of(episodes.context), design.phi, episodes.mask, worth)
        theta = optimise(log, _best_penalty(log, half))
        served = SoftScores(theta, design.dimensions, 1.0)
        return write_policy(task, source, self.name, self.provenance, served, 0, started)


@dataclass(frozen=True, slots=True)
class LogView:
    """``u`` (n, q), ``phi`` (A, m), ``mask`` (n, A) and ``worth`` (n, A), which is G."""

    u: Float
    phi: Float
    mask: Bool
    worth: Float

    def where(self, rows: Bool) -> LogView:
        return LogView(self.u[rows], self.phi, self.mask[rows], self.worth[rows])

    def chance(self, theta: Float) -> Float:
        """(n, A) the softmax of u . theta_a over valid actions."""
        return np.asarray(softmax(np.where(self.mask, self.u @ theta.T, -np.inf), axis=1))


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


def _best_penalty(log: LogView, half: Bool) -> float:
    """The penalty whose policy, learned on either half, is worth most on the other."""

    def elsewhere(penalty: float) -> float:
        total = 0.0
        for rows in (half, ~half):
            theta = optimise(log.where(~rows), penalty)
            judged = log.where(rows)
            total += float((judged.chance(theta) * judged.worth).sum())
        return total

    return max(PENALTIES, key=elsewhere)


def optimise(log: LogView, penalty: float) -> Float:
    """(A, q) theta of the softmax that maximises the penalised objective, from uniform on."""
    rows, shape = len(log.u), (log.phi.shape[1], log.u.shape[1])

    def loss(flat: Float) -> tuple[float, Float]:
        free = flat.reshape(shape)
        chance = log.chance(log.phi @ free)
        earned = (chance * log.worth).sum(axis=1, keepdims=True)
        slope = log.phi.T @ ((chance * (log.worth - earned)).T @ log.u) / rows - penalty * free
        return -float(earned.mean() - penalty * (free**2).sum() / 2), -slope.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    )
    return np.asarray(log.phi @ found.x.reshape(shape))
