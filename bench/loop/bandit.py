"""A contextual bandit of Vowpal Wabbit's that learns from logged decisions with their true propensities.

``cb_explore_adf``: action-dependent features, here an action's id and the loop's own five features of it,
crossed with everything that is seen of the person (``-q CA``, beside actions' own main effects); losses are
-reward, weighted by propensity. It sees the same encoded states and the same closed decisions as the loop,
and nothing of it is private.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import vowpalwabbit

from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec

EPSILON: Final = 0.1
"""Exploration, as much as serving never goes below."""
OPTIONS: Final = "--cb_explore_adf --cb_type mtr -q CA --coin --quiet"
PASSES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n logged decisions: what is seen (n, d), valid actions (n, A), action (n,), its propensity (n,),
    reward (n,) and when it closed, in seconds since the epoch (n,)."""

    context: Float32
    valid: Bool
    action: Int
    propensity: Float
    reward: Float
    closed: Int

    def until(self, moment: float) -> Log:
        rows = self.closed <= moment
        return Log(*(getattr(self, name)[rows] for name in self.__slots__))

    def joined(self, other: Log) -> Log:
        return Log(
            *(
                np.concatenate([getattr(self, name), getattr(other, name)])
                for name in self.__slots__
            )
        )


class Bandit:
    """One model; learns anew from a whole log each night, in a seeded order.

    Args:
        spec: the loop whose actions it chooses among.
        seed: of the order in which decisions are learned from.
        options: Vowpal Wabbit's, without exploration. passes: over the log.
        epsilon: share of uniform exploration.
    """

    def __init__(
        self,
        spec: LoopSpec,
        seed: int,
        options: str = OPTIONS,
        passes: int = PASSES,
        epsilon: float = EPSILON,
    ) -> None:
        self._options, self._passes, self._seed, self._epsilon = options, passes, seed, epsilon
        self._actions = [_action(spec, place) for place in range(len(spec.actions))]
        self._model: Any = None

    def learn(self, log: Log) -> None:
        """Forget everything and learn from the log."""
        self._model = vowpalwabbit.Workspace(f"{self._options} --epsilon {self._epsilon}")
        rng = np.random.default_rng([self._seed, len(log.action)])
        shared = [_shared(row) for row in log.context]
        for _ in range(self._passes):
            for row in rng.permutation(len(log.action)).tolist():
                self._model.learn(self._told(log, row, shared[row]))

    def __call__(self, context: Float32, valid: Bool) -> Float:
        """(n, A) propensities, exploration included, 0 on invalid actions."""
        chances = np.zeros(valid.shape)
        for row in range(len(valid)):
            places = np.flatnonzero(valid[row])
            lines = [_shared(context[row]), *(self._actions[place] for place in places.tolist())]
            found = np.maximum(np.array(self._model.predict(lines)), 0.0)
            chances[row, places] = found / found.sum()
        return chances

    def _told(self, log: Log, row: int, shared: str) -> list[str]:
        taken = int(log.action[row])
        label = f"0:{-float(log.reward[row]):.6f}:{float(log.propensity[row]):.6f} "
        return [
            shared,
            *(
                (label if place == taken else "") + self._actions[place]
                for place in np.flatnonzero(log.valid[row]).tolist()
            ),
        ]


def _shared(context: Float32) -> str:
    told = " ".join(f"{i}:{v:.5f}" for i, v in enumerate(context.tolist()) if v)
    return f"shared |C {told} one:1"


def _action(spec: LoopSpec, place: int) -> str:
    action = spec.actions[place]
    features = " ".join(f"f{i}:{v:g}" for i, v in enumerate(action.features) if v)
    return f"|A id={action.id} {features}"
