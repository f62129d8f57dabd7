"""What all systems are given alike: sizes, PPO's settings and the schedule of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from bench.ppo.problem import Size


@dataclass(frozen=True, slots=True)
class Terms:
    """PPO's usual settings, the same for every system.

    N journeys at a time, T decisions of each between two updates. The learning rate falls from ``rate``
    to 0 along a cosine. Values are not clipped, and no update is stopped early: not every peer can.
    """

    size: Size = field(default_factory=Size)
    journeys: int = 64
    length: int = 32
    iterations: int = 60
    hidden: int = 256
    minibatch: int = 256
    epochs: int = 4
    rate: float = 3e-4
    clip: float = 0.2
    discount: float = 0.99
    gae_lambda: float = 0.95
    entropy: float = 0.01
    value_weight: float = 0.5
    gradient_norm: float = 0.5
    adam_eps: float = 1e-5

    @property
    def batch(self) -> int:
        """Environment steps between two updates."""
        return self.journeys * self.length

    @property
    def steps(self) -> int:
        """Environment steps of the whole training."""
        return self.batch * self.iterations

    def rate_at(self, done: float) -> float:
        """The rate when a share ``done`` of all steps is done."""
        return self.rate * (1.0 + math.cos(math.pi * done)) / 2.0

    @property
    def flops_per_step(self) -> float:
        """Floating-point operations of the matrix products that one environment step asks for.

        Each network plays once; each epoch it goes forward and backward. Backward costs the gradient of
        every weight, as much as forward, and of every layer's input but the first's, the observation.
        """
        total = 0.0
        for outputs in (self.size.actions, 1):
            sizes = (self.size.width, self.hidden, self.hidden, outputs)
            first, *rest = (2.0 * a * b for a, b in pairwise(sizes))
            forward = first + sum(rest)
            total += forward + self.epochs * (2.0 * forward + sum(rest))
        return total


QUICK = Terms(size=Size(people=256), iterations=2, journeys=16)
