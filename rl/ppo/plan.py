"""What a training is asked to do, as one value that every runner and learner holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from everloop.contracts.datasets import Float32
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ExplorationSpec, TrainingSpec
from rl.environment.journeys import JourneySource
from rl.module import PolicyNetwork
from rl.ppo.schedule import cosine_pieces, epsilon_at, linear
from rl.ppo.update import UpdateRule


@dataclass(frozen=True, slots=True)
class Plan:
    """A training: where it learns, how much, how it explores, and from which seed.

    Attributes:
        source: people and their responses.
        training: sizes and rates.
        exploration: epsilon over the training.
        seed: equal plans give equal weights, bit for bit, on one platform.
        runners: remote runners that share the environments; 0 samples in this process.
        learners: remote learners that share every minibatch; 0 learns in this process.
        features: (A, F) ``ActionCatalogue.features`` for the policy to read; ``None``: a plain network.
    """

    source: JourneySource
    training: TrainingSpec
    exploration: ExplorationSpec
    seed: int
    runners: int = 0
    learners: int = 0
    features: Float32 | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ShouldFixArgument(f"seed={self.seed} is negative.", "Give a whole number >= 0.")
        if not 0 <= self.runners <= self.training.environments:
            raise ShouldFixArgument(
                f"runners={self.runners} cannot share {self.training.environments} environments."
            )
        if not 0 <= self.learners <= self.training.minibatch:
            raise ShouldFixArgument(
                f"learners={self.learners} cannot share minibatches of {self.training.minibatch}."
            )

    @property
    def journeys_per_runner(self) -> int:
        """N, concurrent journeys of each runner; a remainder rounds up."""
        return -(-self.training.environments // max(1, self.runners))

    @property
    def steps_per_iteration(self) -> int:
        """Decisions that all runners together make between two updates."""
        return self.journeys_per_runner * max(1, self.runners) * self.training.rollout_length

    @property
    def learning_rates(self) -> list[tuple[int, float]]:
        """(environment step, learning rate) corners."""
        total = self.steps_per_iteration * self.training.iterations
        return cosine_pieces(self.training.learning_rate, total)

    def learning_rate(self, iteration: int) -> float:
        """The rate in an iteration, counted from 0."""
        steps, rates = zip(*self.learning_rates, strict=True)
        return float(np.interp(iteration * self.steps_per_iteration, steps, rates))

    @property
    def rule(self) -> UpdateRule:
        """The update's settings in the first iteration."""
        return UpdateRule.of(self.training)

    def rule_at(self, iteration: int) -> UpdateRule:
        """The update's settings in an iteration, counted from 0: the entropy bonus changes."""
        training = self.training
        entropy = linear(training.entropy, training.entropy_end, iteration, training.iterations)
        return replace(self.rule, entropy=entropy)

    def network(self) -> PolicyNetwork:
        """The network that the training starts from."""
        return PolicyNetwork(
            self.source.width, self.source.actions, self.training.hidden, self.seed, self.features
        )

    def epsilon(self, iteration: int) -> float:
        """Exploration in an iteration, counted from 0."""
        return epsilon_at(self.exploration, iteration, self.training.iterations)
