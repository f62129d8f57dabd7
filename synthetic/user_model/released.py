"""A released user model: its heads, what the release says of itself, and how far it may be off."""

from __future__ import annotations

from typing import Self

import numpy as np

from everloop.contracts.datasets import Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from synthetic.user_model.facts import ReleaseFacts
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.responses import Heads, ResponseModel
from synthetic.user_model.uncertainty import Uncertainty, required

_TOGETHER = 512
"""Decisions whose gradients, two each, are held at once: more of them no longer fit a core's cache."""


class ReleasedUserModel(ResponseModel):
    """What every kind of released user model offers; a kind says how it is made from other parameters."""

    def __init__(
        self,
        spec: LoopSpec,
        features: FeatureMap,
        heads: Heads,
        facts: ReleaseFacts,
        uncertainty: Uncertainty | None,
    ) -> None:
        moving = np.zeros(features.context.shape[1], dtype=np.bool_)
        moving[list(facts.interacting)] = True
        super().__init__(spec, features, heads, moving)
        self.facts, self.uncertainty = facts, uncertainty
        self._spec = spec

    @property
    def heads(self) -> Heads:
        return self._heads

    @property
    def release_id(self) -> str:
        return self.facts.release_id

    @property
    def parameters(self) -> int:
        return len(self._heads.flat)

    def moved(self, flat: Float) -> Self:
        """The same model with other parameters (p,), of which no uncertainty is known."""
        raise NotImplementedError

    def plausible(self, count: int, rng: np.random.Generator) -> tuple[Self, ...]:
        """``count`` models that noise and sampling error leave possible, drawn around the released one.

        Raises:
            ShouldRestoreArtefact: the release does not say how far it may be off.
        """
        known = required(self.uncertainty, self.release_id)
        return tuple(self.moved(one) for one in known.drawn(self._heads.flat, count, rng))

    def reward_standard_error(
        self,
        context: Float32,
        action: Int,
        slate: Float32 | None = None,
        *,
        reference: int | None = None,
    ) -> Float:
        """(n,) standard error of r(s, a) by noise and sampling error, delta method: sqrt(g C g), C the
        covariance of the released parameters, g the gradient of r by them.

        Args:
            reference: position of an action z; the standard error is then that of r(s, a) - r(s, z), g
                being the difference of their gradients, and exactly 0 where a is z. A slate is only a's.

        Raises:
            ShouldRestoreArtefact: the release does not say how far it may be off.
        """
        known = required(self.uncertainty, self.release_id)
        if reference is None:
            return known.standard_error(self.reward_gradient(context, action, slate))
        found = np.zeros(len(action))
        others = np.flatnonzero(action != reference)
        for start in range(0, len(others), _TOGETHER):
            rows = others[start : start + _TOGETHER]
            chosen = None if slate is None else slate[rows]
            above = self._gradient_above(context[rows], action[rows], chosen, reference)
            found[rows] = known.standard_error(above)
        return found

    def _gradient_above(
        self, context: Float32, action: Int, slate: Float32 | None, reference: int
    ) -> Float:
        n = len(action)
        found = self.reward_gradient(
            np.concatenate([context, context]),
            np.concatenate([action, np.full(n, reference)]),
            None if slate is None else np.concatenate([slate, np.zeros_like(slate)]),
        )
        return found[:n] - found[n:]
