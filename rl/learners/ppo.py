"""PPO behind the learners' port."""

from __future__ import annotations

import time

from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import LearnedPolicy, LearningTask


class PPOLearner:
    """The default: looks ahead over journeys. See ``rl.ppo.training.train``."""

    name = "ppo"
    provenance = Provenance.PRIVATE_RELEASE

    def learn(self, task: LearningTask) -> LearnedPolicy:
        # the trainer is heavy, and the other learners never need it
        from rl.ppo.training import train  # noqa: PLC0415

        started = time.process_time()
        result = train(
            task.spec,
            task.model,
            task.profiles,
            task.profiles.encoder,
            task.seed,
            task.workdir,
            start=task.start,
        )
        return LearnedPolicy(
            learner=self.name,
            version=result.card.version,
            folder=task.workdir,
            provenance=self.provenance,
            cpu_seconds=time.process_time() - started,
            steps=result.card.steps,
        )
