"""Linear contextual bandits in closed form, on decisions sampled in synthetic journeys.

Synthetic people are cheap, so the bandit needs no online phase: uniform decisions in their journeys
give the posterior at once. Decisions are drawn with responses, not with expectations, so that the
posterior is that of a bandit which saw so many people.
"""

from __future__ import annotations

import time

import numpy as np

from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask
from rl.environment.journeys import JourneySource
from rl.learners.design import design_of
from rl.learners.ridge import Posterior, fit
from rl.learners.served import DrawVotes, OptimisticScores
from rl.learners.simulated import Decisions, play, source_of, uniform
from rl.learners.writing import write_policy

DECISIONS = 20_480
"""Simulated decisions that a bandit learns from."""
DRAWS = 64
"""Posterior draws of Thompson sampling: propensities are multiples of 1/64 before exploration."""
BONUS = 1.0
"""Posterior standard deviations of the optimistic bandit's bonus."""


class ThompsonLearner:
    """LinTS with a fixed number of draws, so that the propensity of its choice is known exactly."""

    name = "lin_ts"
    provenance = Provenance.PRIVATE_RELEASE

    def learn(self, task: LearningTask) -> LearnedPolicy:
        started = time.process_time()
        source = source_of(task)
        decisions, posterior = _learned(task, source)
        draws = posterior.draws(DRAWS, np.random.default_rng([task.seed, DRAWS]))
        served = DrawVotes(draws, posterior.design.dimensions)
        return write_policy(
            task, source, self.name, self.provenance, served, len(decisions), started
        )


class OptimisticLearner:
    """LinUCB: the action with the largest mean plus bonus; what is not known looks better."""

    name = "lin_ucb"
    provenance = Provenance.PRIVATE_RELEASE

    def learn(self, task: LearningTask) -> LearnedPolicy:
        started = time.process_time()
        source = source_of(task)
        decisions, posterior = _learned(task, source)
        served = OptimisticScores(
            posterior.mean, posterior.action_factor, posterior.design.dimensions, BONUS
        )
        return write_policy(
            task, source, self.name, self.provenance, served, len(decisions), started
        )


def _learned(task: LearningTask, source: JourneySource) -> tuple[Decisions, Posterior]:
    decisions = play(source, uniform, DECISIONS, task.seed)
    return decisions, fit(decisions, design_of(task.spec))
