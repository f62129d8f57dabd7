"""The user model's best single decision, as a policy of its own: no look ahead, no trial and error."""

from __future__ import annotations

import time

import numpy as np

from everloop.contracts.datasets import Float, Float32
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.learners.served import SoftScores, sharpness
from rl.learners.simulated import expected_rewards, play, source_of, uniform
from rl.learners.writing import write_policy

STATES = 4096
"""States of synthetic journeys on which the expected rewards are taken."""
_PENALTY = 1e-3


class GreedyLearner:
    """Expected one-step rewards, less the loop's pessimism, in a linear form of the whole context.

    The linear form is the least-squares fit to the user model's expectations on states that people
    reach in journeys under uniform decisions; it is served as a softmax so sharp that a hundredth of
    the reward's range is worth a factor e.
    """

    name = "greedy"
    provenance = Provenance.PRIVATE_RELEASE

    def learn(self, task: LearningTask) -> LearnedPolicy:
        started = time.process_time()
        source = source_of(task)
        states = play(source, uniform, STATES, task.seed).context
        dimensions = np.arange(source.width)
        weight = least_squares(states, expected_rewards(task, states))
        reward = task.spec.reward
        served = SoftScores(
            weight, dimensions, sharpness(reward.attainable_low, reward.attainable_high)
        )
        return write_policy(task, source, self.name, self.provenance, served, len(states), started)


def least_squares(context: Float32, wanted: Float, penalty: float = _PENALTY) -> Float:
    """(A, 1 + d) coefficients with [1, x] . theta_a close to ``wanted`` (n, A); ridge on all of them."""
    u = np.hstack([np.ones((len(context), 1)), context.astype(np.float64)])
    gram = u.T @ u + penalty * len(u) * np.eye(u.shape[1]) * 1e-3
    return np.asarray(np.linalg.solve(gram, u.T @ wanted).T)
